# make demo        train on real digits and compare the fast code with the reference
# make test        lint, types, doctests and all tests
# make test-torch TORCH=2.9.1    the adapter's tests with another version of PyTorch
# make docs        the documentation, in docs/_build/html
# make sanitize    the kernels' tests with gcc's address and undefined-behaviour sanitizers
# make tsan        the pool's and the threads' tests with gcc's thread sanitizer, a million jobs
# All make an environment in .venv first; nothing outside this folder changes.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
SOURCES := setup.py pyproject.toml $(shell find fastconv -name "*.pyx" -o -name "*.pxd" -o -name "*.h")

SANITIZE := build/sanitize
SANITIZERS := -fsanitize=address,undefined
SANITIZED := engine functional training/test_optimizers.py
# The test of huge sizes limits the process's memory, of which the sanitizer's map takes terabytes;
# torch is not ours to convict.
UNSANITIZED := not near_the_end_of_the_integers and not torch

TSAN := build/tsan
POOL := task_runs_once or not_begun or all_workers
THREADED := number_of_threads or python_threads

.PHONY: demo test test-torch docs sanitize tsan env lint clean

demo: $(STAMP)
	$(BIN)/fastconv info
	$(BIN)/fastconv train --data digits --output demo --overwrite
	$(BIN)/fastconv check

test: $(STAMP) lint
	$(BIN)/python -m pytest -n auto

test-torch: $(STAMP)
	$(PYTHON) -m venv build/torch-$(TORCH)
	build/torch-$(TORCH)/bin/python -m pip install --quiet torch==$(TORCH) numpy expecttest \
	  hypothesis pytest pytest-timeout pytest-xdist
	build/torch-$(TORCH)/bin/python -m pytest -n auto tests/adapters -k "torch or switch"

docs: $(STAMP)
	$(BIN)/python -m sphinx -q -W -n --keep-going docs docs/_build/html

# A copy of the tree, so that the build in place stays as it is. Python itself is not instrumented:
# the sanitizers' libraries must be there before it, and what it never frees is not a leak of ours.
sanitize: $(STAMP)
	mkdir -p $(SANITIZE)
	tar -cf - --exclude='*.so' --exclude=__pycache__ \
	  setup.py pyproject.toml README.md LICENSE fastconv tests | tar -xf - -C $(SANITIZE)
	cd $(SANITIZE) && CC=gcc CFLAGS="$(SANITIZERS) -O1 -fno-omit-frame-pointer -g" \
	  LDFLAGS="$(SANITIZERS)" $(abspath $(BIN))/python setup.py -q build_ext --inplace
	cd $(SANITIZE) && for threads in 1 2; do \
	  LD_PRELOAD="$$(gcc -print-file-name=libasan.so) $$(gcc -print-file-name=libubsan.so)" \
	  ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1:handle_segv=0:abort_on_error=1 \
	  UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1:abort_on_error=1 \
	  FASTCONV_NUM_THREADS=$$threads FASTCONV_RANDOM=300 \
	  $(abspath $(BIN))/python -m pytest -q -s -p no:cacheprovider -k "$(UNSANITIZED)" \
	    $(SANITIZED:%=tests/%) || exit 1; \
	done

# The pool by itself; then the threads of the package. What Python itself does is suppressed.
tsan: $(STAMP)
	FASTCONV_POOL_FLAGS="-fsanitize=thread -O1 -g" FASTCONV_POOL_JOBS=280000 \
	  $(BIN)/python -m pytest -q -p no:cacheprovider tests/engine/base/test_pool.py -k "$(POOL)"
	mkdir -p $(TSAN)
	tar -cf - --exclude='*.so' --exclude=__pycache__ \
	  setup.py pyproject.toml README.md LICENSE fastconv tests | tar -xf - -C $(TSAN)
	cd $(TSAN) && CC=gcc CFLAGS="-fsanitize=thread -O1 -fno-omit-frame-pointer -g" \
	  LDFLAGS="-fsanitize=thread" $(abspath $(BIN))/python setup.py -q build_ext --inplace
	printf 'race:libpython\nrace:_multiarray_umath\n' > $(TSAN)/suppressions
	cd $(TSAN) && $$(command -v setarch && echo -R) env LD_PRELOAD="$$(gcc -print-file-name=libtsan.so)" \
	  TSAN_OPTIONS="halt_on_error=1:suppressions=suppressions" FASTCONV_RANDOM=100 \
	  $(abspath $(BIN))/python -m pytest -q -s -p no:cacheprovider -k "$(THREADED)" \
	    tests/engine/base/test_threads.py

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/cython-lint fastconv
	$(BIN)/mypy

env: $(STAMP)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	{ echo "fastconv needs Python 3.11 or newer; 'make PYTHON=python3.12' names another."; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(STAMP): $(BIN)/python $(SOURCES)
	@command -v "$${CC:-cc}" >/dev/null || { [ -z "$$CC" ] && command -v gcc >/dev/null; } || \
	{ echo "fastconv needs a C compiler; install gcc or clang and try again."; exit 1; }
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	@touch $@

clean:
	rm -rf $(VENV) build dist demo docs/_build *.egg-info
	find fastconv -name "*.so" -delete
