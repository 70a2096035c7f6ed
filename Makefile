# Needs Python >= 3.11, make and git; everything else goes into .venv.
PYTHON ?= python3
VENV := .venv/bin

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
	@$(VENV)/python -m pytest

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
