# Two commands: `make demo` and `make test`. Each sets up .venv first, from requirements.lock, where it is not current.
# `make docs` builds the documentation into build/docs; a broken link, or anything else Sphinx warns of, is an error.
# `make test-long` runs the tests that `make test` leaves out: too long for every day, or in need of a Slurm or the real data.

PYTHON ?= python3
CORES ?= $(shell nproc)
# With a GPU one job at a time takes it; without, as many one-thread jobs as there are cores work side by side.
JOBS ?= $(if $(wildcard /dev/nvidia0),1,$(CORES))
VENV := .venv
STAMP := $(VENV)/.installed
RUN := $(VENV)/bin

TESTS := PATH="$(CURDIR)/$(RUN):$$PATH" OMP_NUM_THREADS=1 pytest --durations 15

.PHONY: demo test test-long check docs lock clean

demo: $(STAMP)
	PATH="$(CURDIR)/$(RUN):$$PATH" snakemake --cores $(CORES) --resources gpu=$(JOBS)
	@$(RUN)/python scripts/show_accuracies.py results
	@echo "The report lies at $(CURDIR)/results/report/index.html"

test: $(STAMP)
	$(TESTS) --numprocesses $(CORES) --dist worksteal

test-long: $(STAMP)
	$(TESTS) --numprocesses $(CORES) --dist worksteal -m 'long and not cluster'
	$(TESTS) -m cluster

check: $(STAMP)
	$(RUN)/ruff format --check .
	$(RUN)/ruff check .
	$(RUN)/mypy
	$(RUN)/hadolint Dockerfile
	$(RUN)/snakefmt --check Snakefile rules
	PATH="$(CURDIR)/$(RUN):$$PATH" snakemake --lint

docs: $(STAMP)
	$(RUN)/sphinx-build --fail-on-warning --keep-going --quiet -d build/doctrees docs build/docs
	@echo "The documentation lies at $(CURDIR)/build/docs/index.html"

$(STAMP): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(RUN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(RUN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

# Pin again what pyproject.toml's ranges resolve to today.
lock:
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet torch==2.13.0 torchvision==0.28.0 '.[dev]'
	.venv-lock/bin/python -m pip freeze --all --exclude pip --exclude featurediff | sed 's/+cpu$$//' > requirements.lock
	rm -r .venv-lock

clean:
	rm -rf $(VENV) results .snakemake build
