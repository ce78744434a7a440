# The habits of the house. `make demo` and `make test` need only Python 3.11+, pip, make and git.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUNS := $(VENV)/.runs
READY := $(VENV)/.ready
AREA ?=
DEMO ?= demo
FILE ?=
TESTS ?=
SAMPLE ?= 12
SEED ?= 0

.PHONY: help demo test lint format mutants prove bench pin clean

help: ## list what can be made
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 20

INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable

$(RUNS): pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(INSTALL) '.[demo]'
	@touch $@

$(READY): $(RUNS)
	$(INSTALL) '.[demo,dev]'
	@touch $@

demo: $(RUNS) ## the whole loop on a year of real flights, and a report (five minutes)
	$(BIN)/noria demo $(DEMO)

test: $(READY) ## every test
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

lint: $(READY) ## style, types, and the direction of imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY) ## put the code into the house's style
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

mutants: $(READY) ## plant small changes in a copy of FILE and see which its tests miss; TESTS= for more, SAMPLE= for how many
	$(BIN)/python -m benchmarks.mutants $(FILE) --sample $(SAMPLE) --seed $(SEED) --tests $(TESTS)

prove: $(READY) ## print every promised figure as PASS or SHORT; AREA=loop for one area
	$(BIN)/python -m benchmarks $(AREA)

bench: prove ## the same as prove

pin: ## write constraints.txt anew from the newest versions that install together
	rm -rf build/pin && $(PYTHON) -m venv build/pin
	build/pin/bin/python -m pip install --quiet --disable-pip-version-check '.[demo,dev]'
	build/pin/bin/python -m pip freeze --exclude noria > constraints.txt

clean: ## remove what was built (not the demo's folder)
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
