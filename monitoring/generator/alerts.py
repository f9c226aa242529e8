"""The alerts of monitoring/source/alerts as values."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from generator.text import SOURCE, Thresholds, minutes, read

_KEYS = {
    "alert", "condition", "severity", "for", "expr", "summary", "description",
    "meaning", "check", "fix", "drill", "test", "more_tests",
}  # fmt: skip
SEVERITIES = ("critical", "warning", "info")
_LABEL = re.compile(r"\$labels\.(\w+)")
_PLACE = re.compile(r"\{\{ (or )?(\$labels\.\w+ )+\}\}")


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert, with the thresholds put into place."""

    name: str
    category: str
    dashboard: str
    hold: str
    """How long the condition has to last (`for`)."""
    expr: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    thresholds: Sequence[str]
    """Names in thresholds.yaml that it depends on."""
    meaning: str
    check: Sequence[str]
    fix: Sequence[str]
    drill: str | None
    """Drill of `sidecar drill` that makes it fire."""
    tests: Sequence[Mapping[str, Any]]

    def rule(self) -> dict[str, Any]:
        """As it stands in a rule file."""
        held = {} if minutes(self.hold) == 0 else {"for": self.hold}
        return {
            "alert": self.name,
            "expr": self.expr,
            **held,
            "labels": dict(self.labels),
            "annotations": dict(self.annotations),
        }


def load(thresholds: Thresholds) -> list[Alert]:
    """All alerts, in the order of the files. Raises ValueError where one is not complete."""
    found = [
        _alert(body, entry, thresholds)
        for path in sorted((SOURCE / "source" / "alerts").glob("*.yaml"))
        for body in [read(path)]
        for entry in body["alerts"]
    ]
    names = [alert.name for alert in found]
    if len(set(names)) < len(names):
        raise ValueError("invalid alerts: two have one name; expected names that differ")
    return found


def _alert(body: Mapping[str, Any], entry: Mapping[str, Any], thresholds: Thresholds) -> Alert:
    name = entry["alert"]
    if wrong := (entry.keys() - _KEYS) | (_KEYS - {"drill", "more_tests"} - entry.keys()):
        raise ValueError(
            f"invalid alert {name}: {', '.join(sorted(wrong))}; expected exactly {', '.join(sorted(_KEYS))}"
        )
    if entry["severity"] not in SEVERITIES:
        raise ValueError(f"invalid severity of {name}: {entry['severity']}; expected one of {', '.join(SEVERITIES)}")
    links = thresholds.links
    return Alert(
        name=name,
        category=body["category"],
        dashboard=body["dashboard"],
        hold=entry["for"],
        expr=thresholds.fill(entry["expr"]).strip(),
        labels={
            "severity": entry["severity"],
            "team": body["team"],
            "category": body["category"],
            "condition": entry["condition"],
            **body.get("labels", {}),
        },
        annotations={
            "summary": entry["summary"],
            "description": thresholds.fill(entry["description"]),
            "runbook_url": f"{links['runbooks'].rstrip('/')}/{name}.md",
            "dashboard_url": f"{links['grafana'].rstrip('/')}/d/{body['dashboard']}",
        },
        thresholds=thresholds.named_in(entry["expr"]),
        meaning=entry["meaning"],
        check=entry["check"],
        fix=entry["fix"],
        drill=entry.get("drill"),
        tests=[entry["test"], *entry.get("more_tests", ())],
    )


def rendered(text: str, labels: Mapping[str, str], value: str) -> str:
    """An annotation as Prometheus fills it in, where it says only `$labels.x`, `or` of such, and `$value`."""
    text = with_labels(text, lambda names: next((labels[name] for name in names if labels.get(name)), ""))
    return re.sub(r"\{\{ \$value[^}]*\}\}", lambda _: value, text)


def with_labels(text: str, shown: Callable[[list[str]], str]) -> str:
    """An annotation with what is shown for the labels of each place; of several names the first that has a value is
    meant."""
    return _PLACE.sub(lambda found: shown(_LABEL.findall(found[0])), text)


def rule_file(category: str) -> Path:
    """Where the alerts of a category are."""
    return Path("monitoring/prometheus/rules") / f"alerts-{category}.yml"
