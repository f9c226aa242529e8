"""A report as one HTML page that needs nothing else: the page's style within it, charts as SVG, no script. Everything
that an app named is escaped, and the page's own policy allows no script, request or foreign style."""

from __future__ import annotations

import base64
import hashlib
import re
from datetime import UTC, datetime
from importlib.resources import files

from markupsafe import Markup

from sidecar.derive.families import Number
from sidecar.report.contents import Report
from sidecar.report.figure_source import DRIFT, OUTCOMES
from sidecar.serve.pages.html import environment

_UNIT = re.compile(r"(?<=\d) (?=\S)")


def as_html(report: Report) -> str:
    """The page."""
    style = (files("sidecar.serve.pages") / "static" / "page.css").read_text("utf-8")
    style += (files("sidecar.report") / "templates" / "report.css").read_text("utf-8")
    templates = environment("sidecar.report")
    templates.filters.update(day=write_day, change=write_change, lasting=write_lasting, units=keep_units)
    values = {"report": report, "style": Markup(style), "policy": _policy(style), "DRIFT": DRIFT, "OUTCOMES": OUTCOMES}
    return templates.get_template("report.html").render(values)


def _policy(style: str) -> str:
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"


def write_day(seconds: float | None) -> str:
    """Unix seconds as UTC to the minute."""
    return "–" if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")


def write_change(now: Number | None, before: Number | None) -> str:
    """`+12 %`; empty where there is nothing to compare with."""
    if not before or now is None:
        return ""
    change = now / before - 1
    if abs(change) < 0.005:
        return "±0 %"
    return f"{'+' if change > 0 else '−'}{abs(change) * 100:.2g} %" if abs(change) < 1 else f"× {now / before:.3g}"


def write_lasting(seconds: float) -> str:
    """`20 min`, `6 h`, `7 d`: whole units, of which there are two at least."""
    for unit, size in (("d", 86_400), ("h", 3_600)):
        if seconds >= 2 * size or seconds == size:
            return f"{seconds / size:.3g} {unit}"
    return f"{max(1.0, seconds / 60):.0f} min"


def keep_units(text: str) -> str:
    """With numbers and what is behind them on one line."""
    return _UNIT.sub("\u00a0", text)
