"""The documents say what the program does: the reference is the generated one, and what pages name exists."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from sidecar import reference
from sidecar.cli import main as cli
from sidecar.cli.renamed import renamed_names
from sidecar.config import loader
from sidecar.telemetry import TABLE

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")])
REFERENCE = ROOT / "docs" / "reference" / "reference.md"
SCHEMA = REFERENCE.with_name("configuration.schema.json")
COMMANDS = {name for name, _ in reference.commands(cli.main, "sidecar")}
RENAMED = dict(renamed_names(reference.commands(cli.main, "sidecar")))
DERIVED = re.compile(r"^sidecar_[a-z_]+$")


def test_reference_is_the_generated_one() -> None:
    assert REFERENCE.read_text("utf-8") == reference.markdown(cli.main, RENAMED.items()), "run `make docs`"


def test_the_schema_is_the_generated_one() -> None:
    assert json.loads(SCHEMA.read_text("utf-8")) == reference.schema(), "run `make docs`"


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
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text("utf-8"))
    assert [t for t in targets if not (page.parent / t).exists()] == []
