"""Unit tests for promtool, six for each alert: it fires, it does not fire just under its threshold, it resolves, it
does not fire without data, not where counters restart, and not where there never was data.

A series of a test has a value (a counter: a rate per second) for each state: `ok`, `under` (as near to the threshold as
the test says), `over`; or `all`. A test runs through states, one `settle` long each; the default is long enough for a
window of five minutes and the alert's `for`. Tests over many hours are in a file of their own with a coarser interval
of evaluation: promtool takes minutes for them else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from generator.alerts import Alert, rendered
from generator.rules import metrics_named
from generator.text import as_yaml, minutes

TESTS = Path("monitoring/prometheus/tests")
_COUNTER = re.compile(r"_(?:total|bucket|sum|count)\{")
_PAUSE, _RESET = "pause", "reset"
_PUSHED_EVERY = 30
"""Minutes between values of a series that a job pushes (`kind: pushed`)."""
_LONG = 300
"""Minutes of a state from which on a test is a slow one."""
_COARSE = "30m"
State = str


def files(alerts: Sequence[Alert], recording: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[Path, str]:
    """Files of tests for each category, with those recording rules in force that its alerts depend on.

    `recording`: name of a rule file -> its groups."""
    made = {}
    for category in dict.fromkeys(alert.category for alert in alerts):
        mine = [alert for alert in alerts if alert.category == category]
        needed = [name for name in recording if _records(recording[name]) & _named(mine)]
        rule_files = [f"../rules/{name}" for name in [*needed, f"alerts-{category}.yml"]]
        groups = [group["name"] for name in needed for group in recording[name]]
        for suffix, interval in (("", "1m"), ("-slow", _COARSE)):
            tests = [
                test
                for alert in mine
                for spec in alert.tests
                if (_settle(alert, spec) > _LONG) == bool(suffix)
                for test in _tests(alert, spec)
            ]
            body = {
                "rule_files": rule_files,
                "evaluation_interval": interval,
                # Rules that read recorded series come after those that record them, in the same round.
                "group_eval_order": [*groups, f"sidecar-{category}"],
                "tests": tests,
            }
            if tests:
                made[TESTS / f"alerts-{category}{suffix}.yml"] = as_yaml(body)
    return made


def _records(groups: Sequence[Mapping[str, Any]]) -> set[str]:
    return {rule["record"] for group in groups for rule in group["rules"]}


def _named(alerts: Sequence[Alert]) -> set[str]:
    return {name for alert in alerts for name in metrics_named(alert.expr)}


def _settle(alert: Alert, spec: Mapping[str, Any]) -> int:
    return minutes(spec.get("settle", f"{minutes(alert.hold) + 12}m"))


def _tests(alert: Alert, spec: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    settle = _settle(alert, spec)
    peak = settle + (minutes(spec["peak"]) if "peak" in spec else settle - 1)
    name = f"{alert.name}{': ' + spec['name'] if 'name' in spec else ''}"
    firing = [_expected(alert, spec)]
    cases: list[tuple[str, Sequence[State], dict[int, list[Any]]]] = [
        ("fires", ("ok", "over"), {settle - 1: [], peak: firing}),
        ("does not fire just under its threshold", ("ok", "under"), {settle: [], settle + 5: [], peak: []}),
        ("resolves", ("ok", "over", "ok"), {peak: firing, 3 * settle - 1: []}),
        ("does not fire without data", ("ok", _PAUSE), {settle + 1: [], settle + 6: [], 2 * settle - 1: []}),
        (
            "does not fire where a counter restarts",
            ("ok", _RESET),
            {settle: [], settle + 1: [], settle + 3: [], settle + 6: [], 2 * settle - 1: []},
        ),
    ]
    if "lasts" in spec:
        end = settle - _PUSHED_EVERY + minutes(spec["lasts"])
        cases.append(
            ("lasts from one push to the next, and then ends", ("over", _PAUSE), {end - 1: firing, end + 1: []})
        )
    for title, states, expected in cases:
        yield _test(f"{name} {title}", spec["series"], states, settle, alert.name, expected)
    yield _test(f"{name} does not fire where there never was data", (), (), settle, alert.name, {settle: []})


def _test(
    name: str,
    series: Sequence[Mapping[str, Any]],
    states: Sequence[State],
    settle: int,
    alert: str,
    expected: Mapping[int, list[Any]],
) -> dict[str, Any]:
    return {
        "name": name,
        "interval": "1m",
        "input_series": [{"series": one["s"], "values": _values(one, states, settle)} for one in series],
        "alert_rule_test": [
            {"eval_time": f"{time}m", "alertname": alert, "exp_alerts": alerts} for time, alerts in expected.items()
        ],
    }


def _expected(alert: Alert, spec: Mapping[str, Any]) -> dict[str, Any]:
    labels, value = spec["labels"], str(spec["value"])
    return {
        "exp_labels": {**labels, **{k: rendered(v, labels, value) for k, v in alert.labels.items()}},
        "exp_annotations": {k: rendered(v, labels, value) for k, v in alert.annotations.items()},
    }


def _values(series: Mapping[str, Any], states: Sequence[State], settle: int) -> str:
    """In promtool's notation: `start+stepxN` is N + 1 samples, `_xN` N samples that are not there."""
    counter = bool(_COUNTER.search(series["s"]))
    parts, total = [], 0.0
    for place, state in enumerate(states):
        if state == _PAUSE:
            parts.append(f"_x{settle}")
            continue
        value = float(series.get("all", series.get("ok" if state == _RESET else state, 0)))
        if counter:
            total = 0.0 if state == _RESET else total
            step = value * 60
            parts.append(f"{total:.12g}+{step:.12g}x{settle - 1}")
            total += step * settle
        elif series.get("kind") == "pushed":
            parts.extend([f"{value:.12g} _x{_PUSHED_EVERY - 1}"] * (settle // _PUSHED_EVERY))
        elif series.get("kind") == "age":
            parts.append(f"{place * settle * 60 - value:.12g}+60x{settle - 1}".replace("+-", "-"))
        elif state == _RESET:  # The process was away for two minutes.
            parts.append(f"_x2 {value:.12g}+0x{settle - 3}")
        else:
            parts.append(f"{value:.12g}+0x{settle - 1}")
    return " ".join(parts)
