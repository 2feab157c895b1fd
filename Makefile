# make app     serve the dashboard on http://localhost:8501 (PORT=... for another port)
# make test    all tests          make lint    style, types, direction of imports
# make bench   the benchmarks     make clean   delete what make has installed (your data in workspace/ stays)

PYTHON ?= python3
PORT ?= 8501
APP_FLAGS ?=
# in the order of the folders: browsers early, or one process waits for the other's last one
TEST_FLAGS ?= -n 2 --dist loadfile --no-loadscope-reorder

VENV := .venv
PY := $(CURDIR)/$(VENV)/bin/python
PIP := $(PY) -m pip --quiet --disable-pip-version-check --no-input

# Whatever environment is active in the caller's shell must not leak in.
unexport PYTHONHOME PYTHONPATH VIRTUAL_ENV
export PYTHONNOUSERSITE := 1

.PHONY: app test lint bench clean
.DELETE_ON_ERROR:

app: $(VENV)/.installed
	@$(PY) -m sgm_core.cli app --port $(PORT) $(APP_FLAGS)

test: $(VENV)/.installed-dev
	@$(PY) -m pytest $(TEST_FLAGS)

lint: $(VENV)/.installed-dev
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy
	@$(VENV)/bin/lint-imports

bench: $(VENV)/.installed-dev
	@set -e; for script in benchmarks/*.py; do echo "== $$script"; $(PY) $$script; done

clean:
	rm -rf $(VENV) build .pytest_cache .ruff_cache .mypy_cache .import_linter_cache *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed: $$($(PYTHON) --version 2>&1) found (PYTHON=... names another)"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "Python's venv module is missing. On Debian: sudo apt-get install python3-venv"; exit 1; }
	@echo "making $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@touch $@

# torch first, by its pinned line: what depends on it then finds it installed.
$(VENV)/.installed: requirements.txt pyproject.toml $(VENV)/.made
	@echo "installing requirements.txt (a few minutes, once)"
	@$(PIP) install "$$(grep -o '^torch==[^ #]*' requirements.txt)"
	@$(PIP) install -r requirements.txt
	@$(PIP) install --no-deps -e .
	@touch $@

$(VENV)/.installed-dev: requirements-dev.txt $(VENV)/.installed
	@echo "installing requirements-dev.txt"
	@$(PIP) install -r requirements-dev.txt
	@touch $@
