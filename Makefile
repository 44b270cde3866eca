# The environment, the checks and the tests of the project. It needs Python (3.11 or newer) and make; everything
# else is installed into .venv from a package index.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PEERS := .venv-peers
SOURCES := eliza_state modules/eliza_modules serializers/eliza_serializers examples

# Compiled modules are kept in the environment, even where the machine's settings say to write none: else each of
# the processes that tests start, and each worker that collects tests, would compile everything anew.
export PYTHONDONTWRITEBYTECODE :=
export PYTHONPYCACHEPREFIX := $(CURDIR)/$(VENV)/compiled

.PHONY: demo test check unit matrix thorough faults coverage bench docs clean

demo: $(VENV)/installed
	$(BIN)/eliza-state demo

# What is worth a few minutes each time; `make thorough` tries harder, and everything on every version.
test: check unit
	$(BIN)/python -m tests.matrix --sample

# The two that check types take one processor each.
check: $(VENV)/developing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy $(SOURCES) & mypy=$$!; $(BIN)/pyright --pythonpath $(BIN)/python && wait $$mypy

# More workers than processors: tests wait for servers, processes and disks.
unit: export ELIZA_STATE_TEST_EFFORT ?= 0.05
unit: $(VENV)/developing
	$(BIN)/python -m pytest --dist worksteal \
		-n $$($(BIN)/python -c "import os; print((os.cpu_count() or 1) * 2)")

coverage: $(VENV)/developing
	$(BIN)/python -m pytest -n auto --cov --cov-report=term

# The other supported versions of Python that this machine has, each in an environment of its own.
matrix: $(VENV)/developing
	$(BIN)/python -m tests.matrix

thorough: export ELIZA_STATE_TEST_EFFORT = 5
thorough: check unit matrix

# Processes that are killed and stores that are cut off, for ELIZA_STATE_FAULTS_MINUTES; see docs/faults.md.
faults: export ELIZA_STATE_FAULTS_MINUTES ?= 10
faults: $(VENV)/developing
	$(BIN)/python -m tests.faults

# In an environment of its own, with the packages that the project is measured beside and never depends on.
# `make bench SUITES="--quick appending"` runs one suite, at its quick size.
bench: $(PEERS)/installed
	$(PEERS)/bin/python -m benchmarks $(SUITES)

docs: $(VENV)/developing
	$(BIN)/python -m pip install --quiet --group docs
	$(BIN)/mkdocs build --strict

clean:
	rm -rf .venv* site build dist .coverage* .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(PEERS)/installed: pyproject.toml benchmarks/peers.txt benchmarks/node/package.json
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --upgrade "pip>=25.1"
	$(PEERS)/bin/python -m pip install --quiet --editable . --group test --requirement benchmarks/peers.txt
	$(PEERS)/bin/python -m pip install --quiet --no-deps ducks==0.5.1
	mkdir -p $(PEERS)/node && cp benchmarks/node/package.json $(PEERS)/node
	if command -v npm; then npm install --no-audit --no-fund --prefix $(PEERS)/node; fi
	touch $@

$(VENV)/developing: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --group dev
	touch $@
