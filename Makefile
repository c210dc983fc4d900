# UltraLink on Airflow. `make` lists what there is.
SHELL := /bin/bash
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
LANG_CODE ?= zh
WORKERS ?= 2
export PYTHONPATH := $(CURDIR)/include:$(CURDIR)/plugins

.DEFAULT_GOAL := help
.PHONY: help demo up airflow down judge screen releases test lint bench bench-release lock clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 15

demo: $(VENV)/installed  ## one night of LANG_CODE (zh) on a real Airflow, then show the result
	@$(BIN)/python -m ultralink.local demo --language $(LANG_CODE) $(if $(DATE),--date $(DATE))

up: $(VENV)/installed  ## start Airflow with its UI and leave it running
	@$(BIN)/python -m ultralink.local up

airflow: $(VENV)/installed  ## Airflow's own commands for what `make up` started: ARGS="backfill create ..."
	@$(BIN)/python -m ultralink.local airflow $(ARGS)

down: $(VENV)/installed  ## stop what `make up` started
	@$(BIN)/python -m ultralink.local down

judge: $(VENV)/installed  ## how well the judge of LANG_CODE (zh) agrees with labelled items, or those in LABELLED=file
	@$(BIN)/python -m ultralink.judge_report --language $(LANG_CODE) $(if $(LABELLED),--labelled $(LABELLED))

screen: $(VENV)/installed  ## how well the screen of English chats knows labelled ones
	@$(BIN)/python -m ultralink.screen_report --labelled tests/data/screen.jsonl

releases: $(VENV)/installed  ## list the releases; ARGS="compare A B", "verify", "prune --keep 7" do more
	@$(BIN)/python -m ultralink.release $(or $(ARGS),list)

test: $(VENV)/installed-dev  ## all tests, lint and types
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile $(ARGS)

lint: $(VENV)/installed-dev  ## ruff and mypy alone
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

bench: $(VENV)/installed-dev  ## engine beside bare clients, masks and checks, pruning, a release: as tables
	@$(BIN)/python benchmarks/engine.py
	@$(BIN)/python benchmarks/translation.py
	@$(BIN)/python benchmarks/pruning.py
	@$(BIN)/python benchmarks/releasing.py

bench-release: $(VENV)/installed-dev  ## a release of ROWS (1,032,000) made-up samples alone: time, memory, recall
	@$(BIN)/python benchmarks/releasing.py $(if $(ROWS),--rows $(ROWS))

lock: $(VENV)/installed-dev  ## resolve requirements*.in into the locks
	@$(BIN)/uv pip compile -q --upgrade --python-version 3.11 --custom-compile-command "make lock" requirements.in -o requirements.txt
	@$(BIN)/uv pip compile -q --upgrade --python-version 3.11 --custom-compile-command "make lock" requirements-dev.in -o requirements-dev.txt

clean: down  ## stop, then remove the environment, the local Airflow and the local store
	rm -rf $(VENV) .airflow .store

$(VENV)/installed: requirements.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v < (3, 14) else f"Python 3.11 to 3.13 is needed, found {v[0]}.{v[1]}: make PYTHON=/path/to/python3.11 ...")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing requirements.txt into $(VENV): a minute or two, once."
	@$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed requirements-dev.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@
