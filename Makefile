# Each target sets up what it needs: Python 3.11 or newer with venv is all that must be there.
# PYTHON=python3.12 chooses the interpreter, JOBS=4 the number of test processes, ARGS="…" is
# handed to the command a target runs.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory --no-builtin-rules
.DELETE_ON_ERROR:
.ONESHELL:

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready
# An independent look-alike of Stripe, from npm, that the gateway's tests talk to.
MOCK_DIR := tests/gateways/stateful_mock
MOCK := $(MOCK_DIR)/node_modules/ready
# A real ERP, in an environment of its own: it is GPL, and is spoken to over HTTP only.
TRYTON := $(VENV)/tryton/installed.txt
# A real shop that runs our plugin.
VENDURE_DIR := tests/shops/vendure
VENDURE := $(VENDURE_DIR)/node_modules/ready
JOBS ?= 2
ARGS ?=
PIP := -m pip --disable-pip-version-check -qq
# A wheel is what its hash says; a source package would fetch a build tool no lock knows.
INSTALL := install --require-hashes --only-binary=:all:

# Packages of the same environment do not reach the tests through the caller's settings.
unexport PYTHONPATH PYTHONHOME

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

.PHONY: demo
demo: $(READY) ## Play the main job on a temporary database: refunds, lost answers, the books
	@$(BIN)/amends demo $(ARGS)

.PHONY: test
test: static $(MOCK) $(TRYTON) $(VENDURE) hledger chromium ## Everything: formatting, lint, types, floors, and the whole test suite
	@$(BIN)/python -m pytest -n $(JOBS) --dist=worksteal $(ARGS)

$(MOCK): $(MOCK_DIR)/package-lock.json
	@if command -v npm >/dev/null; then
	  echo "Installing stripe-stateful-mock for the gateway tests"
	  (cd $(MOCK_DIR) && npm ci --silent --no-audit --no-fund && touch node_modules/ready) \
	    || echo "stripe-stateful-mock did not install: its tests will be skipped" >&2
	else
	  echo "npm is not here: the tests against stripe-stateful-mock will be skipped" >&2
	fi

.PHONY: tryton
tryton: $(TRYTON) ## Install a Tryton of its own for the tests of the ERP

$(TRYTON): tests/erp/requirements.txt | $(READY)
	@echo "Installing Tryton for the tests of the ERP"
	(rm -rf $(VENV)/tryton && $(BIN)/python -m venv $(VENV)/tryton \
	  && $(VENV)/tryton/bin/python $(PIP) $(INSTALL) -r $< && cp $< $@) \
	  || { rm -rf $(VENV)/tryton; echo "Tryton did not install: its tests will be skipped" >&2; }
$(VENDURE): $(VENDURE_DIR)/package-lock.json
	@if command -v npm >/dev/null; then
	  echo "Installing Vendure for the tests of shops (168 MB, about a minute)"
	  (cd $(VENDURE_DIR) && npm ci --silent --no-audit --no-fund && touch node_modules/ready) \
	    || echo "Vendure did not install: its tests will be skipped" >&2
	else
	  echo "npm is not here: the tests against Vendure will be skipped" >&2
	fi

# The exports are checked by hledger itself, a program of the system, where it can be had.
.PHONY: hledger
hledger:
	@command -v hledger >/dev/null && exit 0
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
	  echo "Installing hledger for the tests of the exports"
	  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq hledger >/dev/null \
	    || echo "hledger did not install: its tests will be skipped" >&2
	else
	  echo "hledger is not here: the tests of the exports against it will be skipped" >&2
	fi

# The console is tested in Chromium: the system's, or Playwright's own where that can be had.
.PHONY: chromium
chromium: $(READY)
	@for name in chromium chromium-browser google-chrome; do
	  command -v $$name >/dev/null && exit 0
	done
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
	  echo "Installing chromium for the tests of the console"
	  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium >/dev/null && exit 0
	fi
	$(BIN)/playwright install chromium >/dev/null 2>&1 \
	  || echo "chromium is not here and did not install: the console's browser tests will be skipped" >&2

.PHONY: check
check: static ## The quick part, under a minute: static checks, kernel, core and house tests
	@$(BIN)/python -m pytest -q -n $(JOBS) --dist=worksteal $(wildcard tests/kernel tests/core tests/house) $(ARGS)

.PHONY: static
static: $(READY) ## Formatting, lint, types and floors only
	@$(BIN)/ruff format --quiet --diff . || { echo "Not formatted: run make fmt" >&2; exit 1; }
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

.PHONY: fmt
fmt: $(READY) ## Format the code and apply the safe repairs
	@$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

.PHONY: bench
bench: $(READY) ## Measure, against references of the same run and machine
	@$(BIN)/amends bench $(ARGS)

.PHONY: serve
serve: $(READY) ## Run the service with ./amends.toml
	@$(BIN)/amends serve $(ARGS)

.PHONY: postgres
postgres: $(READY) ## Run a throw-away PostgreSQL and print its URL, until Ctrl-C or Ctrl-D
	@exec $(BIN)/python tests/postgres.py --print-url $(ARGS)

.PHONY: setup
setup: $(READY) ## Only make .venv, with everything locked and amends itself in it

$(BIN)/python:
	@for python in $(PYTHON) python3 python3.14 python3.13 python3.12 python3.11 python; do
	  if "$$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
	    "$$python" -m venv --clear $(VENV)
	    exit 0
	  fi
	done
	echo "amends needs Python 3.11 or newer, with venv (on Debian the package python3-venv)." >&2
	echo "Found: $$(python3 --version 2>&1 || true). Name another one with: make PYTHON=/path/to/python3" >&2
	exit 1

# Installed again only when the words of the lock changed, not its date.
$(READY): locks/dev.txt pyproject.toml | $(BIN)/python
	@if ! cmp -s locks/dev.txt $(VENV)/installed.txt; then
	  echo "Installing the locked dependencies into $(VENV)"
	  $(BIN)/python $(PIP) $(INSTALL) -r locks/dev.txt
	  cp locks/dev.txt $(VENV)/installed.txt
	fi
	$(BIN)/python $(PIP) install --no-deps --no-build-isolation --editable .
	touch $@

# ARGS=--upgrade takes the newest releases; without it only what pyproject.toml asks for changes.
COMPILE = CUSTOM_COMPILE_COMMAND="make lock" $(VENV)/lock/bin/pip-compile --quiet --generate-hashes \
	--allow-unsafe --strip-extras --no-emit-options --no-emit-index-url --no-emit-find-links \
	--no-emit-trusted-host $(ARGS)

.PHONY: lock
lock: $(BIN)/python ## Pin what pyproject.toml asks for, with hashes, in locks/ (ARGS=--upgrade)
	@$(BIN)/python -m venv --clear $(VENV)/lock
	$(VENV)/lock/bin/python $(PIP) $(INSTALL) -r locks/tools.txt
	$(COMPILE) --output-file locks/tools.txt locks/tools.in
	$(COMPILE) --extra oidc --extra postgres --extra risk --build-deps-for wheel --output-file locks/runtime.txt pyproject.toml
	$(COMPILE) --output-file tests/erp/requirements.txt tests/erp/requirements.in
	$(COMPILE) --extra oidc --extra postgres --extra risk --extra dev --build-deps-for editable \
	  --constraint locks/runtime.txt --output-file locks/dev.txt pyproject.toml

.PHONY: clean
clean: ## Remove what these targets made
	@rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .schemathesis
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
