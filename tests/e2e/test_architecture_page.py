"""The sink, receiver, metric and command of the architecture page: a program with those differences has them."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace.export import SpanExportResult
from support import page_diffs
from support.engines import free_port, sidecar_process, wait_for
from support.load import make_spans

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text("utf-8")


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Path]]:
    """A copy of the program with everything on the page, and the files that changed."""
    root = tmp_path_factory.mktemp("copy")
    shutil.copytree(ROOT / "sidecar", root / "sidecar", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", root)
    return root, page_diffs.apply(PAGE, root)


def python(root: Path, *words: str) -> str:
    env = {**os.environ, "PYTHONPATH": str(root)}
    done = subprocess.run(
        [sys.executable, *words], cwd=root, env=env, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_style_is_the_project_s(changed: tuple[Path, list[Path]]) -> None:
    root, files = changed
    python(root, "-m", "ruff", "check", *(str(file) for file in files if file.suffix == ".py"))
    python(root, "-m", "ruff", "format", "--check", *(str(file) for file in files if file.suffix == ".py"))


def test_the_reference_has_them(changed: tuple[Path, list[Path]]) -> None:
    page = python(changed[0], "-m", "sidecar.cli.main", "config", "docs")
    for name in ("DELIVER__NULL__ENABLED", "RECEIVE__TEXT_TCP__PORT", "DERIVE__SPAN_KINDS__ENABLED"):
        assert f"`SIDECAR_{name}`" in page
    assert "### `sidecar decoder`\n\nName the decoder" in page


def test_the_program_runs_with_them(changed: tuple[Path, list[Path]], tmp_path: Path) -> None:
    assert python(changed[0], "-m", "sidecar.cli.main", "decoder") in ("native\n", "reference\n")
    port = free_port()
    environ = {
        "PYTHONPATH": str(changed[0]),
        "SIDECAR_DELIVER__NULL__ENABLED": "true",
        "SIDECAR_RECEIVE__TEXT_TCP__ENABLED": "true",
        "SIDECAR_RECEIVE__TEXT_TCP__PORT": str(port),
        "SIDECAR_DERIVE__SPAN_KINDS__ENABLED": "true",
    }
    with sidecar_process(environ, tmp_path) as running:

        def get(path: str) -> str:
            return urllib.request.urlopen(f"{running.serve_url}{path}", timeout=60).read().decode()

        with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
            client.sendall(b"one\ntwo\nthree")
        exporter = OTLPSpanExporter(endpoint=f"http://{running.grpc_target}", insecure=True)
        assert exporter.export(make_spans("left", 7)) is SpanExportResult.SUCCESS
        exporter.shutdown()
        lines = ("null/logs: received 3 = delivered 3 + waiting 0", "null/spans: received 7 = delivered 7 + waiting 0")
        wait_for(lambda: all(line in get("/status") for line in lines), 30, "all to be delivered")
        assert json.loads(get("/status"))["ledger"]["problems"] == []
        wait_for(lambda: 'span_kinds_total{service="left",kind="' in get("/metrics"), 30, "the metric")
        counts = [line.rpartition(" ")[2] for line in get("/metrics").splitlines() if line.startswith("span_kinds_tot")]
    assert sum(map(float, counts)) == 7
