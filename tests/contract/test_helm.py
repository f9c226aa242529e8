"""The chart, as far as it can be read without Helm: made files are those of their sources, versions and names agree."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import yaml

from sidecar import __version__
from sidecar.inject import names

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "helm" / "model-sidecar"


def build() -> ModuleType:
    spec = importlib.util.spec_from_file_location("helm_build", ROOT / "helm" / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    import sys

    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_made_files_are_those_of_their_sources() -> None:
    made = build().files()
    assert [str(p) for p, text in made.items() if (ROOT / p).read_text("utf-8") != text] == [], "python helm/build.py"


def test_rules_dashboards_and_data_sources_are_those_of_monitoring() -> None:
    for folder, pattern in build().COPIED.items():
        ours = {p.name: p.read_bytes() for p in (CHART / "files" / folder).iterdir()}
        theirs = {p.name: p.read_bytes() for p in (ROOT / "monitoring").glob(pattern)}
        assert ours == theirs, "python helm/build.py"
        assert len(ours) >= 2


def test_every_value_is_described_where_its_name_does_not_say_it() -> None:
    said = {value.path for value in build().read() if value.words}
    plain = {
        "pullPolicy",
        "resources",
        "nodeSelector",
        "tolerations",
        "priorityClassName",
        "replicas",
        "interval",
        "labels",
    }
    silent = [".".join(v.path) for v in build().read() if not v.section and v.path not in said]
    assert [name for name in silent if name.split(".")[-1] not in plain] == []


def test_versions_and_names_are_those_of_the_program() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text("utf-8"))
    assert chart["appVersion"] == chart["version"] == __version__
    templates = "".join(p.read_text("utf-8") for p in (CHART / "templates").rglob("*") if p.is_file())
    for name in (names.INJECT, names.INJECTED, names.METRICS_PORT_NAME, names.CONFIG_FILE, names.DATA_VOLUME):
        assert name in templates, name


def test_the_chart_gives_nobody_rights() -> None:
    for path in (CHART / "templates").rglob("*.yaml"):
        text = path.read_text("utf-8")
        assert "Role" not in text, f"{path.name}: the webhook needs no rights (decision 020)"
        assert "automountServiceAccountToken: true" not in text
