# To begin with: `make demo` and `make check`. Each does its own set-up in .venv; python3 (3.11+) is all that must be there.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LOCKED := $(VENV)/.locked
NATIVE := $(VENV)/.native
# Two processes of tests. Those that start programs are grouped by tests/support/processes_of_tests.py and begun in the order
# of collection, so that single tests are last and both processes end together.
AT_ONCE := -n 2 --dist loadfile
PROGRAMS_AT_ONCE := -n 2 --dist loadgroup --no-loadscope-reorder
# Tests' bytecode is kept: without it each process of tests compiles them all again.
unexport PYTHONDONTWRITEBYTECODE
CARGO := $(shell command -v cargo 2>/dev/null)
RUST_SOURCES := $(shell find native -name '*.rs' -not -path '*/target/*' 2>/dev/null) $(wildcard native/Cargo.* native/pyproject.toml)

.PHONY: stack-env oracles demo check test test-cluster test-node coverage lint setup golden bench soak docs lock wheels clean
.DEFAULT_GOAL := help

help:
	@echo "make demo [ONCE=1]  an example model under zero-code instrumentation, with the sidecar beside it"
	@echo "make check          lint, unit and contract tests: what to run before every commit (under two minutes)"
	@echo "make test           every test, of Rust and Python; engines and toolchains that are missing are skipped with a reason"
	@echo "make test-cluster   charts, injection, images and gateways by real tools: long builds, kept outside the tree"
	@echo "make test-node      the chart and the images on a node of a real Kubernetes, which is built first; needs root"
	@echo "make coverage       the lines that unit and contract tests run, by file"
	@echo "make golden         write the golden files of documents anew from the reference decoder"
	@echo "make oracles        write the golden files of Jaeger, TraceQL's grammar, drift and data quality anew: real programs, simulations"
	@echo "make lint           ruff, mypy, import-linter, clippy, rustfmt"
	@echo "make bench          CPU per million items, beside the OpenTelemetry Collector where Go can build it"
	@echo "make soak [KILLS=N] 500 times kill -9 under load: nothing acknowledged is lost or there twice"
	@echo "make wheels         dist/: what the images are built from"
	@echo "make stack-env [PROFILES='core metrics elk']  what compose.yaml reads: .env with passwords by chance, .stack/"
	@echo "make docs           write what is generated: docs/reference, alerts and runbooks, dashboards, configurations"
	@echo "make setup          only the set-up of .venv, which every other target does too"
	@echo "make lock           write requirements.lock from pyproject.toml"
	@echo "make clean          remove .venv and what was built"

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

check: lint
	$(BIN)/python -m pytest $(AT_ONCE) -m "not slow and not engine" -q tests/unit tests/contract $(ARGS)

test: setup
ifdef CARGO
	cargo test --quiet --locked --lib --manifest-path native/Cargo.toml
endif
	$(BIN)/python -m pytest $(AT_ONCE) tests/unit tests/contract tests/fuzz $(ARGS)
	$(BIN)/python -m pytest $(PROGRAMS_AT_ONCE) --ignore tests/unit --ignore tests/contract --ignore tests/fuzz $(ARGS)

# Apart from `make test`, since it builds Go tools and images; pytest leaves the folder out unless it is named.
test-cluster: setup
	$(BIN)/python -m pytest tests/cluster $(ARGS)

# Apart from both, since it compiles Kubernetes the first time.
test-node: setup
	$(BIN)/python -m pytest tests/node $(ARGS)

coverage: setup
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "coverage>=7.6"
	$(BIN)/coverage run -m pytest -q tests/unit tests/contract $(ARGS)
	$(BIN)/coverage report

# Those of tests/golden/traces, red and serving need foreign programs: tests/support/README.md names their commands.
golden: setup
	cd tests && ../$(BIN)/python -m support.document_cases

# What foreign programs that take long to build or install say: tests read it from tests/golden.
oracles: setup
	cd tests && ../$(BIN)/python -m support.jaeger.golden
	cd tests && ../$(BIN)/python -m support.traceql.grammar
	cd tests && ../$(BIN)/python -m support.drift_oracles.golden
	cd tests && ../$(BIN)/python -m support.drift_oracles.estimation_golden
	cd tests && ../$(BIN)/python -m support.gx_oracles.golden
	cd tests && ../$(BIN)/python -m support.drift_simulation

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	cd instrumentation && ../$(BIN)/mypy
	$(BIN)/lint-imports
ifdef CARGO
	cargo fmt --manifest-path native/Cargo.toml --check
	cargo clippy --quiet --release --locked --manifest-path native/Cargo.toml --all-targets -- -D warnings
endif

bench: setup
	$(BIN)/python bench/run.py $(ARGS)

soak: setup
	SOAK_KILLS=$(or $(KILLS),500) $(BIN)/python -m pytest tests/e2e/test_kill9.py -k nothing_is_lost $(ARGS)

docs: setup
	$(BIN)/sidecar config docs > docs/reference/reference.md
	$(BIN)/sidecar config schema > docs/reference/configuration.schema.json
	$(BIN)/python collector-config/build.py
	$(BIN)/python monitoring/build.py
	$(BIN)/python monitoring/build_dashboards.py
	$(BIN)/python helm/build.py

lock: $(LOCKED)
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --all-extras --generate-hashes --no-header --no-annotate pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate -c requirements.lock pyproject.toml -o docker/requirements.lock

# For docker/Dockerfile; the native core is that of this machine, a release has one for each platform.
wheels: setup
	rm -rf dist && mkdir dist && cp $(VENV)/wheels/model_sidecar_native-*.whl dist/
	$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation -w dist . ./instrumentation
	rm -rf build instrumentation/build

stack-env:
	$(PYTHON) docker/stack/make_env.py $(PROFILES)

clean:
	rm -rf $(VENV) native/target build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
