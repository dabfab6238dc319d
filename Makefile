# Every target makes its own environment in .venv when there is none; nothing else is needed but Python >= 3.11.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
COMPILED := $(VENV)/.compiled
unexport PYTHONDONTWRITEBYTECODE # tests start many processes; each would compile every source again

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
	$(PIP) --no-compile -e '.[test]'
	@# Bytecode on two cores; torch has a file for later versions of Python, which is left out.
	$(BIN)/python -m compileall -qq -j 2 $(VENV)/lib || true
	touch $(STAMP)

$(COMPILED): $(STAMP)
	@echo "compiling loops: a minute or two, once"
	$(BIN)/pdeops doctor --compile
	touch $(COMPILED)

quickstart: $(COMPILED)
	$(BIN)/pdeops quickstart

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Lint and compilation take one core each.
test:
	$(MAKE) -j 2 lint $(COMPILED)
	$(BIN)/python -m pytest -n 2 --dist worksteal

test-slow: $(COMPILED)
	$(BIN)/python -m pytest -m slow

bench: $(COMPILED)
	$(PIP) -e '.[test,bench]'
	$(BIN)/python -m benchmarks

clean:
	rm -rf $(VENV) build *.egg-info
