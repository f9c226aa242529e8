"""Decisions: scores in few bytes, and as they are kept."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from sidecar.derive.drift.decision import Decision, Score, decide

SCORES = (Score("psi", 0.25, 0.1, 0.2, 1 << 61), Score("ks", math.inf, 0.1, math.nan, 0))
KEPT: dict[str, Any] = {
    "scores": [
        {"method": "psi", "score": 0.5, "threshold": 0.1, "critical": 0.2, "samples": 40},
        {"method": "ks", "score": 0.25, "threshold": 1, "critical": 0.2, "samples": 40},
    ],
    "detected": True,
    "insufficient": False,
    "method": "psi",
}
"""As former versions kept a decision."""


def test_scores_are_given_back_as_they_were() -> None:
    decision = decide(SCORES, "psi", True)
    assert str(decision.scores) == str(SCORES)  # NaN is not equal to itself.
    assert (decision.detected, decision.insufficient, decision.method) == (True, False, "psi")


def test_decisions_are_kept_as_they_always_were() -> None:
    decision = Decision.of_json(KEPT)
    assert decision.scores[1] == Score("ks", 0.25, 1.0, 0.2, 40)
    assert json.dumps(decision.as_json()) == json.dumps(KEPT).replace('"threshold": 1,', '"threshold": 1.0,')
    assert Decision.of_json(json.loads(json.dumps(decision.as_json()))) == decision


@pytest.mark.parametrize(
    "change", [{"scores": [{}]}, {"scores": None}, {"scores": [{**KEPT["scores"][0], "score": "x"}]}]
)
def test_what_is_no_decision_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        Decision.of_json({**KEPT, **change})
