"""Recording rules of experiments over a fleet, by promtool, beside what the sidecar computes from the same sums."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import monitoring_source as source
from support.promql import check_rules

from sidecar.derive.experiments.inference import compare, log_ratio, mixture_units, p_value, proportion

R = mixture_units(10_000, 0.05)
RULES = [source.PROMETHEUS / "rules" / f"recording-{name}.yml" for name in ("experiments", "legacy")]
ONE_VARIANT = {
    "a-0": {"A": (3_000, 300)},
    "a-1": {"A": (2_000, 210)},
    "b-0": {"B": (4_000, 500)},
    "b-1": {"B": (900, 99)},
}
"""Pod -> variant -> (exposures, conversions), where each pod has one."""
SUMS = {"A": (5_000, 510), "B": (4_900, 599)}


def series(pods: dict[str, dict[str, tuple[int, int]]], gauges: dict[str, float]) -> list[dict[str, str]]:
    found = []
    for pod, variants in pods.items():
        own = f'namespace="shop",pod="{pod}",experiment="ranking"'
        for variant, (exposures, conversions) in variants.items():
            labels = f'{own},variant="{variant}"'
            found += [(f"ab_test_exposures_total{{{labels}}}", exposures)]
            found += [(f"ab_test_conversions_total{{{labels}}}", conversions)] if conversions else []
            found += [(f"ab_test_control{{{labels}}}", 1)] if variant == "A" else []
            found += [(f"ab_test_expected_share{{{labels}}}", 0.5)]
        found += [(f"ab_test_mixture_units{{{own}}}", R)]
        found += [
            (f"{name}{{{own}{more}}}", value) for key, value in gauges.items() for name, _, more in [key.partition("|")]
        ]
    return [{"series": name, "values": f"{value!r}x3"} for name, value in found]


def check(tmp_path: Path, given: list[dict[str, str]], expected: dict[str, float | None]) -> None:
    """Each expression has one value, to a millionth, or none."""
    tests = [
        {
            "expr": f"count({expr})" if value is None else f"abs(({expr}) / {value!r} - 1) < bool 1e-6",
            "eval_time": "2m",
            "exp_samples": [] if value is None else [{"labels": "{}", "value": 1}],
        }
        for expr, value in expected.items()
    ]
    check_rules(tmp_path, RULES, given, tests)


def test_pods_of_one_variant_each_are_compared(tmp_path: Path) -> None:
    (n0, c0), (n1, c1) = SUMS["A"], SUMS["B"]
    share = (c0 + c1) / (n0 + n1)
    found = compare(proportion(n0, c0), proportion(n1, c1), R, 0.05, share * (1 - share))
    assert found is not None
    assert found.lift is not None
    p = p_value(found.log_ratio)
    assert p < 0.2
    z2 = (n0 - (n0 + n1) / 2) ** 2 / ((n0 + n1) / 4)
    of_b = '{variant="B"}'
    check(
        tmp_path,
        series(ONE_VARIANT, {}),
        {
            f"sum(ab_test:conversion_p_value:mixture{of_b})": p,
            'sum(ab_test:p_value:adjusted{variant="B",outcome="conversion"})': p,
            f"sum(ab_test:lift:ratio{of_b})": found.lift.value,
            f"sum(ab_test:conversion_rate:ratio{of_b})": c1 / n1,
            f"sum(ab_test:share:ratio{of_b})": n1 / (n0 + n1),
            'ab_test:lift:ratio{variant="A"}': None,
            'ab_test:conversion_p_value:mixture{variant="A"}': None,
            "sum(ab_test_conversions)": c0 + c1,
            "sum(ab_test:sample_ratio_p_value:adjusted)": min(1, 2 * p_value(log_ratio(z2, n0 + n1, 1_000))),
        },
    )


def test_a_mismatch_of_pods_of_one_variant_each(tmp_path: Path) -> None:
    z2 = (3_000 - 2_750) ** 2 / (5_500 / 4)
    p = 2 * p_value(log_ratio(z2, 5_500, 1_000))
    assert p < 0.001
    pods = {"a-0": {"A": (3_000, 0)}, "b-0": {"B": (2_500, 0)}}
    check(
        tmp_path,
        series(pods, {}),
        {
            "sum(ab_test:sample_ratio_p_value:adjusted)": p,
            "ab_test:conversion_p_value:mixture": None,
            "ab_test:lift:ratio": None,
        },
    )


@pytest.mark.parametrize(("found", "adjusted"), [(0.002, 0.004), (0.9, 1.0)])
def test_p_values_of_pods_that_see_all_variants_are_combined(tmp_path: Path, found: float, adjusted: float) -> None:
    pods = {"x-0": {"A": (2_000, 200), "B": (2_000, 260)}, "x-1": {"A": (2_000, 200), "B": (2_000, 210)}}
    gauges = {
        'ab_test_p_value|,variant="B",control="A",outcome="conversion"': found,
        "ab_test_sample_ratio_p_value|": found,
    }
    check(
        tmp_path,
        series(pods, gauges),
        {"sum(ab_test:p_value:adjusted)": adjusted, "sum(ab_test:sample_ratio_p_value:adjusted)": adjusted},
    )
