"""What pages state in numbers, names and lists, beside the code that makes it so: each statement of a page that a test
can read is read from the page, so that neither changes alone."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from model_sidecar_instrumentation import settings as capture

from sidecar import watched_files
from sidecar.cli.instrument import ENVIRONMENT
from sidecar.config.loader import load
from sidecar.decode.redaction.rules import VALUE_PATTERNS
from sidecar.instrument.bundle import REQUIREMENTS, VERSIONS
from sidecar.journal import codec, opening, schema
from sidecar.journal.options import JournalOptions
from sidecar.loopback import is_loopback
from sidecar.receive.receiver import Listener
from sidecar.receive.registry import RECEIVERS

ROOT = Path(__file__).resolve().parents[2]
STARTUP = ROOT / "instrumentation/model_sidecar_instrumentation/startup/sitecustomize.py"
INSTRUMENTATION = tomllib.loads((ROOT / "instrumentation/pyproject.toml").read_text("utf-8"))


def _text(page: str) -> str:
    """A page, each paragraph on one line."""
    return re.sub(r"(?<=\S)\n(?=[^\s|#>`-])", " ", (ROOT / page).read_text("utf-8"))


def _section(page: str, heading: str) -> str:
    return re.split(r"(?m)^## ", (ROOT / page).read_text("utf-8").split(f"\n## {heading}\n")[1])[0]


def _rows(text: str) -> Iterator[list[str]]:
    """Cells of the tables' rows, without their heads."""
    for table in re.findall(r"(?m)^\|[-|: ]+\|\n((?:\|.*\n)+)", text):
        for row in table.splitlines():
            yield [cell.strip() for cell in row.strip("|").split("|")]


class TestZeroCode:
    PAGE = "docs/how-to/zero-code.md"

    def test_what_is_captured_by_default(self) -> None:
        defaults = capture.CaptureSettings()
        made = {
            "SIDECAR_CAPTURE": "features" if defaults.features else "predictions",
            "SIDECAR_CAPTURE_ROWS": str(defaults.rows),
            "SIDECAR_CAPTURE_ONE_IN": str(defaults.one_in),
            "SIDECAR_CAPTURE_COLUMNS": str(defaults.columns),
            "SIDECAR_CAPTURE_CELLS": str(defaults.cells),
        }
        rows = {cells[0].strip("`"): cells[1].strip("`") for cells in _rows(_section(self.PAGE, "What an event holds"))}
        assert rows == made

    def test_both_ways_to_start_an_app_set_the_same(self) -> None:
        tree = ast.parse(STARTUP.read_text("utf-8"))
        (bundled,) = (
            ast.literal_eval(node.value)
            for node in tree.body
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "DEFAULTS"
        )
        assert bundled == ENVIRONMENT

    def test_what_a_killed_process_takes_with_it(self) -> None:
        delays = {ENVIRONMENT[name] for name in ("OTEL_BSP_SCHEDULE_DELAY", "OTEL_BLRP_SCHEDULE_DELAY")}
        assert delays == {"500"}
        assert "younger than half a second" in _text(self.PAGE)
        assert "are 500 milliseconds under `sidecar instrument` and the bundle" in _text(self.PAGE)
        assert "every 500 ms" in _text("docs/decisions/012-end-of-a-process.md")
        assert "once a second" not in _text(self.PAGE)

    def test_how_long_an_end_may_take(self) -> None:
        assert f"({capture.EXIT_SECONDS:g} by default" in _text(self.PAGE)
        assert capture.exit_seconds({}) == capture.EXIT_SECONDS
        assert "for at most a second (`SIDECAR_EXIT_TIMEOUT`)" in _text("docs/decisions/012-end-of-a-process.md")

    def test_the_bundle_has_the_instrumentations_that_are_named(self) -> None:
        sentence = re.search(r"The bundle also has the instrumentations of ([^.]*)\.", _text(self.PAGE))
        assert sentence is not None
        names = {name.removeprefix("opentelemetry-instrumentation-") for name in REQUIREMENTS}
        named = {
            "aiohttp-server" if word == "aiohttp's server" else "threading" if word == "threads" else word.lower()
            for word in re.split(r",\s+(?:of )?|\s+and(?: of)?\s+", sentence[1].replace("`", ""))
        }
        below = {"asgi", "wsgi", "urllib3", "opentelemetry-distro", "opentelemetry-exporter-otlp-proto-http"}
        assert named - {"urllib"} == names - below - {"urllib"}
        assert "urllib" in named & names

    def test_the_oldest_python(self) -> None:
        assert f"needed for Python {VERSIONS[0]} and later" in _text(self.PAGE)
        assert INSTRUMENTATION["project"]["requires-python"] == f">={VERSIONS[0]}"

    def test_every_framework_that_is_instrumented_is_in_the_table(self) -> None:
        shown = " ".join(cells[0].lower() for cells in _rows(_section(self.PAGE, "What is seen")))
        points = INSTRUMENTATION["project"]["entry-points"]["opentelemetry_instrumentor"]
        names = {name.removeprefix("model_sidecar_") for name in points} - {"process"}
        spelled = {"sklearn": "scikit-learn"}
        assert [name for name in names if spelled.get(name, name) not in shown] == []

    def test_what_otlp_has(self) -> None:
        extra = " ".join(INSTRUMENTATION["project"]["optional-dependencies"]["otlp"])
        for name in ("opentelemetry-instrumentation-logging", "opentelemetry-instrumentation-threading"):
            assert name in extra
        assert "(`opentelemetry-instrumentation-logging`) and contexts across threads (`-threading`)" in _text(
            self.PAGE
        )
        assert ("`[otlp]` has no gRPC exporter" in _text(self.PAGE)) == ("grpc" not in extra)


