# The project's own commands. `make demo` and `make test` need nothing but Python 3.11 or newer.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
INSTALLED := .venv/.installed
JOBS ?= 2


.DEFAULT_GOAL := help
.PHONY: help install demo test check fast slow bench docs format clean

help: ## show these lines
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 10

install: $(INSTALLED) ## make .venv and install the package with everything it needs

# one pip call with the constraints from the first package on: a second, unconstrained one would
# replace the CPU build of torch by the newest release with gigabytes of CUDA packages
$(INSTALLED): pyproject.toml constraints/ci.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints/ci.txt -e '.[all]'
	@touch $@

demo: $(INSTALLED) ## the main job: a real model answers, is corrected, judged and ranked
	$(BIN)/equipoise tour

test: $(INSTALLED) ## the fast and the standard tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist worksteal

fast: $(INSTALLED) ## the fast tests alone
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) -m 'not standard and not slow and not gpu'

slow: $(INSTALLED) ## reproductions and long runs
	$(BIN)/python -m pytest -m slow --timeout 3600

check: $(INSTALLED) ## lint, types, import contracts, dependencies
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports --no-logo --no-cache
	$(BIN)/deptry src

bench: $(INSTALLED) ## measure, and write benchmarks/results/
	$(BIN)/python -m benchmarks.foundation
	$(BIN)/python -m benchmarks.rflaf
	$(BIN)/python -m benchmarks.stream_aligner

docs: $(INSTALLED) ## regenerate tables and command help in the documents, build the site
	$(BIN)/python -m docs.generate
	$(BIN)/zensical build --clean

format: $(INSTALLED) ## rewrite the sources in the house format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## remove what the other targets made, runs excepted
	rm -rf .venv site .pytest_cache .ruff_cache .hypothesis
