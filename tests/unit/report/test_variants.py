"""Variants of experiments over several pods."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from sidecar.derive.shares import share
from sidecar.report.prometheus import Sample
from sidecar.report.variants import OF_EACH_POD, of_pods
from sidecar.serve.pages.experiments import experiments
from sidecar.serve.pages.metric_families import Metrics


def of(variant: str, value: float, **more: str) -> Sample:
    return Sample({"experiment": "ranking", "variant": variant, **more}, value)


SUMS = {
    "ab_test_exposures": [of("A", 1000), of("B", 1100)],
    "ab_test_conversions": [of("A", 100), of("B", 165)],
    "ab_test_labels": [of("A", 80, result="correct"), of("A", 20, result="wrong"), of("B", 5, result="correct")],
}


def gauges(**given: Sequence[Sample]) -> dict[str, Sequence[Sample]]:
    return {**dict.fromkeys(OF_EACH_POD, ()), "ab_test_control": [of("A", 1)], **given}


def test_sums_have_shares_and_intervals() -> None:
    (found,) = experiments(Metrics(of_pods(SUMS, gauges())))
    control, other = found.variants
    assert (control.name, control.control, control.exposures, control.share) == (
        "A",
        True,
        1000,
        pytest.approx(10 / 21),
    )
    assert other.rate is not None
    expected = share(165, 1100)
    assert (other.rate.value, other.rate.lower, other.rate.upper) == (expected.value, expected.lower, expected.upper)
    assert control.accuracy is not None
    assert (control.accuracy.value, other.accuracy) == (0.8, None)


def test_p_values_of_pods_are_combined() -> None:
    values = [of("B", p, outcome="conversion") for p in (0.01, 0.4, 0.9)]
    made = of_pods(SUMS, gauges(ab_test_p_value=values))
    (found,) = experiments(Metrics(made))
    (lift,) = found.variants[1].lifts
    assert (lift.p_value, lift.significant) == (pytest.approx(0.03), True)
    assert lift.lift is not None
    assert (lift.lift.value, lift.lift.lower) == (pytest.approx(0.5), None)


def test_one_pod_is_believed_as_it_is() -> None:
    own = [of("B", value, outcome="value") for value in (0.2,)]
    given = {"ab_test_p_value": own, "ab_test_lift": own, "ab_test_lift_lower": own, "ab_test_lift_upper": own}
    (found,) = experiments(Metrics(of_pods(SUMS, gauges(**given, ab_test_significant=[of("B", 1, outcome="value")]))))
    (lift,) = found.variants[1].lifts
    assert lift.lift is not None
    assert (lift.outcome, lift.lift.lower, lift.significant) == ("value", 0.2, True)
