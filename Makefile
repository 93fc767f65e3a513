# Civicline: two commands are enough, `make run` and `make test`.
SHELL := /bin/bash
.DEFAULT_GOAL := help
BIN := .venv/bin
# -I: a module of ours called like one of Python's own must not be taken for it.
BOOTSTRAP := python3 -I contact_hub/operations/bootstrap.py

.PHONY: help setup run test lint format types ci bench chaos clean doctor

help: ## Show this list
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Make both environments and the front end, as far as they are not up to date
	@command -v python3 >/dev/null || { echo "Civicline needs Python 3.11: install it (on Debian: apt-get install python3.11 python3.11-venv)." >&2; exit 1; }
	@$(BOOTSTRAP)

run: setup ## Install what is needed, train, start everything and print the address
	@exec $(BIN)/civicline up

test: export EMBEDDING_CACHE ?= $(CURDIR)/var/cache
test: setup ## Run every test but those that kill processes for minutes
	@$(BIN)/python -m pytest -m "not chaos" -n 2 --dist loadscope --no-loadscope-reorder $(PYTEST)

chaos: setup ## Kill each process in the middle of 200 conversations and look for what was lost
	@$(BIN)/python -m pytest -m chaos tests/chaos $(PYTEST)

lint: setup ## Check style, imports between rooms, and dependencies
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --output-format concise .
	@$(BIN)/lint-imports
	@$(BIN)/deptry .

format: setup ## Put the code into shape
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

types: setup ## Check types, strictly
	@$(BIN)/mypy

ci: ## Do what CI does: set up, test and lint
	@bash .ci/run

bench: setup ## Measure the whole journey beside a stock Rasa bot
	@$(BIN)/python -m benchmarks.versus_rasa

doctor: setup ## Say in plain words what is missing on this machine
	@$(BIN)/civicline doctor

clean: ## Remove both environments, what was built and the caches; what residents said in var/ stays
	rm -rf .venv bot/assistant/.venv channels/base/widget/{node_modules,dist} contact_hub/web/static/vendor
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
