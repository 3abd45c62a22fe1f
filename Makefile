# `make demo` draws and checks a picture, `make test` runs every check; both need only Python 3.11+ and make.

SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
PYTHON ?= $(shell for python in python3.11 python3 python3.12 python3.13 python3.14; do \
	$$python -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 \
	&& echo $$python && break; done)
TORCH := $(shell grep '^torch==' constraints.txt)

# Idle OpenMP threads that spin starve the other core of a small machine.
export OMP_WAIT_POLICY := passive

.PHONY: help install demo test lint test-full clean

help:
	@echo "make demo       draw 'two red balls left of a blue cube on green grass' into runs/demo"
	@echo "make test       lint, format, types and tests"
	@echo "make lint       lint, format and types alone"
	@echo "make test-full  also the tests that need 10 GB of memory and minutes"
	@echo "make install    the virtual environment in .venv with the pinned versions"
	@echo "make clean      remove .venv and the demo's run folder"

# Exit code 3 is a picture that was drawn and checked and not accepted: a result, not a failure of the demo.
demo: $(INSTALLED)
	$(BIN)/scenewright generate "two red balls left of a blue cube on green grass" -o runs/demo --overwrite || [ $$? -eq 3 ]

# One test process a core, one thread each.
test: lint
	OMP_NUM_THREADS=1 $(BIN)/pytest -n auto --dist worksteal

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test-full: test
	$(BIN)/pytest -m full

install: $(INSTALLED)

# torch goes first and by its pinned version: pip then takes the CPU build where an index offers one.
$(INSTALLED): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "make: no Python 3.11 or newer was found; name one: make PYTHON=/path/to/python3.11" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt "$(TORCH)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $@

clean:
	rm -rf $(VENV) runs/demo
