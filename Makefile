# Needs Python >= 3.11, make and git; everything else goes into .venv.
PYTHON ?= python3
VENV := .venv/bin
# `make test TEST_PROCESSES=3` takes less than half of the time; 0 is one process, without workers.
TEST_PROCESSES ?= 0

.PHONY: help setup demo test check up format clean

help:
	@echo "make demo    set up and route a handful of tasks through real flow runs"
	@echo "make up      run the whole system in the foreground (Ctrl-C stops it)"
	@echo "make test    set up and run every test"
	@echo "make check   format, lint, types, import contracts, tests"

setup:
	@$(PYTHON) deployments/bootstrap.py

setup-dev:
	@$(PYTHON) deployments/bootstrap.py dev

demo: setup
	@$(VENV)/python -m deployments.demo

up: setup
	@$(VENV)/switchyard up

test: setup-dev
	@$(VENV)/python -m compileall -q models tasks flows deployments migrations tests
	@$(VENV)/python -m pytest -n $(TEST_PROCESSES)

lint: setup-dev
	$(VENV)/python -m ruff format --check .
	$(VENV)/python -m ruff check .
	$(VENV)/python -m mypy
	$(VENV)/lint-imports

check: lint test

format: setup-dev
	$(VENV)/python -m ruff format .
	$(VENV)/python -m ruff check --fix .

clean:
	rm -rf .venv
