# Two commands for a fresh machine: make demo, make test. Both begin with the .venv.
PYTHON ?= python3
BIN := .venv/bin
DEMO := runs/demo
DEMO_METRICS := label_accuracy,mutual_information,r2,correlation

.PHONY: demo test test-slow test-gpu install lint types clean

install: .venv/.installed

.venv/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "gander needs Python 3.11 or newer: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade -c constraints.txt -e '.[dev]'
	touch $@

demo: install
	$(BIN)/gander train acgan-infogan --data glyphs --images 130000 --minutes 2 --out $(DEMO)
	$(BIN)/gander evaluate $(DEMO) --n 2000 --metrics $(DEMO_METRICS) --json $(DEMO)/evaluation.json
	$(BIN)/gander sample $(DEMO) --sweep all --out $(DEMO)/knobs.png
	@echo
	@echo "Look at $(DEMO)/knobs.png: rows are the ordered digits, columns turn the three knobs the network found."
	@echo "The whole run is one page: $(DEMO)/report.html"
	@echo "Next:"
	@echo "  $(BIN)/gander sample $(DEMO) --set digit=3 --n 64 --out threes.png      64 threes"
	@echo "  $(BIN)/gander sample $(DEMO) --sweep c1 --sweep c2 --set digit=5 --out fives.png"
	@echo "  $(BIN)/gander train cgan --data path/to/your/images                     a sub-folder is a class"
	@echo "  $(BIN)/gander list"

test: install
	$(BIN)/python -m pytest -n 2

test-slow: install
	$(BIN)/python -m pytest -m slow --timeout 3600

test-gpu: install
	$(BIN)/python -m pytest tests/test_gpu.py -rs

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install
	$(BIN)/mypy

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache
