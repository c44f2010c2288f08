# Two commands: `make run` and `make test`. Each sets up what it needs in .venv by itself.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WORLD ?= sample
# Of the tests; each may build a world, which keeps a core busy.
WORKERS ?= 2

.PHONY: run test ui lint format clean help
.DEFAULT_GOAL := help

help: ## Say what can be made
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 10

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed; set PYTHON=…"; exit 1; }
	@echo "Setting up $(VENV) (once)…"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

run: $(VENV)/.installed ## Run the main job (WORLD=sample, live or recorded:DIR)
	@$(BIN)/atom run --world $(WORLD)

ui: $(VENV)/.installed ## Open Dagster on 127.0.0.1:3000 over the same home
	@$(BIN)/atom ui --world $(WORLD)

lint: $(VENV)/.installed ## Lint, type-check, and check that Dagster and dbt load
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m atom_dagster.dbt_launcher parse --quiet --target-path target
	$(BIN)/sqlfluff lint dbt_project/models dbt_project/tests --processes 2
	$(BIN)/dg check defs

test: lint ## Lint, then run every test (dbt's unit tests too)
	$(BIN)/pytest --numprocesses $(WORKERS)

format: $(VENV)/.installed ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean: ## Remove the environment and everything generated
	rm -rf $(VENV) data dbt_project/target dbt_project/logs
