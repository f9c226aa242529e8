"""A page for each alert: the frame is made, the words are those of monitoring/source/alerts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from generator.alerts import Alert, minutes, with_labels
from generator.text import Thresholds

PAGES = Path("docs/runbooks")


def files(alerts: Sequence[Alert], thresholds: Thresholds) -> dict[Path, str]:
    """The pages and their index."""
    made = {PAGES / f"{alert.name}.md": _page(alert, thresholds) for alert in alerts}
    made[PAGES / "README.md"] = _index(alerts)
    return made


def _page(alert: Alert, thresholds: Thresholds) -> str:
    held = "at once" if minutes(alert.hold) == 0 else f"after {alert.hold}"
    severity, team = alert.labels["severity"], alert.labels["team"]
    lines = [
        f"# {alert.name}",
        "",
        f"{severity} · {alert.category} · team {team} · fires {held} · dashboard `{alert.dashboard}`",
        "",
        alert.meaning,
        "",
        "## Condition",
        "",
        "```promql",
        alert.expr,
        "```",
        "",
    ]
    if alert.thresholds:
        lines += ["| threshold | value | what it is |", "|---|---|---|"]
        lines += [
            f"| `{name}` | {thresholds.values[name]:g} | {thresholds.comments.get(name, '')} |"
            for name in alert.thresholds
        ]
        lines += ["", "Set them in `monitoring/thresholds.yaml`, then `python monitoring/build.py`.", ""]
    lines += ["## How to tell", "", *(f"- {line}" for line in alert.check), ""]
    lines += ["## What to do", "", *(f"- {line}" for line in alert.fix), ""]
    if alert.drill:
        how = f"`sidecar drill {alert.drill} --verify`; see [drills](../how-to/drills.md)"
        lines += ["## How to try it", "", how, ""]
    lines += ["[All alerts](README.md) · made by `python monitoring/build.py`", ""]
    return "\n".join(lines)


def _index(alerts: Sequence[Alert]) -> str:
    lines = [
        "# Runbooks",
        "",
        "A page for each alert in [monitoring](../../monitoring/README.md): what it means, how to tell, what to do.",
        "Made by `python monitoring/build.py`; the words are in `monitoring/source/alerts`.",
        "",
    ]
    for category in dict.fromkeys(alert.category for alert in alerts):
        lines += [f"## {category.capitalize()}", "", "| alert | severity | after | summary |", "|---|---|---|---|"]
        lines += [
            f"| [{a.name}]({a.name}.md) | {a.labels['severity']} | {a.hold} | {_plain(a.annotations['summary'])} |"
            for a in alerts
            if a.category == category
        ]
        lines.append("")
    return "\n".join(lines)


def _plain(summary: str) -> str:
    """A summary with its places named instead of the template's words."""
    summary = with_labels(summary, lambda names: " or ".join(f"_{name}_" for name in names))
    return re.sub(r"\{\{ \$value[^}]*\}\}", "_value_", summary)