class TestRedaction:
    PAGE = "docs/how-to/redaction.md"

    def test_the_patterns_that_ship(self) -> None:
        paragraph = _text(self.PAGE).split("Patterns that ship: ")[1].split("\n")[0]
        assert set(re.findall(r"`([a-z_]+)`", paragraph)) == set(VALUE_PATTERNS)

    def test_variables_of_the_pod(self) -> None:
        names = set(re.findall(r"name: (K8S_\w+)", _text(self.PAGE)))
        named = re.search(r"\n((?:`\w+`(?:, | and )?)+) do as well", _text(self.PAGE))
        assert named is not None
        names |= set(re.findall(r"`(\w+)`", named[1]))
        for name in names:
            kubernetes = load({name: "of the pod"}).deliver.redaction.kubernetes
            assert "of the pod" in kubernetes.model_dump().values(), name


class TestJournal:
    PAGE = "docs/decisions/002-journal.md"

    def test_numbers(self) -> None:
        text, options = _text(self.PAGE), JournalOptions()
        assert f"## Compression: zstd level {codec._LEVEL}".replace("-", "−") in text
        assert f"A payload under {codec._SMALL} bytes" in text
        assert f"`commit_delay` ({options.commit_delay * 1000:g} ms" in text
        assert f"`cursor_delay` ({options.cursor_delay * 1000:g} ms" in text
        assert f"About 80,000 payloads with the default {options.dedupe_bytes >> 20} MiB" in text
        assert opening._SKIP_AFTER_CRASH // 10**6 == 1
        assert "a million sequence numbers are left out" in text

    def test_the_database(self, tmp_path: Path) -> None:
        text = _text(self.PAGE)
        db = schema.connect(tmp_path / schema.FILE)
        try:
            found = {
                name: db.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("page_size", "journal_mode", "synchronous", "secure_delete")
            }
            cache, mapped = (db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("cache_size", "mmap_size"))
        finally:
            db.close()
        assert f"Chosen: {found['page_size'] >> 10} KiB pages" in text
        assert (found["journal_mode"], found["synchronous"]) == ("wal", 2)
        assert "WAL, `synchronous=FULL`" in text
        assert f"a checkpoint every {schema.CHECKPOINT_PAGES} pages" in text
        wal = found["page_size"] * schema.CHECKPOINT_PAGES / 1e6
        assert f"(the WAL stays at {wal:.0f} MiB)" in text
        assert found["secure_delete"] == 0
        assert "`secure_delete=OFF`" in text
        assert f"page cache {-cache // 1000} MB, no mmap" in text
        assert mapped == 0


