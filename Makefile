# `make help` lists the targets. Everything runs in .venv, which the first target that needs it makes.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3 python; do \
	if $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then echo $$p; break; fi; done)
BIN := .venv/bin
STAMP := .venv/.installed
SEED ?= 0
ARGS ?=
# for tables
SEEDS ?= 0,1,2
OUTPUTS ?= outputs
DATASET ?=
DATA_ROOT ?=
JOBS ?= $(shell getconf _NPROCESSORS_ONLN)
# procedural faces: rows of a minute beside each other, one core each; a real data set: the paper's budget, row by row
BUDGET = $(if $(DATASET),budget=paper dataset=$(DATASET) root=$(DATA_ROOT),hydra/launcher=joblib hydra.launcher.n_jobs=$(JOBS) trainer.num_threads=1)

.DEFAULT_GOAL := help
.PHONY: help setup demo ablation-table2 test test-slow check clean

help:  ## list the targets
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP)  ## make .venv and install everything from pinned versions

$(STAMP): pyproject.toml $(wildcard constraints/*.txt)
	@test -n "$(PYTHON)" || { echo "No Python 3.11, 3.12 or 3.13 was found. Install one, or say which: make $(MAKECMDGOALS) PYTHON=/path/to/python3.12"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "Installing into .venv (some minutes, about 5 GB the first time) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --progress-bar on \
		--constraint constraints/py$$($(BIN)/python -c 'import sys; print("%d%d" % sys.version_info[:2])').txt --editable '.[dev]'
	@$(BIN)/avce doctor
	@touch $@

demo: $(STAMP)  ## train and test AVCE on procedural faces, about two minutes after installation
	@$(BIN)/python run.py experiment=demo seed=$(SEED) $(ARGS)

# the table is made also where a row failed, and the exit code is the sweep's
ablation-table2: $(STAMP)  ## Table 2; SEEDS=0,1,2 JOBS=2 ARGS='...'; DATASET=aff_wild DATA_ROOT=... for the real data
	@$(BIN)/python run.py -m experiment=table2 seed=$(SEEDS) output_root=$(OUTPUTS) $(BUDGET) $(ARGS); code=$$?; \
	$(BIN)/avce table table2 --seeds $(SEEDS) --outputs $(OUTPUTS) $(if $(DATASET),--dataset $(DATASET)) && exit $$code

test: $(STAMP)  ## run the tests (a few minutes)
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto -m "not slow" $(ARGS)

test-slow: $(STAMP)  ## run the long tests too
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto $(ARGS)

check: $(STAMP)  ## lint, types and tests
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(MAKE) --no-print-directory test

clean:  ## remove what the tools left behind; run folders stay
	@rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis dist *.egg-info
