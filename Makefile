PYTHON ?= python3
CORES ?= 2
ARGS ?=
BIN := .venv/bin

.PHONY: run test report clean lock

run: .venv/installed  ## every figure and table built so far, at the scale of config.yaml
	$(BIN)/snakemake --cores $(CORES) $(ARGS)

test: .venv/installed  ## the default test suite
	$(BIN)/pytest $(ARGS)

report: .venv/installed  ## results as one HTML page, once `make run` has made them
	$(BIN)/snakemake --cores $(CORES) --report results/report.html $(ARGS)

clean:  ## everything that the workflow made (the downloads stay)
	rm -rf results/datasets results/training results/spectra results/aelle results/systems results/tables results/figures results/logs

lock:  ## the lock files anew, from pyproject.toml
	uv pip compile --universal --python-version 3.11 --all-extras --generate-hashes --constraint .ci/lock-constraints.txt \
	    --custom-compile-command "make lock" --output-file requirements.lock pyproject.toml
	$(PYTHON) .ci/lock.py

.venv/installed: requirements.lock requirements-cuda.lock pyproject.toml
	$(PYTHON) -c "import sys; sys.exit(0 if sys.version_info >= (3, 11) else 'Python 3.11 or newer is needed, this is ' + sys.version)"
	$(PYTHON) -m venv --clear .venv
	# A build of PyTorch that this machine's pip configuration offers as a file (find-links), such as the CPU build, goes first.
	sed -n '/^torch==/,/# via/p' requirements.lock | \
	    $(BIN)/pip install --quiet --no-index --no-deps --require-hashes -r /dev/stdin 2>/dev/null || true
	$(BIN)/pip install --quiet --no-deps --require-hashes -r requirements.lock
	if $(BIN)/python -c "import importlib.metadata as m, sys; sys.exit('+cpu' in m.version('torch') or 'nvidia' not in str(m.requires('torch')))"; then \
	    $(BIN)/pip install --quiet --no-deps --require-hashes -r requirements-cuda.lock; fi
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@
