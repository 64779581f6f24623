# make demo    train on real digits and compare the fast code with the reference
# make test    lint, types, doctests and all tests
# Both make an environment in .venv first; nothing outside this folder changes.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
SOURCES := setup.py pyproject.toml $(wildcard fastconv/*.pyx fastconv/*.pxd fastconv/csrc/*.h)

.PHONY: demo test env lint clean

demo: $(STAMP)
	$(BIN)/fastconv info
	$(BIN)/fastconv train --data digits --output demo --overwrite
	$(BIN)/fastconv check

test: $(STAMP) lint
	$(BIN)/python -m pytest

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/cython-lint fastconv
	$(BIN)/mypy

env: $(STAMP)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	{ echo "fastconv needs Python 3.11 or newer; 'make PYTHON=python3.12' names another."; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(STAMP): $(BIN)/python $(SOURCES)
	@command -v "$${CC:-cc}" >/dev/null || { [ -z "$$CC" ] && command -v gcc >/dev/null; } || \
	{ echo "fastconv needs a C compiler; install gcc or clang and try again."; exit 1; }
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	@touch $@

clean:
	rm -rf $(VENV) build dist demo *.egg-info fastconv/*.so
