PYTHON ?= python3
CORES ?= 2
ARGS ?=
PROFILE ?=
BIN := .venv/bin
# The tests of a file share compiled code and results. Files go to the workers in the order of tests/conftest.py. By default,
# xdist would run the files with the fewest tests last, and these take longest.
PYTEST := -n $(CORES) --dist loadfile --no-loadscope-reorder

LIBRARY_TESTS := tests/house tests/linalg tests/cells tests/systems tests/spectra tests/aelle \
    $(addprefix tests/test_,networks.py progress.py public_names.py) \
    $(addprefix lyapunov_pkg/,linalg cells systems spectra aelle drawing.py networks.py labels.py progress.py)

.DEFAULT_GOAL := help

# With this path, Ctrl-C ends these commands without a traceback (envs/startup/sitecustomize.py).
run report doc-tables: export PYTHONPATH := $(CURDIR)/envs/startup$(if $(PYTHONPATH),:$(PYTHONPATH))

.PHONY: help run plan test test-slow test-all test-avx2 test-plain test-library check report doc-tables list cache \
    benchmarks benchmark-tables docs check-docs schema clean lock

help:  ## lists these commands
	@sed -n 's/^\([a-z][a-z0-9-]*\):.*  ## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | awk -F'\t' '{printf "make %-16s %s\n", $$1, $$2}'

run: .venv/installed  ## makes every figure and table at the scale of config.yaml; on a cluster with PROFILE=slurm
	@$(BIN)/python -m lyapunov_pkg.reproduction.configuration check $(ARGS)
	$(BIN)/snakemake $(if $(PROFILE),--profile profiles/$(PROFILE),--cores $(CORES)) $(ARGS)

plan: .venv/installed  ## prints the cost of a run from an empty cache for each rule: jobs, core hours, memory, disk
	@$(BIN)/python -m lyapunov_pkg.reproduction.costs $(ARGS)

test: .venv/installed  ## runs all tests except the slow ones
	$(BIN)/pytest $(PYTEST) $(ARGS)

test-slow: .venv/installed  ## runs only the slow tests: fuzzers, 50 kills, rebuilding of all targets
	$(BIN)/pytest $(PYTEST) -m slow $(ARGS)

test-all: .venv/installed  ## runs all tests; tests that need finished results share them
	$(BIN)/pytest $(PYTEST) -m "slow or not slow" $(ARGS)

test-library: .venv/installed  ## runs only the tests of the library, without the workflow
	$(BIN)/pytest $(PYTEST) $(ARGS) $(LIBRARY_TESTS)

# AVX2 simulates a processor without AVX-512, PLAIN an unknown processor. vectors.py reads the same variables as Numba.
KERNEL_TESTS := tests/linalg tests/spectra/test_propagators.py tests/spectra/test_recording.py \
    tests/cells/test_sequences.py tests/systems/test_kernels.py
AVX2 := NUMBA_CPU_NAME=haswell NUMBA_CPU_FEATURES=+sse4.2,+avx,+avx2,+fma,+bmi,+bmi2,+lzcnt,+popcnt,+f16c,+movbe
PLAIN := NUMBA_CPU_NAME=generic NUMBA_CPU_FEATURES=

test-avx2: .venv/installed  ## runs the tests of the compiled kernels with AVX2 vector registers (x86 only)
	$(AVX2) NUMBA_CACHE_DIR=.numba/avx2 $(BIN)/pytest $(PYTEST) $(ARGS) $(KERNEL_TESTS)

test-plain: .venv/installed  ## runs the same tests as on an unknown processor
	$(PLAIN) NUMBA_CACHE_DIR=.numba/plain $(BIN)/pytest $(PYTEST) $(ARGS) $(KERNEL_TESTS)

check: .venv/installed  ## checks style and types, as CI does
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check --compact-diff Snakefile rules
	$(BIN)/snakemake --lint
	$(BIN)/mypy

report: .venv/installed  ## writes the results of `make run` as one HTML page
	@$(BIN)/python -m lyapunov_pkg.reproduction.configuration check $(ARGS)
	$(BIN)/snakemake --cores $(CORES) --report results/report.html $(ARGS)

doc-tables: .venv/installed  ## updates the tables of docs/reproduction from results of this commit; ARGS="--configfile FILE" for those of an overlay
	@$(BIN)/python -m lyapunov_pkg.reproduction.configuration check $(ARGS)
	tables=$$($(BIN)/python -m lyapunov_pkg.reproduction.included_tables targets $(ARGS)) && \
	    $(BIN)/snakemake --cores $(CORES) $$tables $(ARGS)
	$(BIN)/python -m lyapunov_pkg.reproduction.included_tables write $(ARGS)

