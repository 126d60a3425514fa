# `make help` lists the targets. Everything runs in .venv, which the first target that needs it makes.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3 python; do \
	if $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then echo $$p; break; fi; done)
BIN := .venv/bin
STAMP := .venv/.installed
SEED ?= 0
ARGS ?=
# for tables
SEEDS ?=
OUTPUTS ?= outputs
DATASET ?=
DATA_ROOT ?=
WEIGHTS ?= imagenet
SPEED ?=
JOBS ?= $(shell getconf _NPROCESSORS_ONLN)
COMMA := ,
# procedural faces: rows of a minute beside each other, one core each. A real data set: the paper's budget, row by row, three
# seeds unless SEEDS= says otherwise, from ImageNet weights (WEIGHTS=null: from scratch; torchvision downloads them once, and
# without a network the first row says which file to put where)
PARALLEL = hydra/launcher=joblib hydra.launcher.n_jobs=$(JOBS) trainer.num_threads=1
BUDGET = $(if $(DATASET),budget=paper dataset=$(DATASET) root=$(DATA_ROOT) backbone.weights=$(WEIGHTS),$(PARALLEL))
SWEPT_SEEDS = $(or $(SEEDS),$(if $(DATASET),0$(COMMA)1$(COMMA)2))

.DEFAULT_GOAL := help
.PHONY: help setup demo table1 ablation-table2 table3 table4 ablation-table5 speed figures report paper bench audit test test-fast test-slow check clean

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

demo: $(STAMP)  ## train and test AVCE on procedural faces, some two minutes after installation
	@$(BIN)/python run.py experiment=demo seed=$(SEED) $(ARGS)

# $(call table,NAME,SWEEPS): the table is made also where a row failed, and the exit code is then not zero
define table
@code=0; for sweep in $(2); do \
	$(BIN)/python run.py -m experiment=$$sweep $(if $(SWEPT_SEEDS),seed=$(SWEPT_SEEDS)) output_root=$(OUTPUTS) $(BUDGET) $(ARGS) || code=$$?; \
	if [ $$code -ge 128 ]; then break; fi; done; \
$(BIN)/avce table $(1) $(if $(SWEPT_SEEDS),--seeds $(SWEPT_SEEDS)) --outputs $(OUTPUTS) $(if $(DATASET),--dataset $(DATASET)) && exit $$code
endef

# SEEDS=0,1 JOBS=2 ARGS='...' OUTPUTS=...; DATASET=... DATA_ROOT=... WEIGHTS=... for the real data
table1: $(STAMP)  ## Table 1, AVCE, CAF and the other systems; DATASET=affectnet DATA_ROOT=... for the real data
	$(call table,table1,table1_baseline table1_literature table1)

ablation-table2: $(STAMP)  ## Table 2, two hours on 2 cores; SEEDS=0,1,2 JOBS=2 ARGS='...'; DATASET=aff_wild DATA_ROOT=... for the real data
	$(call table,table2,table2 table5)

table3: $(STAMP)  ## Table 3, expressions, AVCE and the other systems; DATASET=raf_db DATA_ROOT=... for the real data
	$(call table,table3,table3 table3_literature)

table4: $(STAMP)  ## Table 4, backbones; DATASET=aff_wild DATA_ROOT=... for the real data
	$(call table,table4,table4)

ablation-table5: $(STAMP)  ## Table 5, with and without L_AVCE; DATASET=aff_wild DATA_ROOT=... for the real data
	$(call table,table5,table5)

speed: $(STAMP)  ## update and test time of Baseline, CAF and AVCE; SPEED='--updates 100 --batch 256' is the paper's protocol
	@$(BIN)/python experiments/benchmarks/method_speed.py --out $(OUTPUTS)/speed $(SPEED)

FIGURES = figures$(if $(DATASET),_$(DATASET))
figures: $(STAMP)  ## Figures 2 to 5 and analyses; DATASET=afew_va DATA_ROOT=... for the real data
	@$(BIN)/python run.py -m experiment=figures$(if $(DATASET),_real) name=$(FIGURES) output_root=$(OUTPUTS) $(BUDGET) $(ARGS); code=$$?; \
	$(BIN)/avce figure all --name $(FIGURES) --outputs $(OUTPUTS) && exit $$code

report: $(STAMP)  ## one page with every table, figure and run
	@$(BIN)/avce report --outputs $(OUTPUTS) --out $(OUTPUTS)/report.html

# what fails does not stop what follows; interrupted, the same command resumes
paper: $(STAMP)  ## all of the above on procedural faces, some three hours on 2 cores; interruptible
	@trap 'exit 130' INT; code=0; for target in table1 ablation-table2 table3 table4 ablation-table5 speed figures report; do \
		$(MAKE) --no-print-directory $$target DATASET= || { code=1; echo "make $$target failed, see above"; }; done; exit $$code

bench: $(STAMP)  ## all benchmarks against their targets
	@$(BIN)/python experiments/benchmarks/run_all.py --out $(OUTPUTS)/benchmarks

# the pinned versions and --strict: an index without advisories would else count every package as skipped, and pass
audit: $(STAMP)  ## look the pinned packages up in the advisories (needs a network)
	@$(BIN)/python -m pip_audit --strict --no-deps --disable-pip $(addprefix --requirement ,$(wildcard constraints/*.txt))

test: $(STAMP)  ## run the tests (a few minutes)
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto -m "not slow" $(ARGS)

FAST = $(addprefix tests/,functional crl_formula mining similarity feature_transform optimizer metrics backbone method \
	report/test_table.py report/test_statistics.py test_arrows.py test_docs.py test_settings.py)
test-fast: $(STAMP)  ## formulas, components, settings and tables, under a minute
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto -m "not slow" -k "not export and not train and not process" $(FAST) $(ARGS)

test-slow: $(STAMP)  ## run the long tests too
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto $(ARGS)

check: $(STAMP)  ## lint, types and tests
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(MAKE) --no-print-directory test

clean:  ## remove what the tools left behind; run folders stay
	@rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis dist *.egg-info
