# Two commands: `make demo` and `make test`. Each does its own set-up in .venv; python3 (3.11+) is all that must be there.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LOCKED := $(VENV)/.locked
NATIVE := $(VENV)/.native
CARGO := $(shell command -v cargo 2>/dev/null)
RUST_SOURCES := $(shell find native -name '*.rs' -not -path '*/target/*' 2>/dev/null) $(wildcard native/Cargo.* native/pyproject.toml)

.PHONY: demo test lint setup bench soak docs lock clean
.DEFAULT_GOAL := help

help:
	@echo "make demo [ONCE=1]  an example model under zero-code instrumentation, with the sidecar beside it"
	@echo "make test           every test, of Rust and Python; engines and toolchains that are missing are skipped with a reason"
	@echo "make lint           ruff, mypy, import-linter, clippy, rustfmt"
	@echo "make bench          CPU per million items, beside the OpenTelemetry Collector where Go can build it"
	@echo "make docs           write docs/reference from the program"

$(LOCKED): requirements.lock pyproject.toml instrumentation/pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e . -e ./instrumentation
	@touch $@

# The native core is built where cargo is found; without it the program runs on the reference decoder and says so.
$(NATIVE): $(LOCKED) $(RUST_SOURCES)
ifdef CARGO
	$(BIN)/maturin build --quiet --release --locked -m native/Cargo.toml -i $(BIN)/python -o $(VENV)/wheels
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --force-reinstall $(VENV)/wheels/*.whl
else
	@echo "cargo was not found: running on the pure-Python reference decoder (slower, same results)"
endif
	@touch $@

setup: $(LOCKED) $(NATIVE)

demo: setup
	$(BIN)/sidecar demo $(if $(ONCE),--once)

test: setup
ifdef CARGO
	cargo test --quiet --locked --lib --manifest-path native/Cargo.toml
endif
	$(BIN)/python -m pytest $(ARGS)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
ifdef CARGO
	cargo fmt --manifest-path native/Cargo.toml --check
	cargo clippy --quiet --release --locked --manifest-path native/Cargo.toml --all-targets -- -D warnings
endif

bench: setup
	$(BIN)/python bench/run.py $(ARGS)

soak: setup
	$(BIN)/python -m pytest -m soak --override-ini=addopts="-ra --import-mode=importlib" tests/e2e $(ARGS)

docs: setup
	$(BIN)/sidecar config docs > docs/reference/reference.md
	$(BIN)/sidecar config schema > docs/reference/configuration.schema.json

lock: $(LOCKED)
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --all-extras --generate-hashes --no-header --no-annotate pyproject.toml -o requirements.lock

clean:
	rm -rf $(VENV) native/target build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
