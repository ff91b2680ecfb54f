# Every verb installs what is missing into .venv first. `make` alone lists the verbs.

PYTHON ?= python3
BIN := .venv/bin
# Tests of the running parts: slower, after all others.
CLUSTER_TESTS := $(wildcard tests/cluster tests/serve tests/ray tests/e2e)

.DEFAULT_GOAL := help
.PHONY: help demo up test lint types arch bench

help: ## list the verbs
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile | expand -t 8

demo: .venv/.installed ## start everything with a simulated fleet that charges
	@$(BIN)/cloudbay demo

up: .venv/.installed ## start the platform
	@$(BIN)/cloudbay up

test: .venv/.installed ## run every test, the fast ones first
	$(BIN)/pytest -q tests $(CLUSTER_TESTS:%=--ignore=%)
	$(BIN)/pytest -q $(CLUSTER_TESTS)

lint: .venv/.installed ## check style and format
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: .venv/.installed ## check types
	$(BIN)/mypy

arch: .venv/.installed ## check who imports whom, and that the check can fail
	$(BIN)/lint-imports --no-logo
	$(BIN)/pytest -q tests/test_architecture.py

bench: .venv/.installed ## measure, as ratios to a reference measured beside it
	$(BIN)/python -m benchmarks

.venv/.installed: uv.lock pyproject.toml install.py
	@$(PYTHON) install.py
