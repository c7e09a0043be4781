# `make run` sets up and serves; `make test` sets up and runs everything that checks the project.
# The distribution's Python first: built with profile-guided optimisation, and kept safe by the distribution. It needs
# python3-venv, which only root can add.
FITS := import importlib.util, os, sys; \
	sys.exit(sys.version_info < (3, 11) or (os.getuid() != 0 and not importlib.util.find_spec("ensurepip")))
PYTHON ?= $(shell /usr/bin/python3 -c '$(FITS)' 2>/dev/null && echo /usr/bin/)python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help run demo test check format bench schema e2e fuzz screenshots web compiled clean

help: ## this list
	@grep -hE '^[a-z0-9]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 10

run: .venv/run.stamp web compiled ## set up, serve on http://localhost:8080, print the links (ARGS="--port 9000 …")
	@$(BIN)/diemcau run $(ARGS)

demo: .venv/run.stamp web compiled ## the same with a throw-away sample meeting and a ready host account
	@$(BIN)/diemcau demo $(ARGS)

test: .venv/test.stamp web check compiled ## everything: the fast gate, then real servers, peers and browsers
	$(BIN)/python -m clients.web.build test
	$(BIN)/pytest -m "not slow" tests/media tests/fuzz
	$(BIN)/pytest -m slow $(ARGS)

check: .venv/test.stamp web ## the fast gate: format, lint, types, imports, pages, quick tests
	$(BIN)/ruff format --check -q .
	$(BIN)/ruff check -q .
	$(BIN)/mypy
	$(BIN)/lint-imports > .import-linter.log || (cat .import-linter.log; exit 1)
	$(BIN)/python -m clients.web.build check
	DIEMCAU_INTERPRETED=1 $(BIN)/pytest -m "not slow"

format: .venv/test.stamp ## put the Python code into its form
	$(BIN)/ruff check -q --fix .
	$(BIN)/ruff format -q .

e2e: .venv/test.stamp web ## the tests in Chromium only
	$(BIN)/pytest tests/e2e $(ARGS)

fuzz: .venv/test.stamp ## the parsers of outside bytes under mutated captures (FUZZ_S=60 seconds each)
	FUZZ_S=$(or $(FUZZ_S),60) $(BIN)/pytest -s -m slow tests/fuzz $(ARGS)

screenshots: .venv/test.stamp web ## take the README's pictures from the running product
	$(BIN)/python -m tests.e2e.screenshots clients/pictures
	DIEMCAU_SHOTS=clients/pictures $(BIN)/pytest -m slow tests/e2e/test_phone.py

bench: .venv/test.stamp compiled ## the benchmarks, as JSON
	$(BIN)/diemcau bench log --json
	$(BIN)/diemcau bench sockets --peer socketio --json
	$(BIN)/diemcau bench fanout --peer janus --peer janus-loops --peer aiortc --json

schema: .venv/test.stamp ## write the wire's JSON Schema and the pages' types from it
	$(BIN)/diemcau schema
	$(BIN)/python -m clients.web.build types

web: .venv/run.stamp
	@$(BIN)/python -m clients.web.build

compiled: .venv/run.stamp ## compile the media node, if that was not done since it was last changed
	@$(BIN)/python -m media.compile

.venv/run.stamp: requirements.lock pyproject.toml
	@PYTHON=$(PYTHON) docker/debian-packages.sh run
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "Installing Python packages …"
	@$(PIP) install --require-hashes -r requirements.lock
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

.venv/test.stamp: .venv/run.stamp requirements-dev.lock
	@PYTHON=$(PYTHON) docker/debian-packages.sh test
	@echo "Installing development packages …"
	@$(PIP) install --require-hashes -r requirements-dev.lock
	@touch $@

clean: ## remove what was built and installed here; data stays
	rm -rf .venv clients/web/dist clients/web/node_modules build dist *.egg-info
