"""Metric families of experiments."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from sidecar.derive.experiments.experiment import Comparison, Experiment, Tests, Variant, design_of
from sidecar.derive.experiments.options import ExperimentDesign
from sidecar.derive.families import FamilySnapshot, label_text
from sidecar.derive.gauges import Gauges
from sidecar.derive.shares import MIN_ROWS, share

_OF_CONTROL = "of a variant from the control, by outcome (conversion, value, accuracy)"
_ALWAYS = "valid at all looks together"
_ABOUT = {
    "ab_test_share": "Share of the experiment's exposures.",
    "ab_test_expected_share": "Share of the exposures that the variant is meant to have.",
    "ab_test_control": "1 for the variant that the others are compared with.",
    "ab_test_conversion_rate": "Units that converted, as a share of those exposed.",
    "ab_test_conversion_rate_lower": "Lower end of the conversion rate's interval of 95 % (Wilson).",
    "ab_test_conversion_rate_upper": "Upper end of the conversion rate's interval of 95 % (Wilson).",
    "ab_test_accuracy": "Share of labelled rows whose predicted class is the actual one.",
    "ab_test_accuracy_lower": "Lower end of the accuracy's interval of 95 % (Wilson).",
    "ab_test_accuracy_upper": "Upper end of the accuracy's interval of 95 % (Wilson).",
    "ab_test_value_sum": "What conversions were worth together.",
    "ab_test_value_mean": "What conversions were worth, per exposed unit.",
    "ab_test_difference": f"Difference {_OF_CONTROL}.",
    "ab_test_difference_lower": f"Lower end of the difference's interval, {_ALWAYS}.",
    "ab_test_difference_upper": f"Upper end of the difference's interval, {_ALWAYS}.",
    "ab_test_lift": f"Relative difference {_OF_CONTROL}.",
    "ab_test_lift_lower": f"Lower end of the lift's interval, {_ALWAYS}.",
    "ab_test_lift_upper": f"Upper end of the lift's interval, {_ALWAYS}.",
    "ab_test_p_value": f"p-value of the difference, {_ALWAYS}.",
    "ab_test_significant": "1 where the p-value is at most alpha, divided by the variants that are compared.",
    "ab_test_sample_ratio_p_value": f"p-value of the shares being those expected, {_ALWAYS}.",
    "ab_test_mixture_units": "Units for which the test is tuned, as recording rules need it for a fleet.",
}


def families(
    experiments: Iterable[Experiment], designs: Mapping[str, ExperimentDesign], tests: Tests
) -> Iterator[FamilySnapshot]:
    """The gauges of all experiments."""
    found = Gauges(_ABOUT)
    for experiment in experiments:
        design = design_of(designs, experiment.name)
        own = label_text(("experiment",), (experiment.name,))
        found.add("ab_test_sample_ratio_p_value", own, experiment.mismatch_p())
        found.add("ab_test_mixture_units", own, tests.mixture)
        expected, total = experiment.expected(design), sum(one.exposures for one in experiment.variants)
        control = experiment.control(design)
        for variant in experiment.variants:
            labels = label_text(("experiment", "variant"), (experiment.name, variant.name))
            found.add("ab_test_expected_share", labels, expected.get(variant.name))
            found.add("ab_test_share", labels, variant.exposures / total if total >= MIN_ROWS else None)
            found.add(
                "ab_test_control", labels, 1 if variant.name == control and experiment.knows_control(design) else None
            )
            _variant(found, labels, variant)
        for comparison in experiment.comparisons(design, tests):
            _comparison(found, experiment.name, comparison)
    yield from found.families()


def _variant(found: Gauges, labels: str, variant: Variant) -> None:
    if variant.exposures >= max(MIN_ROWS, variant.conversions):
        found.add_interval("ab_test_conversion_rate", labels, share(variant.conversions, variant.exposures))
    if variant.labelled >= MIN_ROWS:
        found.add_interval("ab_test_accuracy", labels, share(variant.correct, variant.labelled))
    if variant.squares:
        found.add("ab_test_value_sum", labels, variant.value)
        found.add("ab_test_value_mean", labels, variant.value / variant.exposures if variant.exposures else None)


def _comparison(found: Gauges, experiment: str, comparison: Comparison) -> None:
    names = ("experiment", "variant", "control", "outcome")
    labels = label_text(names, (experiment, comparison.variant, comparison.control, comparison.outcome))
    found.add_interval("ab_test_difference", labels, comparison.evidence.difference)
    found.add_interval("ab_test_lift", labels, comparison.evidence.lift)
    found.add("ab_test_p_value", labels, comparison.p)
    found.add("ab_test_significant", labels, int(comparison.significant))