list: .venv/installed  ## lists every target of `make run ARGS=NAME` with its caption; ARGS="--configfile FILE" for your settings
	@$(BIN)/python -m lyapunov_pkg.reproduction.targets $(ARGS)

cache: .venv/installed  ## lists the entries of the cache; ARGS="prune --older-than 30" (days) or "prune --max-size 10" (GB) deletes some
	$(BIN)/python -m lyapunov_pkg.workflow.pruning $(or $(ARGS),list)

benchmarks: .venv/installed .benchmark-peers/installed  ## compares the speed with other programs (benchmarks/README.md)
	PYTHONPATH=.benchmark-peers $(BIN)/python benchmarks/spectrum.py $(ARGS)

benchmark-tables: .venv/installed  ## updates the tables of the documentation from benchmarks/results/*.json
	$(BIN)/python benchmarks/tables.py

# A warning is an error. The gallery examples run in two processes (docs/conf.py) of one thread each.
docs: .venv/installed .docs-tools/installed  ## builds the documentation as a website, docs/_build/html/index.html
	OMP_NUM_THREADS=1 PYTHONPATH=.docs-tools $(BIN)/python -m sphinx -b html -W --keep-going -n -q docs docs/_build/html $(ARGS)

check-docs: .venv/installed .docs-tools/installed  ## checks spelling, the citation, and the archives for pip and PyPI
	PYTHONPATH=.docs-tools $(BIN)/python -m codespell_lib
	PYTHONPATH=.docs-tools $(BIN)/python -c "from cffconvert.cli.cli import cli; cli()" --validate
	rm -rf build dist
	PYTHONPATH=.docs-tools $(BIN)/python -m build --quiet --no-isolation
	PYTHONPATH=.docs-tools $(BIN)/python -m twine check --strict dist/*

schema: .venv/installed  ## writes the schema and docs/configuration.md from the definitions of the settings
	$(BIN)/python -m lyapunov_pkg.reproduction.configuration write

clean:  ## deletes all results of the workflow, and the built documentation and package; keeps downloads and the cache
	find results -mindepth 1 ! -name .gitkeep -delete
	rm -rf build dist docs/_build docs/api docs/gallery *.egg-info

lock:  ## rewrites the lock files from pyproject.toml
	uv pip compile --universal --python-version 3.11 --extra workflow --extra test --generate-hashes \
	    --constraint .ci/lock-constraints.txt \
	    --custom-compile-command "make lock" --output-file requirements.lock pyproject.toml
	uv pip compile --universal --python-version 3.11 --extra benchmarks --generate-hashes --constraint requirements.lock \
	    --custom-compile-command "make lock" --output-file requirements-benchmarks.lock pyproject.toml
	uv pip compile --universal --python-version 3.11 --extra docs --generate-hashes --constraint requirements.lock \
	    --override .ci/lock-overrides.txt \
	    --custom-compile-command "make lock" --output-file requirements-docs.lock pyproject.toml
	$(PYTHON) .ci/lock.py

.venv/installed: requirements.lock requirements-cuda.lock pyproject.toml
	$(PYTHON) -c "import sys; sys.exit(0 if sys.version_info >= (3, 11) else 'Python 3.11 or newer is needed, this is ' + sys.version)"
	$(PYTHON) -m venv --clear .venv
	# If this machine's pip configuration offers a build of PyTorch as a file (find-links), such as the CPU build, use it.
	sed -n '/^torch==/,/# via/p' requirements.lock | \
	    $(BIN)/pip install --quiet --no-index --no-deps --require-hashes -r /dev/stdin 2>/dev/null || true
	$(BIN)/pip install --quiet --no-deps --require-hashes -r requirements.lock
	if $(BIN)/python -c "import importlib.metadata as m, sys; sys.exit('+cpu' in m.version('torch') or 'nvidia' not in str(m.requires('torch')))"; then \
	    $(BIN)/pip install --quiet --no-deps --require-hashes -r requirements-cuda.lock; fi
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

# These packages are separate from .venv, so that only the benchmarks can import them.
.benchmark-peers/installed: .venv/installed requirements-benchmarks.lock
	rm -rf .benchmark-peers
	$(BIN)/pip install --quiet --no-deps --require-hashes --target .benchmark-peers -r requirements-benchmarks.lock
	touch $@

# These tools are separate from .venv, so that their new versions change neither the tests nor the results.
.docs-tools/installed: .venv/installed requirements-docs.lock
	rm -rf .docs-tools
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --require-hashes --target .docs-tools -r requirements-docs.lock
	touch $@
