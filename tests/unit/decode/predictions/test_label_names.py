"""The table of names is what the page says, and means one thing each."""

from __future__ import annotations

import re
from pathlib import Path

from sidecar.decode.predictions.label_names import ALIASES, EVENT, MARK, NAMED_BY

PAGE = Path(__file__).resolve().parents[4] / "docs" / "how-to" / "labels.md"
ROWS = {
    "id of the prediction (needed)": "id",
    "truth (needed)": "truth",
    "model": "model",
    "version": "version",
    "time": "time",
    "row of a batch, from 0": "row",
    "who says so": "source",
    "trace id": "trace_id",
    "span id": "span_id",
}


def test_the_page_has_the_names_in_their_order() -> None:
    text = PAGE.read_text("utf-8")
    table = text[text.index("| what | names |") :].split("\n\n")[0].splitlines()[2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    found = {ROWS[what]: tuple(re.findall(r"`([^`]+)`", names)) for what, names, _ in cells}
    assert found == ALIASES
    assert all(f"`{name}`" in text for name in (*NAMED_BY, EVENT))


def test_no_name_means_two_things() -> None:
    names = [name for own in ALIASES.values() for name in own]
    assert len(names) == len(set(names))
    assert not {"eventVersion", "record", *NAMED_BY} & set(names)


def test_the_mark_is_the_name_as_a_field_of_text() -> None:
    assert MARK == (b"\x08ml.label",)