class TestTls:
    PAGE = "docs/how-to/tls.md"

    def test_every_receiver_that_listens_is_named(self) -> None:
        paragraph = _text(self.PAGE).split("\n\n")[1]
        words = {"otlp_grpc": "gRPC", "otlp_http": "HTTP", "json_tcp": "JSON over TCP", "beats": "Beats"}
        listening = [kind.name for kind in RECEIVERS if _listeners(kind.options)]
        assert [name for name in listening if words.get(name, name) not in paragraph] == []
        assert all(is_loopback(one.host) for kind in RECEIVERS for one in _listeners(kind.options))

    def test_how_often_files_are_looked_at(self) -> None:
        assert watched_files.POLL_SECONDS == 1
        assert "at most once a second" in _text(self.PAGE)

    def test_loopback_addresses(self) -> None:
        named = re.search(r"start on a loopback address \(([^)]*)\)", _text(self.PAGE))
        assert named is not None
        for name in named[1].split(", "):
            assert is_loopback(name.removesuffix("/8")), name
            assert not name.endswith("/8") or is_loopback("127.255.1.2")


def _listeners(options: type) -> tuple[Listener, ...]:
    try:
        made = options(enabled=True)
    except ValueError:  # It needs something that has no default, and is no server.
        return ()
    found: tuple[Listener, ...] = made.listeners()
    return found


class TestNativeCore:
    PAGE = "native/README.md"

    def test_the_table_has_every_folder_and_its_files(self) -> None:
        rows = {cells[0].strip("`/"): cells[1] for cells in _rows((ROOT / self.PAGE).read_text("utf-8"))}
        source = ROOT / "native/src"
        assert set(rows) == {path.name for path in source.iterdir() if path.is_dir()}
        for folder in ("otlp", "redaction"):
            named = set(re.findall(r"`([a-z]+)`", rows[folder]))
            assert named <= {path.stem for path in (source / folder).glob("*.rs")}

    def test_folders_and_files_have_the_names_of_the_reference_decoder(self) -> None:
        """Where the page says that they are the same, a folder on both sides has most of its files in common."""
        for folder in ("otlp", "logs", "redaction", "documents"):
            rust = {path.stem for path in (ROOT / "native/src" / folder).glob("*.rs")}
            python = {path.stem for path in (ROOT / "sidecar/decode" / folder).glob("*.py")}
            assert len(rust & python) >= 2, folder

    @pytest.mark.parametrize("page", ["native/README.md", "instrumentation/README.md", "collector-config/README.md"])
    def test_files_that_are_named_exist(self, page: str) -> None:
        for name in re.findall(r"`([\w.*/-]+/[\w.*-]+\.\w+)`", (ROOT / page).read_text("utf-8")):
            assert list(ROOT.glob(name)) or list((ROOT / page).parent.glob(name)), name


def _recipe(target: str, *variables: str) -> list[str]:
    """What `make TARGET` would run, `make setup` apart."""
    command = ["make", "--no-print-directory", "-n", target, *variables]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=True)
    return done.stdout.splitlines()


class TestMake:
    @pytest.mark.parametrize("cargo", ["/usr/bin/cargo", "/opt/rust/bin/cargo", ""])
    def test_the_native_core_is_tested_where_there_is_cargo(self, cargo: str) -> None:
        lines = _recipe("test", f"CARGO={cargo}")
        rust = [line for line in lines if line.startswith("cargo test ")]
        assert len(rust) == bool(cargo)
        assert all("--manifest-path native/Cargo.toml" in line and "--locked" in line for line in rust)

    def test_no_folder_of_tests_is_left_out(self) -> None:
        """Each is in one of the two runs of pytest, or has a target of its own."""
        runs = [line for line in _recipe("test") if "-m pytest" in line]
        named = {name for line in runs for name in re.findall(r"(?<!--ignore )tests/(\w+)", line)}
        left = {name for line in runs for name in re.findall(r"--ignore tests/(\w+)", line)}
        own = {name for name in ("cluster", "node") if any(f"tests/{name}" in x for x in _recipe(f"test-{name}"))}
        assert left == named, "what the second run leaves out is in the first"
        folders = {path.parent.name for path in (ROOT / "tests").glob("*/test_*.py")}
        assert named | own < folders
        assert any("tests/" not in re.sub(r"--ignore tests/\w+", "", line) for line in runs), "the others are collected"

    @pytest.mark.parametrize(
        "tool", ["ruff check", "ruff format --check", "mypy", "lint-imports", "cargo clippy", "cargo fmt"]
    )
    def test_lint_runs_each_tool(self, tool: str) -> None:
        assert any(tool in line for line in _recipe("lint", "CARGO=/usr/bin/cargo"))
