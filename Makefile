# Each target does all the set-up that it needs. All that is asked of the machine: Python 3.11 and make.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
DATA ?=

.PHONY: setup run test check fix bench

setup: $(VENV)/run.stamp $(VENV)/dev.stamp  ## everything, for running and for developing

run: $(VENV)/run.stamp  ## start Tracecast and print its address
	$(BIN)/streamlit run streamlit_app.py

test: $(VENV)/dev.stamp  ## all tests; those in a browser need Chromium
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

check: $(VENV)/dev.stamp  ## lint and types; writes nothing
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

fix: $(VENV)/dev.stamp  ## what lint can mend by itself
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: $(VENV)/dev.stamp  ## speed and accuracy beside their peers; DATA=folder adds real series
	$(BIN)/python -m benchmarks $(DATA)

$(VENV)/run.stamp: requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --requirement requirements.txt
	touch $@

$(VENV)/dev.stamp: $(VENV)/run.stamp requirements-dev.txt
	$(BIN)/python -m pip install --quiet --requirement requirements-dev.txt
	touch $@
