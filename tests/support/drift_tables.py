"""Tables of what was simulated, in the pages that show it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "decisions" / "011-when-drift-is-worth-a-page.md"
SLOW_PAGE = DOCS / "decisions" / "026-slow-changes.md"
HOW_TO = DOCS / "how-to" / "drift.md"
OF_BINS, OF_CELLS = ("psi", "jensen_shannon", "chi_squared"), ("ks", "wasserstein")
FIXED, FIVE_PERCENT, SLOW = "psi above 0.1", "5 % a window", "slow change"
"""What is usual, and what is reported without a page."""
DAYS = (1, 2, 4, 7, 14, 28, 42)
"""By which it is shown how many changes are reported."""


def tables(golden: dict[str, Any]) -> dict[Path, list[str]]:
    """By page, in Markdown: pages a year, power and what it takes to find slow changes."""
    pages, every = golden["pages_a_year"], (*OF_BINS, *OF_CELLS)
    heads = (*every, FIXED, FIVE_PERCENT, SLOW)
    all_pages = [
        [scenario, f"{int(rows):,}", *(_figure(found.get(name)) for name in heads)]
        for scenario, by_rows in pages.items()
        for rows, found in by_rows.items()
    ]
    some_pages = [
        [scenario, f"{int(rows):,}", *(_figure(found.get(name)) for name in ("psi", FIXED, FIVE_PERCENT, SLOW))]
        for scenario in ("independent", "rare categories")
        for rows, found in pages[scenario].items()
    ]
    powers = [
        [shift, f"{int(rows):,}", *(f"{found[name]['paged']:.4f} / {found[name]['certain']:.4f}" for name in every)]
        for shift, by_rows in golden["power"].items()
        for rows, found in by_rows.items()
    ]
    days = golden["within_24_checks"]
    checks = [
        [shift, f"{int(rows):,}", f"{found['certain']:.4f}", f"{found[SLOW]:.4f}"]
        for shift, by_rows in days.items()
        for rows, found in by_rows.items()
    ]
    reported = [
        [how, f"{int(rows):,}", *(f"{found[str(day)]:.3f}" for day in DAYS)]
        for how, by_rows in golden["days_until_reported"].items()
        for rows, found in by_rows.items()
    ]
    without, rows = "without a change", "rows of a window"
    in_days = ["day 1" if day == 1 else f"by day {day}" for day in DAYS]
    of_slow = _table(["shift that grows", rows, *in_days], reported)
    of_checks = _table(["shift within 24 checks", rows, "certain for a page", SLOW], checks)
    rule = ["this rule, PSI decides", "a PSI above 0.1", FIVE_PERCENT, f"{SLOW}, no page"]
    return {
        PAGE: [_table([without, rows, *heads], all_pages), _table(["shift", "rows", *every], powers)],
        SLOW_PAGE: [of_checks, of_slow],
        HOW_TO: [_table([without, rows, *rule], some_pages)],
    }


def _table(heads: list[str], lines: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (heads, ["---"] * len(heads), *lines))


def _figure(pages: float | None) -> str:
    return "" if pages is None else f"{pages:,.0f}" if pages >= 10 else f"{pages:g}"


def write_tables(golden: dict[str, Any]) -> None:
    """In the place of those that begin with the same two cells."""
    for page, found in tables(golden).items():
        text = page.read_text("utf-8")
        for table in found:
            begin = re.escape("|".join(table.split("|")[:3]))
            text, places = re.subn(begin + r"\|.*(\n\|.*)*", lambda _, new=table: new, text)
            assert places == 1, f"{page}: {places} tables begin with {begin}"
        page.write_text(text)
