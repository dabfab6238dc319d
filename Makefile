# Every target makes its own environment in .venv when there is none; nothing else is needed but Python >= 3.11.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help quickstart test test-slow lint bench clean

help:
	@echo "make quickstart  generate data, train, evaluate, compare: a report in runs/quickstart (2 minutes)"
	@echo "make test        lint, types and all tests but the slow ones"
	@echo "make test-slow   the slow tests"
	@echo "make bench       benchmarks: ratios on the screen, CSV in benchmarks/results"

# Wheels only, except this package itself: nothing is built, so no compiler is needed.
PIP := $(BIN)/python -m pip install --quiet --only-binary :all: -c constraints.txt

$(STAMP): pyproject.toml constraints.txt
	@echo "creating $(VENV) and installing pdeops with torch and its other packages: minutes, once"
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) -e '.[test]'
	@echo "compiling loops: a minute or two, once"
	$(BIN)/pdeops doctor --compile
	touch $(STAMP)

quickstart: $(STAMP)
	$(BIN)/pdeops quickstart

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint
	$(BIN)/python -m pytest -n 2

test-slow: $(STAMP)
	$(BIN)/python -m pytest -m slow

bench: $(STAMP)
	$(PIP) -e '.[test,bench]'
	$(BIN)/python -m benchmarks

clean:
	rm -rf $(VENV) build *.egg-info
