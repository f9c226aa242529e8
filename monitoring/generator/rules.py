"""Rule files: alerts by category, and recording rules with the thresholds put into place."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from generator.alerts import Alert, rule_file
from generator.text import SOURCE, Thresholds, as_yaml, read

RULES = Path("monitoring/prometheus/rules")


def files(alerts: Sequence[Alert], thresholds: Thresholds) -> dict[Path, str]:
    """Path from the root -> text of every rule file."""
    made = {}
    for category in dict.fromkeys(alert.category for alert in alerts):
        rules = [alert.rule() for alert in alerts if alert.category == category]
        made[rule_file(category)] = as_yaml({"groups": [{"name": f"sidecar-{category}", "rules": rules}]})
    for path in sorted((SOURCE / "source" / "recording").glob("*.yaml")):
        groups = [_group(group, thresholds) for group in read(path)["groups"]]
        if path.stem == "red" and thresholds.latency_overrides:
            groups.append(_overrides(thresholds.latency_overrides))
        made[RULES / f"recording-{path.stem}.yml"] = as_yaml({"groups": groups})
    return made


def _group(group: Mapping[str, Any], thresholds: Thresholds) -> dict[str, Any]:
    rules = [_rule(rule, thresholds) for rule in group.get("rules", ())]
    rules.extend(rule for entry in group.get("renames", ()) for rule in renamed(entry))
    interval = {"interval": group["interval"]} if "interval" in group else {}
    return {"name": group["name"], **interval, "rules": rules}


def _rule(rule: Mapping[str, Any], thresholds: Thresholds) -> dict[str, Any]:
    labels = {"labels": rule["labels"]} if "labels" in rule else {}
    return {"record": rule["record"], "expr": thresholds.fill(rule["expr"]).strip(), **labels}


def renamed(entry: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """The rules that give series another name, with copies of labels. A histogram is three of them."""
    labels = entry["labels"]
    if "from" in entry:
        yield {"record": entry["record"], "expr": _relabelled(entry["from"], labels)}
        return
    name, _, selector = entry["histogram"].partition("{")
    for suffix in ("_bucket", "_sum", "_count"):
        source = f"{name}{suffix}" + (f"{{{selector}" if selector else "")
        yield {"record": entry["record"] + suffix, "expr": _relabelled(source, labels)}


def _relabelled(expr: str, labels: Mapping[str, Any]) -> str:
    for new, source in labels.items():
        name, pattern = (source, "(.*)") if isinstance(source, str) else source
        expr = f'label_replace({expr}, "{new}", "$1", "{name}", "{pattern}")'
    return expr


def _overrides(services: Mapping[str, float]) -> dict[str, Any]:
    rules = [
        {
            "record": "service:latency_p95_threshold_seconds",
            "expr": f"vector({seconds:g})",
            "labels": {"service_name": service},
        }
        for service, seconds in services.items()
    ]
    return {"name": "service-thresholds", "rules": rules}


def metrics_named(expr: str) -> set[str]:
    """Names of metrics in an expression of ours: what is neither a function, a keyword, a label nor in quotes."""
    expr = re.sub(r'"(?:[^"\\]|\\.)*"', "", expr)
    expr = re.sub(r"\{[^}]*\}", "{}", expr)
    expr = re.sub(r"\[[^\]]*\]", "", expr)
    expr = re.sub(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)", "", expr)
    expr = re.sub(r"(?<![a-zA-Z0-9_:])\d[\w.]*", "", expr)
    words = re.findall(r"[a-zA-Z_:][a-zA-Z0-9_:]*(?!\s*\()(?![a-zA-Z0-9_:])", expr)
    return set(words) - {"and", "or", "unless", "bool", "offset", "by", "without", "Inf", "NaN"}
