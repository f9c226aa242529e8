"""The index of the tests' helpers lists every one of them."""

from __future__ import annotations

import re
from pathlib import Path

SUPPORT = Path(__file__).resolve().parents[1] / "support"


def test_the_index_names_every_helper() -> None:
    there = {f.name for f in SUPPORT.glob("*.py") if f.name != "__init__.py"}
    there |= {f"{f.name}/" for f in SUPPORT.iterdir() if f.is_dir() and f.name != "__pycache__"}
    rows = "\n".join(re.findall(r"(?m)^\| `.*?\|", (SUPPORT / "README.md").read_text("utf-8").split("## ")[0]))
    assert set(re.findall(r"`([^`]+)`", rows)) == there


def test_every_golden_folder_has_a_row() -> None:
    there = {f"{f.name}/" if f.is_dir() else f.name for f in (SUPPORT.parent / "golden").iterdir()}
    rows = (SUPPORT / "README.md").read_text("utf-8").split("## Golden files")[1]
    assert set(re.findall(r"(?m)^\| `([^`]+)` \|", rows)) == there
