PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
# one process a core, one thread a process, the kernels in C
PYTEST := RECERT_KERNELS=require OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto

.PHONY: setup demo test test-all lint bench docs clean

# recert with all that it needs to run
.venv/.runs: pyproject.toml setup.py constraints.txt $(wildcard relaxations/*/*.[ch] verifier/*/*.[ch])
	@$(PYTHON) -c 'import sys; sys.exit("recert needs Python 3.11 or later: make PYTHON=python3.11" if sys.version_info < (3, 11) else 0)'
	@echo "Installing recert into .venv: a few minutes at the first time, as torch is large."
	@$(PYTHON) -m venv .venv
	@$(PIP) --editable .
	@touch $@

# and with the tools of tests and linters
setup: .venv/.develops

.venv/.develops: .venv/.runs
	@echo "Installing the tools for tests and linters into .venv."
	@$(PIP) --editable '.[test]'
	@touch $@

demo: .venv/.runs
	@$(BIN)/recert certify models/vowels_lstm.onnx models/vowels_test.npz --eps 0.04 --limit 12

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/lint-imports
	$(BIN)/pyright

test: lint
	$(PYTEST) -m 'not slow'

test-all: lint
	$(PYTEST)

bench: setup
	@RECERT_KERNELS=require OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.engine

docs: .venv/.docs
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet -c docs/site . build/docs
	@echo build/docs/index.html

.venv/.docs: .venv/.runs
	@echo "Installing the generator of the site into .venv."
	@$(PIP) --editable '.[docs]'
	@touch $@

clean:
	rm -rf .venv build *.egg-info
