# Two commands matter: `make demo` and `make test`. Each sets up what it needs.
VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.stamp

.PHONY: setup demo test mutants check up fmt docs lock guarantees matrix-setup matrix test-newer soak

setup: $(STAMP)
	@$(PY) -m app.stack install

$(STAMP): requirements.lock pyproject.toml
	@test -x $(PY) || python3 -m venv $(VENV)
	@echo "Installing the locked dependencies into $(VENV) ..."
	@$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(STAMP)

demo: setup
	@$(VENV)/bin/lifeboat drill --scenario redis-wipe --tasks 2000

up: setup
	@$(VENV)/bin/lifeboat up

# The suite mostly waits for servers: more processes than cores, each with servers of its own.
# Not the files with most tests first: those with few take longest.
test: setup
	@$(PY) -m pytest -n 3 --dist loadfile --no-loadscope-reorder

# Five minutes of faults of every kind; it says its seed, and SEED=N plays those of that seed again.
SEED ?= $(shell date +%s)
soak: setup
	@$(VENV)/bin/lifeboat drill --scenario random --minutes 5 --tasks 9000 --seed $(SEED)

# Debian 13's Redis and RabbitMQ in a folder, beside those of the machine.
matrix-setup: setup
	@$(PY) -m app.stack root

# Every drill on both pairs of servers: some forty games of 40 s and more.
matrix: matrix-setup
	@$(PY) -m app.drill.matrix

test-newer: matrix-setup
	@LIFEBOAT_STACK_ROOT=.lifeboat/trixie $(PY) -m pytest -n 3 --dist loadfile --no-loadscope-reorder

# Takes out, one at a time, what makes the system right: each must fail a test. ARGS="--only NAME"
mutants: setup
	@$(PY) -m tests.mutants $(ARGS)

check: setup
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports
	@$(MAKE) --no-print-directory test

fmt: $(STAMP)
	@$(VENV)/bin/ruff check --fix -q . ; $(VENV)/bin/ruff format -q .

docs: $(STAMP)
	@$(PY) -m app.cli.references

# Plays what the page of measured guarantees rests on, then writes the page; takes about an hour.
guarantees: setup
	@$(PY) -m app.drill.measure; failed=$$?; $(MAKE) --no-print-directory docs; exit $$failed

lock: $(STAMP)
	@$(VENV)/bin/pip-compile -q --extra dev --generate-hashes --no-emit-index-url \
	  --no-emit-find-links --allow-unsafe --strip-extras -o requirements.lock pyproject.toml
