"""Accuracy estimated without labels over a fleet, by promtool from the shipped rules: what two sidecars show of their
parts of the rows gives what one shows that has them all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import monitoring_source as source
from support.derive_fakes import lines
from support.drift_data import HOUR, START, at, event_request, numbers
from support.drift_oracles.estimation_cases import Frame, cases
from support.promql import check_rules

from sidecar.decode.python import ReferenceDecoder
from sidecar.derive.drift.deriver import DriftDeriver
from sidecar.derive.drift.options import DriftOptions
from sidecar.derive.drift.reference import Reference
from sidecar.derive.drift.reference_builder import NumberBuilder
from sidecar.derive.series import Budget

pytestmark = pytest.mark.engine
DECODER = ReferenceDecoder()
NAMES = tuple(f"model_accuracy_estimated{end}" for end in ("", "_lower", "_upper", "_samples"))
LABELS = '{model="churn",version="7",window="24h"}'
OF = '{namespace="shop",service="churn",' + LABELS[1:]
BEFORE, WINDOWS = cases()["too sure, two classes"]


def reference(found: Frame) -> Reference:
    """Of scores with labels."""
    scores = NumberBuilder("score", "score", found.scores)
    scores.add(*numbers(found.scores))
    scores.add_outcomes(*numbers(found.scores), [str(n) for n in found.predicted], [str(n) for n in found.actual])
    column = scores.column()
    return Reference(model="churn", rows=column.rows, columns=(column,))


def shown(file: Path, scores: Any) -> dict[str, float]:
    """What a sidecar shows of these rows: series -> value."""
    deriver = DriftDeriver(DriftOptions(reference=file), Budget())
    for time, part in ((START, scores), (START + HOUR, np.zeros(0))):
        payload = event_request({"x": [1.0]}, score=part.tolist())
        deriver.apply(deriver.decode(DECODER, [payload]), at(time))
    return {
        series: float(value)
        for series, value in lines(list(deriver.collect())).items()
        if series.startswith("model_accuracy_estimated")
    }


def check(folder: Path, pods: list[dict[str, float]], true: Sequence[str], absent: Sequence[str] = ()) -> None:
    """Each expression of `true` is 1, each of `absent` has no value."""
    series = [
        {"series": name.replace("{", f'{{namespace="shop",service="churn",pod="{pod}",'), "values": f"{value!r}x3"}
        for pod, found in enumerate(pods)
        for name, value in found.items()
    ]
    tests = [
        {
            "expr": f"sum({expr})",
            "eval_time": "2m",
            "exp_samples": [{"labels": "{}", "value": 1}] if expr in true else [],
        }
        for expr in (*true, *absent)
    ]
    check_rules(folder, [source.PROMETHEUS / "rules" / "recording-models.yml"], series, tests)


@pytest.mark.parametrize("first", [20, 700, 1_800])
def test_two_parts_give_the_estimate_of_the_whole(tmp_path: Path, first: int) -> None:
    """Parts of unlike rows: one has those of which the model is surest."""
    file = tmp_path / "reference.json"
    file.write_text(reference(BEFORE).dump())
    scores = np.sort(WINDOWS["moved"].scores)
    parts = [shown(file, scores[:first]), shown(file, scores[first:])]
    whole = shown(file, scores)
    accuracy, lower, upper, rows = (whole[name + LABELS] for name in NAMES)
    assert rows == len(scores)
    own = [part[NAMES[0] + LABELS] for part in parts]
    assert abs(own[0] - own[1]) > 0.05
    check(
        tmp_path,
        parts,
        [
            f"model:accuracy_estimated_samples:sum{OF} == bool {rows!r}",
            f"abs(model:accuracy_estimated:ratio{OF} - {accuracy!r}) < bool 1e-12",
            f"model:accuracy_estimated_lower:ratio{OF} <= bool {lower!r} + 1e-12",
            f"model:accuracy_estimated_upper:ratio{OF} >= bool {upper!r} - 1e-12",
        ],
    )


def test_a_pod_of_few_rows_has_no_part(tmp_path: Path) -> None:
    file = tmp_path / "reference.json"
    file.write_text(reference(BEFORE).dump())
    scores = WINDOWS["moved"].scores
    parts = [shown(file, scores[:9]), shown(file, scores[9:])]
    assert parts[0] == {}
    check(tmp_path, parts, [f"model:accuracy_estimated_samples:sum == bool {len(scores) - 9}"])
    check(tmp_path, parts[:1], [], ["model:accuracy_estimated:ratio"])
