# Every target does its own set-up: a fresh machine needs python3 (3.11 or later, with venv) and make, nothing else.
# Set-up is done once: the stamps in .venv are remade only when a lock file, pyproject.toml or this recipe's input changes.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
HASHED := install --quiet --require-hashes
LOCK := $(BIN)/uv pip compile --quiet --universal --fork-strategy fewest --python-version 3.11 \
	--generate-hashes --no-header --no-annotate --no-emit-index-url

.DEFAULT_GOAL := help
.PHONY: help venv run test check fmt golden pictures docs bench bench-cluster soak lock

help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

venv: $(VENV)/.runtime ## set up .venv with the command installed in it

run: $(VENV)/.runtime ## start the server with the demo shop (ARGS="--port 0" passes options on)
	$(BIN)/richpanel serve --demo $(ARGS)

test: $(VENV)/.tests check ## everything: formatting, lint, types, imports, then the whole suite, on two cores (ARGS="-k word" narrows it)
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile $(ARGS)

check: $(VENV)/.dev ## the quick half of it: formatting, lint, types, imports, house rules
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest --quiet tests/test_house.py

fmt: $(VENV)/.dev ## put the code into the house's format
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

golden: $(VENV)/.dev ## write the payloads in tests/core/golden/wire anew; what changed is what Richpanel would be sent
	$(BIN)/python -m tests.core.wire_golden

pictures: $(VENV)/.tests ## take the pictures of the pages in docs/pictures anew, from the demo shop
	PICTURES=docs/pictures $(BIN)/python -m pytest --quiet tests/acceptance/test_stories.py

docs: $(VENV)/.dev ## build the documentation as a site: build/site/index.html
	$(BIN)/zensical build --strict

bench: $(VENV)/.tests ## measure the targets, each with its reference in the same run
	$(BIN)/python -m bench $(ARGS)

bench-cluster: $(VENV)/.tests ## measure PostgreSQL and JetStream beside the embedded engines, and what an event costs each role
	$(BIN)/python -m bench cluster $(ARGS)

soak: $(VENV)/.tests ## the long ones: laws at length, a hundred kills, a minute of overload, a bot of 200,000 events, growth to 5 M
	WHOLE_LAWS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile -o timeout=3600 tests/process
	$(BIN)/python -m pytest -m soak -s -o faulthandler_timeout=3600 -o timeout=0 tests
	$(BIN)/python -m bench soak $(ARGS)

lock: $(VENV)/.dev ## write the lock files anew from requirements/*.in (ARGS="--upgrade" takes newer releases)
	$(LOCK) $(ARGS) --output-file requirements/build.txt requirements/build.in
	$(LOCK) $(ARGS) --output-file requirements/runtime.txt requirements/runtime.in
	$(LOCK) $(ARGS) --output-file requirements/dev.txt requirements/dev.in
	$(LOCK) $(ARGS) --output-file requirements/sdk-older.txt requirements/sdk-older.in

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "richpanel needs Python 3.11 or later: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.runtime: $(VENV)/.python pyproject.toml requirements/build.txt requirements/runtime.txt
	$(PIP) $(HASHED) -r requirements/build.txt
	$(PIP) $(HASHED) -r requirements/runtime.txt
	$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	$(BIN)/python -m compileall -q src
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime requirements/dev.txt
	$(PIP) $(HASHED) -r requirements/dev.txt
	@touch $@

# What the suite needs beside .venv's own packages: Debian's, npm's, and the older generation of Segment's SDK.
$(VENV)/.tests: $(VENV)/.dev requirements/sdk-older.txt tests/setup.sh $(wildcard package-lock.json)
	rm -rf $(VENV)/sdk-older
	$(PIP) $(HASHED) --no-deps --target $(VENV)/sdk-older -r requirements/sdk-older.txt
	sh tests/setup.sh
	@touch $@
