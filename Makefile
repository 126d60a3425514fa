# `make help` lists the targets. Everything runs in .venv, which the first target that needs it makes.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3 python; do \
	if $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then echo $$p; break; fi; done)
BIN := .venv/bin
STAMP := .venv/.installed
SEED ?= 0
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-slow check clean

help:  ## list the targets
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

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

test: $(STAMP)  ## run the tests (a few minutes)
	@$(BIN)/python -m pytest -m "not slow" $(ARGS)

test-slow: $(STAMP)  ## run the long tests too
	@$(BIN)/python -m pytest $(ARGS)

check: $(STAMP)  ## lint, types and tests
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(MAKE) --no-print-directory test

clean:  ## remove what the tools left behind; run folders stay
	@rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis dist *.egg-info
