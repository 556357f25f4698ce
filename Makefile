# make run    open the studio           http://127.0.0.1:7860 (STUDIO_PORT=... changes the port)
# make demo   portrait + speech -> out/demo.mp4, without a window
# make test   every check and every test
# make lint   ruff and mypy only
# The same steps as plain pip commands, for systems without make, stand in README.md.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ifeq ($(OS),Windows_NT)
BIN := $(VENV)/Scripts
PYTHON := python
endif
PY := $(BIN)/python

.PHONY: run demo test lint clean

run: $(VENV)/.installed
	$(PY) app.py

demo: $(VENV)/.installed
	$(PY) -m studio demo --out out/demo.mp4

test: $(VENV)/.installed-dev
	$(PY) -m tests.chromium
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(PY) -m pytest

lint: $(VENV)/.installed-dev
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

# Stamps: the second make does not ask the package index again.
$(VENV)/.installed: requirements.txt install.py
	$(PYTHON) install.py
	$(PY) -c "open('$@', 'w').close()"

$(VENV)/.installed-dev: requirements-dev.txt $(VENV)/.installed
	$(PY) -m pip install --quiet -r requirements-dev.txt
	$(PY) -c "open('$@', 'w').close()"

clean:
	$(PYTHON) -c "import shutil; shutil.rmtree('$(VENV)', ignore_errors=True)"
