"""Variants of experiments over the pods of a fleet. What pods count is added up; their p-values are combined as the
shipped rules do it (the smallest, times their number). Intervals of lifts are those of the pod, where there is one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sidecar.derive.experiments.options import ALPHA
from sidecar.derive.shares import MIN_ROWS, share
from sidecar.report.prometheus import Sample
from sidecar.serve.pages.metric_families import Series

VARIANT = ("experiment", "variant")
OUTCOME = (*VARIANT, "outcome")
OF_EACH_POD = (
    "ab_test_control",
    "ab_test_lift",
    "ab_test_lift_lower",
    "ab_test_lift_upper",
    "ab_test_p_value",
    "ab_test_significant",
    "ab_test_sample_ratio_p_value",
)
"""Gauges that `of_pods` takes as they are."""
_Key = tuple[str, ...]


def of_pods(sums: Mapping[str, Sequence[Sample]], gauges: Mapping[str, Sequence[Sample]]) -> dict[str, list[Series]]:
    """Families as one sidecar shows them. `sums`: exposures, conversions and labels (by `result`) over all pods since
    the experiment began; `gauges`: of each pod."""
    exposures = _by(sums["ab_test_exposures"], VARIANT)
    conversions = {key: sum(found) for key, found in _by(sums["ab_test_conversions"], VARIANT).items()}
    units = {key: sum(found) for key, found in exposures.items()}
    made: dict[str, list[Series]] = {"ab_test_exposures": [_one(VARIANT, key, n) for key, n in units.items()]}
    made["ab_test_conversions"] = [_one(VARIANT, key, n) for key, n in conversions.items()]
    whole: dict[str, float] = {}
    for (experiment, _), n in units.items():
        whole[experiment] = whole.get(experiment, 0) + n
    made["ab_test_share"] = [
        _one(VARIANT, key, n / whole[key[0]]) for key, n in units.items() if whole[key[0]] >= MIN_ROWS
    ]
    _shares(made, "ab_test_conversion_rate", {key: (conversions.get(key, 0), n) for key, n in units.items()})
    labelled = {key: sum(found) for key, found in _by(sums["ab_test_labels"], VARIANT).items()}
    correct = _by([s for s in sums["ab_test_labels"] if s.labels.get("result") == "correct"], VARIANT)
    _shares(made, "ab_test_accuracy", {key: (sum(correct.get(key, ())), n) for key, n in labelled.items()})
    made["ab_test_control"] = [_one(VARIANT, k, max(v)) for k, v in _by(gauges["ab_test_control"], VARIANT).items()]
    _p_values(made, gauges)
    _lifts(made, gauges)
    return made


def _by(samples: Sequence[Sample], by: Sequence[str]) -> dict[_Key, list[float]]:
    found: dict[_Key, list[float]] = {}
    for sample in samples:
        found.setdefault(tuple(sample.labels.get(name, "") for name in by), []).append(sample.value)
    return found


def _one(by: Sequence[str], key: _Key, value: float) -> Series:
    return Series(dict(zip(by, key, strict=True)), value)


def _shares(made: dict[str, list[Series]], name: str, counts: Mapping[_Key, tuple[float, float]]) -> None:
    for key, (hits, n) in counts.items():
        if n < MIN_ROWS:
            continue
        found = share(round(hits), round(n))
        for end, value in (("", found.value), ("_lower", found.lower), ("_upper", found.upper)):
            made.setdefault(name + end, []).append(_one(VARIANT, key, value))


def _p_values(made: dict[str, list[Series]], gauges: Mapping[str, Sequence[Sample]]) -> None:
    found = {key: min(1.0, min(ps) * len(ps)) for key, ps in _by(gauges["ab_test_p_value"], OUTCOME).items()}
    made["ab_test_p_value"] = [_one(OUTCOME, key, p) for key, p in found.items()]
    decided = _by(gauges["ab_test_significant"], OUTCOME)
    compared: dict[tuple[str, str], int] = {}
    for experiment, _, outcome in found:
        compared[experiment, outcome] = compared.get((experiment, outcome), 0) + 1
    made["ab_test_significant"] = [
        _one(OUTCOME, key, max(own) if len(own) == 1 else float(p <= ALPHA / compared[key[0], key[2]]))
        for key, p in found.items()
        for own in [decided.get(key, [])]
    ]
    mismatch = _by(gauges["ab_test_sample_ratio_p_value"], ("experiment",))
    made["ab_test_sample_ratio_p_value"] = [
        _one(("experiment",), key, min(1.0, min(ps) * len(ps))) for key, ps in mismatch.items()
    ]


def _lifts(made: dict[str, list[Series]], gauges: Mapping[str, Sequence[Sample]]) -> None:
    """Of conversions from the sums, of all outcomes as the pod has it, where there is one."""
    for name in ("ab_test_lift", "ab_test_lift_lower", "ab_test_lift_upper"):
        pods = _by(gauges[name], OUTCOME)
        made[name] = [_one(OUTCOME, key, own[0]) for key, own in pods.items() if len(own) == 1]
    rates = {
        (s.labels["experiment"], s.labels["variant"]): float(s.value) for s in made.get("ab_test_conversion_rate", [])
    }
    controls = {s.labels["experiment"]: s.labels["variant"] for s in made["ab_test_control"] if s.value}
    known = {(s.labels["experiment"], s.labels["variant"], s.labels["outcome"]) for s in made["ab_test_lift"]}
    for (experiment, variant), rate in rates.items():
        of_control = rates.get((experiment, controls.get(experiment, "")))
        key = (experiment, variant, "conversion")
        if of_control and variant != controls[experiment] and key not in known:
            made["ab_test_lift"].append(_one(OUTCOME, key, rate / of_control - 1))
