"""What a sidecar does not need it does not import: each of these costs every pod megabytes and time at its start."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

STARTED = """
import asyncio, json, os, sys
from sidecar.app import App
from sidecar.config.loader import load

async def main():
    app = App(load(os.environ))
    await app.start()
    found = sorted(sys.modules)
    await app.stop()
    return found

print(json.dumps(asyncio.run(main())))
"""
PLAIN = {"SIDECAR_DELIVER__STORE__ENABLED": "false"}
NEVER = (
    "fastapi",
    "jinja2",
    "sidecar.serve.pages.site",
    "opentelemetry",
    "prometheus_client",
    "sidecar.receive.file_tail.receiver",
    "sidecar.deliver.otlp.sink",
    "sidecar.deliver.logstash.sink",
    "sidecar.deliver.file.sink",
    "sidecar.push.pusher",
    "sidecar.push.otlp.destination",
    "sidecar.push.remote_write.destination",
    "sidecar.config.yaml_text",
    "sidecar.receive.otlp_http_app",
    "sidecar.decode.predictions.label_bodies",
    "sidecar.derive.drift.deriver",
    "sidecar.derive.quality",
    "sidecar.derive.outcomes.deriver",
    "sidecar.derive.experiments.deriver",
    "cramjam",
    "difflib",
    "yaml",
    "sidecar.deliver.common.http_client",
)
CASES: dict[str, tuple[dict[str, str], tuple[str, ...]]] = {
    "no sink": (
        PLAIN,
        (*NEVER, "sidecar.lookup.store", "sidecar.deliver.store.sink", "sidecar.deliver.elasticsearch.sink"),
    ),
    "store": ({}, (*NEVER, "sidecar.deliver.elasticsearch.sink")),
    "elasticsearch": (
        {**PLAIN, "SIDECAR_DELIVER__ELASTICSEARCH__HOSTS": "http://127.0.0.1:9"},
        (*NEVER, "sidecar.lookup.store", "sidecar.deliver.store.sink"),
    ),
}
"""Name -> settings, and what is not imported with them."""


IMPORTS = Path(__file__).parents[2] / "docker" / "imports.txt"


def test_the_image_has_the_bytecode_of_what_is_loaded_later() -> None:
    """Nobody can write to an image: what has no bytecode there is compiled again at every start."""
    names = IMPORTS.read_text().split()
    code = f"import sys, {', '.join(names)}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    later = {module for _, absent in CASES.values() for module in absent}
    assert sorted(later - set(done.stdout.split())) == []


@pytest.mark.parametrize("name", CASES)
def test_a_started_sidecar_has_imported_only_what_it_needs(name: str, tmp_path: Path) -> None:
    settings, absent = CASES[name]
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("SIDECAR_", "OTEL_"))}
    environment |= {
        "SIDECAR_JOURNAL__PATH": str(tmp_path),
        "SIDECAR_RECEIVE__OTLP_GRPC__PORT": "0",
        "SIDECAR_RECEIVE__OTLP_HTTP__PORT": "0",
        "SIDECAR_SERVE__PORT": "0",
        **settings,
    }
    done = subprocess.run([sys.executable, "-c", STARTED], env=environment, capture_output=True, text=True, check=True)
    imported = json.loads(done.stdout.splitlines()[-1])
    assert "sidecar.receive.otlp_http" in imported
    if "sidecar_native" in imported:
        absent = (*absent, "sidecar.decode.python", "sidecar.receive.grpc_aio", "grpc")
    assert sorted(set(absent) & set(imported)) == []


def test_structlog_does_not_load_what_it_colours_consoles_with(tmp_path: Path) -> None:
    (tmp_path / "rich").mkdir()
    (tmp_path / "rich" / "__init__.py").write_text("print('loaded')")
    code = "import sys\nfrom sidecar.cli.run import program\nprogram()\nprint('structlog' in sys.modules)\nimport rich"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["True", "loaded"]
