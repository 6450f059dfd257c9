# Everything a fresh clone needs is Python 3.11 or later and make; each target does its own set-up and says what it does.

PYTHON_OF_VENV := .venv/bin/python

.PHONY: help env runtime test lint bench chaos demo lock clean

help:
	@echo "make demo    a running demo: console, worker and both simulated vendors (Ctrl-C ends it)"
	@echo "make test    the whole test suite, on SQLite and on PostgreSQL"
	@echo "make lint    lint, format, types, import rules, dependencies, security, missing migrations"
	@echo "make bench   benchmarks;  make chaos   long fault schedules"
	@echo "make env     the environment alone (.venv);  make lock   new lock files;  make clean   remove what was made"

env:
	@requirements/environment.sh dev

runtime:
	@requirements/environment.sh runtime

demo: runtime
	@exec $(PYTHON_OF_VENV) manage.py demo

test: env
	@exec $(PYTHON_OF_VENV) -m tests.run_suite $(ARGS)

bench: env
	@exec $(PYTHON_OF_VENV) -m tests.run_suite --benchmarks $(ARGS)

chaos: env
	@exec $(PYTHON_OF_VENV) -m tests.run_suite --chaos $(ARGS)

lint: env
	@exec $(PYTHON_OF_VENV) -m tests.run_lint

lock:
	@requirements/lock.sh

clean:
	rm -rf .venv .demo staticfiles .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .coverage htmlcov
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
