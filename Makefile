# Two commands for a fresh machine: make demo, make test. Both begin with the .venv.
PYTHON ?= python3
BIN := .venv/bin
DEMO := runs/demo
DEMO_METRICS := label_accuracy,mutual_information,r2,correlation
BENCH_DATA := mnist
INPUTS := 1000000
KILLS := 300
SEED := 0

# Where the environment forbids bytecode, each of hundreds of processes would compile PyTorch anew.
export PYTHONDONTWRITEBYTECODE =

.PHONY: demo test test-slow test-gpu test-kill fuzz bench bench-gpu install browser lint types clean

install: .venv/.installed

.venv/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "gander needs Python 3.11 or newer: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade --no-compile -c constraints.txt -e '.[dev]'
	touch $@

demo: install
	$(BIN)/gander train acgan-infogan --data glyphs --images 130000 --minutes 4 --out $(DEMO)
	$(BIN)/gander evaluate $(DEMO) --n 2000 --metrics $(DEMO_METRICS) --json $(DEMO)/evaluation.json
	$(BIN)/gander sample $(DEMO) --sweep all --out $(DEMO)/knobs.png
	$(BIN)/gander export $(DEMO) --to html --out $(DEMO)/knobs.html
	@echo
	@echo "Look at $(DEMO)/knobs.png: rows are the ordered digits, columns turn the three knobs the network found."
	@echo "The whole run is one page: $(DEMO)/report.html"
	@echo "Next:"
	@echo "  $(BIN)/gander sample $(DEMO) --set digit=3 --n 64 --out threes.png      64 threes"
	@echo "  $(BIN)/gander sample $(DEMO) --sweep c1 --sweep c2 --set digit=5 --out fives.png"
	@echo "  $(BIN)/gander edit $(DEMO) glyphs:test#7 --sweep c1 --out edit.png      a real image, its knob turned"
	@echo "  $(BIN)/gander train cgan --data path/to/your/images                     a sub-folder is a class"
	@echo "  $(BIN)/gander list"
	@echo "Turn the knobs yourself, in any browser: $(abspath $(DEMO))/knobs.html"

test: install
	$(BIN)/python -m pytest -n 2

test-slow: install
	$(BIN)/python -m pytest -m slow --timeout 3600

test-gpu: install
	$(BIN)/python -m pytest tests/test_gpu.py -rs

# Hundreds of SIGKILLs, every end compared bit by bit with a run that nobody killed: some ten minutes.
test-kill: install
	PYTHONPATH=tests $(BIN)/python tests/killing.py --kills $(KILLS) --seed $(SEED) --json benchmarks/results/kills.json
	$(BIN)/python benchmarks/trust.py

# A million hostile inputs to every reader of files, guided by coverage where atheris exists: about half an hour on one core.
fuzz: install
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[fuzz]'
	PYTHONPATH=tests $(BIN)/python -m fuzz --inputs $(INPUTS) --seed $(SEED) --json benchmarks/results/fuzz.json
	$(BIN)/python benchmarks/trust.py

# Everything that is measured about speed, on this machine, and the page made of it: more than an hour; nothing else should run.
bench: install
	$(BIN)/gander bench --parts all --data $(BENCH_DATA) --json benchmarks/results/speed.json
	$(BIN)/python benchmarks/speed.py

# Under 8 minutes. Needs no installation, only a Python that has PyTorch and numpy: make bench-gpu PYTHON=python3.12
bench-gpu:
	PYTHONPATH=src $(PYTHON) benchmarks/gpu.py --out benchmarks/results/gpu.json
	PYTHONPATH=src $(PYTHON) benchmarks/speed.py

# The tests of the knobs page start a real browser, and are skipped where there is none.
browser:
	@for name in chromium chromium-browser google-chrome google-chrome-stable; do \
		command -v $$name >/dev/null && exit 0; done; \
	command -v apt-get >/dev/null || { echo "no browser and no apt-get: install Chromium for the tests of the knobs page"; exit 1; }; \
	root=; [ "$$(id -u)" = 0 ] || root=sudo; \
	$$root apt-get update -qq && $$root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install
	$(BIN)/mypy

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache
