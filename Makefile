# make run    open the studio           http://127.0.0.1:7860 (STUDIO_PORT=... changes the port)
# make demo   portrait + speech -> out/demo.mp4, without a window
# make test   every check and every test
# make lint   ruff and mypy only
# make update renew the versions in constraints.txt, say what moved, run every test
# make newest try the newest releases that requirements.txt allows, in an environment of their own
# The same steps as plain pip commands, for systems without make, stand in README.md.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ifeq ($(OS),Windows_NT)
BIN := $(VENV)/Scripts
PYTHON := python
endif
PY := $(BIN)/python

.PHONY: run demo test lint update newest clean

run: $(VENV)/.installed
	$(PY) app.py

demo: $(VENV)/.installed
	$(PY) -m studio demo --out out/demo.mp4

# Two test processes share the cores: more threads in each only wait for one another.
test: export OMP_NUM_THREADS = 1
test: $(VENV)/.installed-dev
	$(PY) -m tests.chromium
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(PY) -m pytest -n 2 --dist loadfile

lint: $(VENV)/.installed-dev
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

update: $(VENV)/.installed-dev
	$(PY) .ci/pins.py update $(if $(TORCH),--torch $(TORCH))

newest: $(VENV)/.installed-dev
	$(PY) .ci/pins.py newest $(if $(KEEP),--keep $(KEEP))

# Stamps: the second make does not ask the package index again.
$(VENV)/.installed: requirements.txt constraints.txt install.py
	$(PYTHON) install.py
	$(PY) -c "open('$@', 'w').close()"

$(VENV)/.installed-dev: requirements-dev.txt $(VENV)/.installed
	$(PY) -m pip install --quiet -r requirements-dev.txt
	$(PY) -c "open('$@', 'w').close()"

clean:
	$(PYTHON) -c "import shutil; shutil.rmtree('$(VENV)', ignore_errors=True)"
