# Everything a fresh machine needs: `make quick` for a first look, `make run` for the main experiment, `make test` for the
# checks. Which machines and versions, and the variables below: docs/machines.md.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
EXPERIMENT ?= experiments/res_generalization.yaml
# Versions that were tested together; `CONSTRAINTS=` takes the newest that pyproject.toml allows
CONSTRAINTS ?= constraints.txt
# An index of PyTorch builds for this machine, such as PyTorch's own for processors without a GPU; empty: none
TORCH_INDEX ?=
# uv, where it is installed, chooses the build of PyTorch by the GPU that it finds; `UV=` takes pip
UV ?= $(shell command -v uv 2>/dev/null)
export RAY_USAGE_STATS_ENABLED := 0
export MLFLOW_DISABLE_TELEMETRY := true
export PYTHONDONTWRITEBYTECODE :=
export NO_MKDOCS_2_WARNING := 1

FROM := $(if $(CONSTRAINTS),--constraint $(CONSTRAINTS)) $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))
ifeq ($(strip $(TORCH_INDEX)),)
export UV_TORCH_BACKEND ?= auto
endif
# $(call install,WHAT): uv, and pip where there is no uv or it cannot (PyTorch's own index is out of reach, say).
# pip need not compile all of what it installs (half of its time): Python compiles what it imports.
BY_UV = $(UV) pip install --quiet --python $(BIN)/python $(FROM) $(if $(TORCH_INDEX),--index-strategy unsafe-best-match)
BY_PIP = $(BIN)/python -m pip install --quiet --no-compile $(FROM)
install = $(if $(strip $(UV)),$(BY_UV) --editable "$(1)" || { echo "uv could not; pip tries"; $(BY_PIP) --editable "$(1)"; },$(BY_PIP) --editable "$(1)")
COMMA := ,
PYTEST = $(BIN)/python -m pytest -n 2 --dist worksteal
# What an ordinary processor lacks, switched off in PyTorch, oneDNN and MKL; tests/helpers/narrow.py measures that it is
NARROW := ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 MKL_ENABLE_INSTRUCTIONS=AVX2
NUMERIC := tests/encodings tests/models tests/diffusion tests/metrics tests/training tests/test_narrow.py

.PHONY: quick run test test-slow test-avx2 test-lowest test-newest test-wheel lock install install-dev lint bench docs clean

quick: $(VENV)/installed
	$(BIN)/rpe2d-bench run experiments/quick.yaml

run: $(VENV)/installed
	$(BIN)/rpe2d-bench run $(EXPERIMENT)

test: $(VENV)/installed-dev lint
	$(PYTEST) -m "not slow"
	$(BIN)/rpe2d-bench run experiments/smoke.yaml --store runs/smoke --reports runs/smoke/reports

test-slow: $(VENV)/installed-dev
	$(PYTEST) -m slow

test-avx2: $(VENV)/installed-dev
	$(NARROW) $(PYTEST) -m "not slow" --narrow $(NUMERIC)

# The lowest versions that pyproject.toml allows of what the package itself asks for, and the newest, each in an
# environment of its own: every quick test, without lint and types (their tools are the tested ones' matter)
test-lowest:
	$(MAKE) VENV=.venv-lowest CONSTRAINTS=constraints-lowest.txt test-versions
test-newest:
	$(MAKE) VENV=.venv-newest CONSTRAINTS= test-versions
.PHONY: test-versions
test-versions: $(VENV)/installed-dev
	$(BIN)/python -c "import sys, torch; print('Python', sys.version.split()[0], 'torch', torch.__version__)"
	$(PYTEST) -m "not slow"

# The wheel in fresh environments outside the tree, by the oldest and the newest Python that pyproject.toml allows, or by
# those named: `make test-wheel PYTHONS=python3.13`
PYTHONS ?=
test-wheel:
	$(PYTHON) scripts/check_wheel.py $(PYTHONS) -- $(FROM)

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/hadolint Dockerfile

bench: $(VENV)/installed-bench
	$(BIN)/python -m benchmarks

# The documentation as a site of static files: site/index.html
docs: $(VENV)/installed-docs
	$(BIN)/mkdocs build

install: $(VENV)/installed
install-dev: $(VENV)/installed-dev

# Writes constraints.txt anew from the newest of everything, with this PyTorch: `make lock TORCH=2.13.0`
lock:
	rm -rf .venv-lock
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/pip install --quiet --no-compile $(if $(TORCH),torch==$(TORCH)) --editable ".[dev,docs,photographs,latents,search,bench]"
	.venv-lock/bin/python scripts/lock.py > constraints.txt.new
	mv constraints.txt.new constraints.txt
	rm -rf .venv-lock

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: pyproject.toml $(CONSTRAINTS) | $(VENV)/bin/python
	$(call install,.)
	@$(BIN)/python scripts/torch_build.py
	touch $@

$(VENV)/installed-dev: pyproject.toml $(CONSTRAINTS) | $(VENV)/bin/python
	$(call install,.[dev$(COMMA)photographs])
	@$(BIN)/python scripts/torch_build.py
	touch $@ $(VENV)/installed

$(VENV)/installed-bench: pyproject.toml $(CONSTRAINTS) | $(VENV)/bin/python
	$(call install,.[dev$(COMMA)photographs$(COMMA)bench])
	@$(BIN)/python scripts/torch_build.py
	touch $@ $(VENV)/installed $(VENV)/installed-dev

$(VENV)/installed-docs: pyproject.toml $(CONSTRAINTS) | $(VENV)/bin/python
	$(call install,.[docs])
	touch $@ $(VENV)/installed

clean:
	rm -rf .venv .venv-* runs site .pytest_cache .mypy_cache .ruff_cache .hypothesis
