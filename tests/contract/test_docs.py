"""The documents say what the program does: the reference is the generated one, and what pages name exists."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from sidecar import generated_reference
from sidecar.cli import main as cli
from sidecar.cli.renamed_commands import renamed_names
from sidecar.config import loader
from sidecar.telemetry import TABLE

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("bench", "collector-config", "docs", "examples", "helm", "instrumentation", "monitoring")
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *(page for folder in FOLDERS for page in (ROOT / folder).rglob("*.md")),
        ROOT / "native/README.md",
    ]
)


def _values(values: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Dotted names of a chart's values."""
    for name, value in values.items():
        yield prefix + name
        if isinstance(value, dict):
            yield from _values(value, f"{prefix}{name}.")


REFERENCE = ROOT / "docs" / "reference" / "reference.md"
SCHEMA = REFERENCE.with_name("configuration.schema.json")
COMMANDS = {name for name, _ in generated_reference.commands(cli.main, "sidecar")}
RENAMED = dict(renamed_names(generated_reference.commands(cli.main, "sidecar")))
OPTIONS = [f.path for f in loader.fields()]
CHART = set(_values(yaml.safe_load((ROOT / "helm/model-sidecar/values.yaml").read_text("utf-8"))))
DERIVED = re.compile(r"^sidecar_[a-z_]+$")


def test_reference_is_the_generated_one() -> None:
    assert REFERENCE.read_text("utf-8") == generated_reference.markdown(cli.main, RENAMED.items()), "run `make docs`"


def test_the_schema_is_the_generated_one() -> None:
    assert json.loads(SCHEMA.read_text("utf-8")) == generated_reference.schema(), "run `make docs`"


def test_every_setting_has_a_description() -> None:
    assert [f.variable for f in loader.fields() if len(f.description) < 10] == []


def test_every_own_metric_and_command_is_in_the_reference() -> None:
    text = REFERENCE.read_text("utf-8")
    assert [m.name for m in TABLE if f"`{m.name}`" not in text] == []
    assert [c for c in COMMANDS if f"### `{c}`" not in text] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_variables_metrics_and_commands_named_on_a_page_exist(page: Path) -> None:
    text = page.read_text("utf-8")
    named = set(re.findall(r"\bSIDECAR_[A-Z0-9_]+[A-Z0-9]\b", text))
    assert {n for n in named if not loader.is_variable(n)} == set()
    metrics = set(re.findall(r"\bsidecar_[a-z_]+_(?:total|bytes|seconds|items|letters|entries)\b", text))
    assert {m for m in metrics if m not in {t.name for t in TABLE}} == set()
    groups = {c.rsplit(" ", 1)[0] for c in COMMANDS}
    for named_command in re.findall(r"(?m)(?:^|`)sidecar ((?:[a-z-]+ ?){1,3})", text):
        words = named_command.split()
        candidates = {" ".join(["sidecar", *words[:n]]) for n in (1, 2, 3)}
        known = COMMANDS | groups - {"sidecar"} | (RENAMED.keys() if page == REFERENCE else set())
        assert candidates & known, f"{page.name}: no command `sidecar {named_command}`"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]+))?\)", page.read_text("utf-8"))
    assert [t for t, _ in targets if t and not (page.parent / t).exists()] == []
    headed = [(page.parent / t if t else page, heading) for t, heading in targets if heading]
    assert [f"{file.name}#{heading}" for file, heading in headed if heading not in _anchors(file)] == []


def _anchors(page: Path) -> set[str]:
    """Names by which its headings are linked to."""
    headings = re.findall(r"(?m)^#+ (.+)$", re.sub(r"(?ms)^```.*?^```", "", page.read_text("utf-8")))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize(
    "page",
    # These have names that are not in force: older ones, and those of what a reader is shown how to add.
    [page for page in PAGES if page.name not in ("CHANGELOG.md", "architecture.md") and page != REFERENCE],
    ids=lambda p: str(p.relative_to(ROOT)),
)
def test_options_named_on_a_page_exist(page: Path) -> None:
    """`log` is left out, as it begins the names of attributes too."""
    known = {".".join(path[:size]) for path in OPTIONS for size in range(1, len(path) + 1)} | CHART
    sections = "|".join(sorted({path[0] for path in OPTIONS} - {"log"}))
    named = re.findall(rf"`((?:{sections})(?:\.[a-z][A-Za-z_0-9]*)+)`", page.read_text("utf-8"))
    assert [name for name in named if name not in known] == []
