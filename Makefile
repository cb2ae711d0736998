# Everything a fresh machine needs: `make quick` for a first look, `make run` for the main
# experiment, `make test` for the checks.
PYTHON ?= python3
BIN := .venv/bin
EXPERIMENT ?= experiments/res_generalization.yaml
export RAY_USAGE_STATS_ENABLED := 0
export MLFLOW_DISABLE_TELEMETRY := true
# pip need not compile all of what it installs (half of its time): Python compiles what it imports
INSTALL := $(BIN)/pip install --quiet --no-compile
export PYTHONDONTWRITEBYTECODE :=

.PHONY: quick run test install install-dev lint bench clean

quick: .venv/installed
	$(BIN)/rpe2d-bench run experiments/quick.yaml

run: .venv/installed
	$(BIN)/rpe2d-bench run $(EXPERIMENT)

test: .venv/installed-dev lint
	$(BIN)/python -m pytest -n 2 --dist worksteal
	$(BIN)/rpe2d-bench run experiments/smoke.yaml --store runs/smoke --reports runs/smoke/reports

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: .venv/installed-bench
	$(BIN)/python -m benchmarks

install: .venv/installed
install-dev: .venv/installed-dev

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/installed: pyproject.toml | .venv/bin/python
	$(INSTALL) --editable .
	touch $@

.venv/installed-dev: pyproject.toml | .venv/bin/python
	$(INSTALL) --editable ".[dev,photographs]"
	touch $@ .venv/installed

.venv/installed-bench: pyproject.toml | .venv/bin/python
	$(INSTALL) --editable ".[dev,photographs,bench]"
	touch $@ .venv/installed .venv/installed-dev

clean:
	rm -rf .venv runs .pytest_cache .mypy_cache .ruff_cache .hypothesis
