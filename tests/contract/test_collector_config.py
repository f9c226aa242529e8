"""The files of collector-config/: those of the sidecar are valid, and the full one is every option at its default."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest
import yaml
from support.engines import free_port

from sidecar import preflight
from sidecar.config import loader

FOLDER = Path(__file__).resolve().parents[2] / "collector-config"
OURS = sorted(FOLDER.glob("sidecar-*.yaml"))
COLLECTORS = sorted(FOLDER.glob("collector-*.yaml"))


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    for name in ("hash-key", "api-key", "ca.crt"):
        (secrets / name).write_text("0123456789abcdef0123456789abcdef\n")
    return {
        "ELASTICSEARCH_HOSTS": f"http://127.0.0.1:{free_port()}",
        "SECRETS": str(secrets),
        "SIDECAR_JOURNAL__PATH": str(tmp_path / "journal"),
        "SIDECAR_RECEIVE__OTLP_GRPC__PORT": "0",
        "SIDECAR_RECEIVE__OTLP_HTTP__PORT": "0",
        "SIDECAR_SERVE__PORT": "0",
    }


def test_both_kinds_of_files_are_there() -> None:
    assert len(OURS) >= 4
    assert len(COLLECTORS) >= 3


@pytest.mark.parametrize("path", OURS, ids=lambda p: p.stem)
def test_the_check_finds_nothing_but_destinations_that_are_away(path: Path, environ: dict[str, str]) -> None:
    settings = loader.load(environ, path)
    assert not settings.renamed
    failed = [r for r in preflight.check(settings) if r.state == "failed"]
    assert [r for r in failed if not r.what.startswith(("elasticsearch", "otlp"))] == []


def test_a_file_that_names_an_unset_variable_says_which(environ: dict[str, str]) -> None:
    del environ["ELASTICSEARCH_HOSTS"]
    with pytest.raises(loader.ConfigError, match="ELASTICSEARCH_HOSTS"):
        loader.load(environ, FOLDER / "sidecar-production.yaml")


def test_the_full_file_is_every_option_at_its_default() -> None:
    assert loader.load({}, FOLDER / "sidecar-full.yaml").model_dump() == loader.load({}).model_dump()


def test_the_full_file_is_the_generated_one() -> None:
    spec = importlib.util.spec_from_file_location("collector_config_build", FOLDER / "build.py")
    assert spec is not None
    assert spec.loader is not None
    build = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(build)
    assert (FOLDER / "sidecar-full.yaml").read_text("utf-8") == build.text(), "run `make docs`"


@pytest.mark.parametrize("path", COLLECTORS, ids=lambda p: p.stem)
def test_collectors_start_without_a_variable_and_lose_nothing_by_their_queues(path: Path) -> None:
    text = path.read_text("utf-8")
    assert re.findall(r"\$\{(?!env:[A-Z_]+:-[^}]+\})", text) == [], "a variable without a default"
    config = yaml.safe_load(text)
    for name, pipeline in config["service"]["pipelines"].items():
        assert pipeline["processors"][0] == "memory_limiter", f"{name}: refuses before it is killed for memory"
    for name, exporter in config["exporters"].items():
        retry = (exporter.get("protocol", {}).get("otlp") or exporter)["retry_on_failure"]
        # Without end, or not at all, which hands the error back to a sidecar that keeps the payload.
        assert retry.get("max_elapsed_time") == "0s" or retry["enabled"] is False, name
