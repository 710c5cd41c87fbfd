# `make demo` makes a model of examples/library and writes with it; `make test` passes every test.

PYTHON ?= python3
VENV ?= .venv
MINUTES ?= 2
RUN ?= runs/library
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --disable-pip-version-check -c constraints.txt
QUIRE := $(BIN)/quire

.PHONY: demo install test lint types contracts docs constraints clean

demo: $(VENV)/.with-run
	$(QUIRE) train examples/library --out $(RUN) --minutes $(MINUTES) --overwrite
	@printf '\nThe model writes, after "A neuron":\n\n'
	@$(QUIRE) generate $(RUN) "A neuron" --max-tokens 120 --temperature 0.7 --seed 1
	@printf '\nThe run:        %s\nIts report:     %s\nIts loss plot:  %s\n' \
	  "$(RUN)" "$(RUN)/quire/report.html" "$(RUN)/quire/plots/loss.png"

install: $(VENV)/.with-bench

test: $(VENV)/.with-dev
	OMP_NUM_THREADS=1 GOMP_SPINCOUNT=1000 $(BIN)/python -m pytest -n logical --maxprocesses 4 --dist loadfile tests docs README.md

lint: $(VENV)/.with-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(VENV)/.with-dev
	$(BIN)/mypy

contracts: $(VENV)/.with-dev
	$(BIN)/lint-imports

docs: $(VENV)/.with-dev
	$(BIN)/sphinx-build -q -W --keep-going -b html docs docs/_build/html

# All releases at once, for every Python from 3.10 on; torch and what it brings pin each other.
constraints: $(VENV)/.with-dev
	$(PIP) uv
	echo 'torch==2.13.0' > $(VENV)/torch.txt
	(echo "# Every release that quire is built and tested with, for Python 3.10 and newer. Made by 'make constraints'." && \
	  $(BIN)/uv pip compile --quiet --universal --python-version 3.10 --all-extras --no-annotate --no-header \
	  -c $(VENV)/torch.txt pyproject.toml | grep -vE '^(nvidia|cuda|triton)') > $(VENV)/constraints.txt
	mv $(VENV)/constraints.txt constraints.txt

clean:
	rm -rf $(VENV) runs corpora docs/_build

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo 'quire needs Python 3.10 or newer; name one with: make PYTHON=python3.12 ...' >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' || \
	  { echo 'this Python has no venv module; on Debian and Ubuntu: apt install python3-venv' >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/.with-run: $(VENV)/.python pyproject.toml constraints.txt
	$(PIP) -e .
	touch $@

$(VENV)/.with-bench: $(VENV)/.with-run
	$(PIP) -e '.[bench]'
	touch $@

$(VENV)/.with-dev: $(VENV)/.with-bench
	$(PIP) -e '.[dev]'
	touch $@
