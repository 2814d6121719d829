PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
KIT := $(abspath $(BIN)/kit)
# An editable install knows the modules that there were, so another list of them calls for a new one.
MODULES := $(sort $(wildcard kit/*.py kit/*/*.py kit/*/*/*.py))
INSTALLED := $(VENV)/.installed-$(shell echo $(MODULES) | cksum | cut -d ' ' -f 1)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo train-all test test-slow lint check docs bench bench-screen bench-train bench-predict bench-accuracy bench-clouds bench-evening gpu-check soak fuzz clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

setup: $(INSTALLED) ## install the kit, its compiled core and the developers' tools into .venv

# The compiled core and the version are fixed at install time, so their sources call for a new one.
$(INSTALLED): pyproject.toml kit/__init__.py $(wildcard ext/*)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "The kit needs Python 3.11 or newer; say which: make setup PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --editable '.[dev]'
	@rm -f $(VENV)/.installed*
	@touch $@

# What makes the demo small; without these lines it is the real thing.
WORLD := --places 48 --dates 2 --test-places 12
HOURS := 0.06

demo: setup demo/world ## the main job on a small made world, in demo/: under 5 minutes on 2 cores
	cd demo && $(KIT) compete world/train world/test --hours $(HOURS) --measure mae --name demo
	cd demo && $(KIT) score submissions/demo.zip world/truth --measure mae --sheet demo.png

# Made aside and renamed, so that an interrupted demo does not go on with half a world.
demo/world: | setup
	mkdir -p demo
	$(KIT) simulate demo/half $(WORLD) && mv demo/half demo/world

train-all: setup ## train the five variants, one after the other; ARGS="--gpus 5 --compile --set width=32"
	$(BIN)/kit train-all $(ARGS)

# Tests that share a costly fixture are a group, which one process runs. Bytecode is kept, whatever
# the user has set: dozens of processes would compile the kit anew.
PYTEST := PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest --numprocesses auto --dist loadgroup

# Tests write a hundred thousand small files and wait until they are on disk: in memory, where it
# has room for 2 GB, that takes no time. What a failed test has written stays.
MEMORY := /dev/shm

IN_MEMORY = if [ -w $(MEMORY) ] && [ "$$(df -kP $(MEMORY) | awk 'NR == 2 {print $$4}')" -gt 2000000 ]; \
	then export TMPDIR=$$(mktemp -d $(MEMORY)/kit-tests-XXXXXX); trap 'rm -rf "$$TMPDIR"' EXIT; fi;

test: setup ## run every test that is not slow: about 3 minutes on 2 cores
	@$(IN_MEMORY) $(PYTEST) -m 'not slow'

# torch-tensorrt's converters, of which TensorRT for RTX makes engines without a card. They would
# bring another TensorRT for RTX, and libraries that only torch for CUDA loads; so they lie apart.
build/converters: | setup
	mkdir -p build && rm -rf $@.part
	$(BIN)/python -m pip install --quiet --no-deps --target $@.part 'torch-tensorrt-rtx==2.13.*' dllist
	find $@.part -name '*.so*' -delete && mv $@.part $@

test-slow: setup ## run the slow tests
	@$(MAKE) --no-print-directory build/converters || echo "the tests of torch-tensorrt's converters skip" >&2
	@$(IN_MEMORY) $(PYTEST) -m slow

lint: setup ## run the linter, the formatter's check and the type checker
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

check: lint test test-slow ## run lint, test and test-slow, which every change must pass

SITE := build/docs

docs: setup ## build the documentation's site in build/docs/; a broken link fails
	$(BIN)/sphinx-build --fail-on-warning --keep-going --fresh-env --quiet docs $(SITE)

bench: bench-screen bench-train bench-predict ## measure the speed of everything that has a benchmark

bench-screen: setup ## measure counting and screening: 3 GB of tiles in a temporary folder, some minutes
	$(BIN)/python bench/screen.py

bench-train: setup ## measure training beside a plain implementation, and its loader: some minutes
	$(BIN)/python bench/train.py

bench-predict: setup ## measure drawing: every engine, and kit predict around the fastest; about twenty minutes
	$(BIN)/python bench/predict.py

bench-accuracy: setup ## compare the images with those of peers at equal CPU time: hours; goes on where it stopped
	$(BIN)/python bench/accuracy.py $(if $(DATA),--data "$(DATA)" --groups "$(GROUPS)") $(ARGS)

bench-clouds: setup ## compare the ways to choose Dataset-2 on real pairs, DATA=FOLDER: ten minutes of one core
	$(BIN)/python bench/clouds.py "$(DATA)" $(ARGS)

bench-evening: setup ## compare kit compete with three trainings of 0.1.0 in equal time: a quarter of an hour
	$(BIN)/python bench/evening.py $(ARGS)

gpu-check: setup ## what a quarter of an hour on a card settles, into bench/gpu_check.json; needs no rasterio
	$(BIN)/python bench/gpu_check.py $(ARGS)

# The first have the most cases, so that the processes end at about the same time.
SOAK := tests/reliability/test_faults.py tests/verification tests/runs/test_mutants.py \
  tests/tiles/test_netcdf.py tests/reliability/test_heavy_kills.py \
  tests/reliability/test_resume.py tests/prediction/test_member_job.py

soak: setup ## damage every file, fail and kill every command, at length: hours; goes on where it stopped
	@$(IN_MEMORY) KIT_SOAK=1 PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest --capture=no --quiet \
	  --numprocesses auto --dist worksteal $(SOAK)

FUZZ_SECONDS := 300

fuzz: setup ## fuzz the tile reader with libFuzzer, which needs clang++
	mkdir -p build/corpus && $(BIN)/python tests/helpers/seeds.py build/seeds
	clang++ -g -O1 -std=c++17 -pthread -fsanitize=fuzzer,address,undefined \
	  -fno-sanitize-recover=undefined ext/fuzz_tiles.cpp ext/tiles.cpp -o build/fuzz_tiles
	build/fuzz_tiles -max_len=60000 -max_total_time=$(FUZZ_SECONDS) build/corpus build/seeds

clean: ## remove .venv, the demo, builds and caches; data, runs and submissions stay
	rm -rf $(VENV) demo build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find kit tests -name __pycache__ -prune -exec rm -rf {} +
