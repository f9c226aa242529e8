"""Decisions have one form, and their index lists every one of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "decisions"
PAGES = sorted(FOLDER.glob("[0-9]*.md"))
FORM = re.compile(
    r"# (?P<number>\d{3}): (?P<title>.+)\n\n"
    r"Status: (?P<status>proposed|accepted|replaced by \d{3}|withdrawn) · Date: (?P<date>\d{4}-\d{2}-\d{2})\n\n"
)


def test_a_number_stands_once() -> None:
    numbers = [page.name[:3] for page in PAGES]
    assert numbers
    assert sorted(set(numbers)) == numbers


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_has_the_form_and_a_row_in_the_index(page: Path) -> None:
    found = FORM.match(page.read_text("utf-8"))
    assert found is not None, "expected the form of docs/decisions/README.md: number, title, status, date"
    assert found["number"] == page.name[:3]
    row = f"| {found['number']} | [{found['title']}]({page.name}) | {found['status']} | {found['date']} |"
    assert row in (FOLDER / "README.md").read_text("utf-8").splitlines()


def test_the_index_has_no_other_rows() -> None:
    rows = re.findall(r"(?m)^\| \d{3} \|", (FOLDER / "README.md").read_text("utf-8"))
    assert len(rows) == len(PAGES)
