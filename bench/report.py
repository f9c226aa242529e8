"""Rows to text."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import Any

from cases import Case

Row = dict[str, Any]
Columns = Sequence[tuple[str, Callable[[list[Row], Case], str]]]
"""Names, and what shows the rows of one case and system."""


def _middle(rows: list[Row], key: str) -> float | None:
    values = [r[key] for r in rows if r.get(key) is not None]
    return statistics.median(values) if values else None


def _figure(key: str, form: str, targets: bool = False) -> Callable[[list[Row], Case], str]:
    """The median as text, with `!` behind it where the sidecar is over its target."""

    def show(rows: list[Row], case: Case) -> str:
        value = _middle(rows, key)
        if value is None:
            return "-"
        over = targets and rows[0]["system"] == "sidecar" and value > case.targets.get(key, float("inf"))
        return format(value, form) + ("!" if over else "")

    return show


def _of_peer(key: str) -> Callable[[list[Row], Case], str]:
    """In a peer's line: the sidecar's figure by the peer's; `!` where it is over its target."""

    def show(rows: list[Row], case: Case) -> str:
        ratio = _middle(rows, f"{key}_ratio")
        if ratio is None:
            return ""
        over = ratio > case.ratios.get(rows[0]["system"].removeprefix("collector "), float("inf"))
        return format(ratio, ".2f") + ("!" if over else "")

    return show


def with_ratios(rows: list[Row]) -> list[Row]:
    """The rows, those of peers with `<figure>_ratio`: the sidecar's median of the case by the figure in the row."""
    shown = []
    for row in rows:
        own = [r for r in rows if r["case"] == row["case"] and r["system"] == "sidecar"]
        ratios = {
            f"{key}_ratio": sidecar / row[key]
            for key in RATIOS
            if row["system"] != "sidecar" and row.get(key) and (sidecar := _middle(own, key)) is not None
        }
        shown.append(row | ratios)
    return shown


RATIOS = ("cpu_s_per_million", "cpu_ms_per_request")
"""Figures that are compared with those of peers."""


def _spread(rows: list[Row], case: Case) -> str:
    values = [r["cpu_s_per_million"] for r in rows if r["cpu_s_per_million"] is not None]
    return f"{min(values):.2f}-{max(values):.2f}" if len(values) > 1 else ""


def _delivered(rows: list[Row], case: Case) -> str:
    if any(r["mismatch"] for r in rows):
        return "NOT EQUAL"
    return "-" if rows[0].get("sunk") is None else "all"


def _errors(rows: list[Row], case: Case) -> str:
    return str(sum(sum(r.get("errors", {}).values()) for r in rows))


LOAD: Columns = (
    ("items/s", _figure("items_per_s", ",.0f")),
    ("CPU s/M", _figure("cpu_s_per_million", ".2f", targets=True)),
    ("sidecar/it", _of_peer("cpu_s_per_million")),
    ("min-max", _spread),
    ("idle MiB", _figure("idle_mib", ".0f", targets=True)),
    ("peak MiB", _figure("peak_mib", ".0f", targets=True)),
    ("ack p50 ms", _figure("ack_p50_ms", ".1f")),
    ("ack p99 ms", _figure("ack_p99_ms", ".1f", targets=True)),
    ("errors", _errors),
    ("at sink", _delivered),
    ("drain s", _figure("drain_s", ".1f")),
)
REST: Columns = (
    ("start s", _figure("start_s", ".2f", targets=True)),
    ("idle CPU %", _figure("idle_cpu_percent", ".3f", targets=True)),
    ("CPU ms/request", _figure("cpu_ms_per_request", ".2f")),
    ("sidecar/it", _of_peer("cpu_ms_per_request")),
    ("switches/request", _figure("switches_per_request", ".0f")),
    ("idle MiB", _figure("idle_mib", ".0f", targets=True)),
    ("after MiB", _figure("rest_mib", ".0f")),
    ("ack p50 ms", _figure("ack_p50_ms", ".1f")),
    ("ack p99 ms", _figure("ack_p99_ms", ".1f", targets=True)),
    ("fsync p99 ms", _figure("fsync_p99_ms", ".1f")),
    ("errors", _errors),
    ("at sink", _delivered),
)
SCRAPE: Columns = (
    ("samples", _figure("scrape_samples", ",.0f")),
    ("KiB", lambda rows, case: format((_middle(rows, "scrape_bytes") or 0) / 1024, ".0f")),
    ("CPU ms", _figure("scrape_cpu_ms", ".1f")),
    ("CPU ms/10,000", _figure("scrape_cpu_ms_10k", ".1f", targets=True)),
    ("wall ms", _figure("scrape_wall_ms", ".1f")),
)


def table(rows: list[Row], cases: Sequence[Case]) -> str:
    """The figures under load, one line a case and system."""
    return _render(rows, [c for c in cases if not c.scrapes and not c.rest_seconds], LOAD)


def rest_table(rows: list[Row], cases: Sequence[Case]) -> str:
    """The figures where little or nothing comes."""
    return _render(rows, [c for c in cases if c.rest_seconds], REST)


def scrape_table(rows: list[Row], cases: Sequence[Case]) -> str:
    """What one fetch of the metrics costs."""
    return _render(rows, [c for c in cases if c.scrapes], SCRAPE)


def _render(rows: list[Row], cases: Sequence[Case], columns: Columns) -> str:
    lines: list[list[str]] = []
    for case in cases:
        own = [r for r in rows if r["case"] == case.name]
        for system in dict.fromkeys(r["system"] for r in own):
            same = [r for r in own if r["system"] == system]
            lines.append([case.name, system, *(show(same, case) for _, show in columns)])
    if not lines:
        return ""
    lines.insert(0, ["case", "system", *(name for name, _ in columns)])
    widths = [max(len(line[n]) for line in lines) for n in range(len(lines[0]))]
    aligned = (
        "  ".join(t.ljust(w) if n < 2 else t.rjust(w) for n, (t, w) in enumerate(zip(line, widths, strict=True)))
        for line in lines
    )
    notes = [f"{c.name}: {c.title}" for c in cases]
    return "\n".join([*aligned, "", *notes, ""])
