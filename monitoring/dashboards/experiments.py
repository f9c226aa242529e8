"""A/B tests: variants beside each other, complete and simple."""

from __future__ import annotations

from generator.text import Thresholds

from dashboards.panels import NAMESPACE, Board, Panel, Query, Row, Variable

_OF = 'namespace=~"$namespace",experiment=~"$experiment"'
_NAME = "{{experiment}} {{variant}}"
_OUTCOME = "{{experiment}} {{variant}} {{outcome}}"
_VARIABLES = (
    NAMESPACE,
    Variable("experiment", "Experiment", "label_values(ab_test_exposures_total, experiment)"),
)
_BY_OUTCOME = "experiment, variant, outcome"

_SHARE = Panel(
    "Traffic share",
    "Share of the exposures of each variant, since the experiment began.",
    "percentunit",
    (Query(f"ab_test:share:ratio{{{_OF}}}", _NAME),),
    alert="TrafficImbalance",
)
_ACCURACY = Panel(
    "Accuracy",
    "Share of labelled rows that the variant predicted rightly.",
    "percentunit",
    (Query(f"ab_test:accuracy:ratio{{{_OF}}}", _NAME),),
)
_ERRORS = Panel(
    "Errors",
    "Share of calls of the model that failed, over five minutes.",
    "percentunit",
    (Query(f"ab_test:request_errors:ratio_rate5m{{{_OF}}}", _NAME),),
)


def _latency(limits: Thresholds) -> Panel:
    return Panel(
        "Response time",
        "P95 of the calls of the model, over five minutes.",
        "s",
        (Query(f"ab_test:latency_seconds:p95_rate5m{{{_OF}}}", _NAME),),
        warn=limits.values["latency_p95_warning"],
    )


def simple(limits: Thresholds) -> Board:
    """What is asked first."""
    panels = (_SHARE, _ACCURACY, _latency(limits), _ERRORS)
    half = [Panel(**{name: getattr(panel, name) for name in Panel.__slots__} | {"width": 12}) for panel in panels]
    return Board(
        "sidecar-ab-test-simple",
        "A/B tests: simple",
        "Share, accuracy, response time and errors of variants beside each other.",
        (Row("Variants", tuple(half)),),
        _VARIABLES,
    )


def complete(limits: Thresholds) -> Board:
    """With what may be concluded."""
    of = limits.values
    return Board(
        "sidecar-ab-test",
        "A/B tests: complete",
        "Variants beside each other: traffic, conversions, lift with its interval, p-values that may be looked at all "
        "the time, and whether traffic is shared out as it should be.",
        (
            Row("Results", _results(of["experiment_p_value"], of["sample_ratio_p_value"])),
            Row(
                "Traffic",
                (
                    _SHARE,
                    Panel(
                        "Exposures",
                        "Units a second that were shown a variant.",
                        "ops",
                        (Query(f"ab_test:exposures:rate5m{{{_OF}}}", _NAME),),
                    ),
                    Panel(
                        "Sample-ratio mismatch",
                        "p-value of the shares being those expected. Near 0 nothing else can be trusted.",
                        "none",
                        (Query(f"ab_test:sample_ratio_p_value:adjusted{{{_OF}}}", "{{experiment}}"),),
                        alarm=of["sample_ratio_p_value"],
                        low_is_bad=True,
                        alert="TrafficImbalance",
                    ),
                ),
            ),
            Row("Conversions", _conversions(of["experiment_p_value"])),
            Row("Model", (_ACCURACY, _latency(limits), _ERRORS)),
        ),
        _VARIABLES,
    )


def _results(significant: float, mismatch: float) -> tuple[Panel, ...]:
    return (
        Panel(
            "Differences that are certain",
            f"Outcomes in which a variant differs from the control with p at most {significant:g}, and their p-values.",
            "none",
            (Query(f"ab_test:p_value:adjusted{{{_OF}}} <= {significant:g}", _OUTCOME),),
            "table",
            12,
            6,
            alert="ExperimentSignificant",
        ),
        Panel(
            "Traffic as expected",
            "p-value of the shares. Red: do not trust the rest.",
            "none",
            (Query(f"ab_test:sample_ratio_p_value:adjusted{{{_OF}}}", "{{experiment}}"),),
            "stat",
            6,
            6,
            alarm=mismatch,
            low_is_bad=True,
            alert="TrafficImbalance",
        ),
        Panel(
            "Exposures in all",
            "Units that were shown a variant.",
            "short",
            (Query(f"ab_test:exposures:sum{{{_OF}}}", _NAME),),
            "stat",
            6,
            6,
        ),
    )


def _conversions(significant: float) -> tuple[Panel, ...]:
    return (
        Panel(
            "Conversions",
            "Units that converted, since the experiment began.",
            "short",
            (Query(f"ab_test:conversions:sum{{{_OF}}}", _NAME),),
        ),
        Panel(
            "Conversion rate",
            "Units that converted, as a share of those exposed.",
            "percentunit",
            (Query(f"ab_test:conversion_rate:ratio{{{_OF}}}", _NAME),),
        ),
        Panel(
            "Value of a unit",
            "What conversions were worth, per exposed unit.",
            "short",
            (
                Query(
                    f"sum by (experiment, variant) (ab_test_value_sum{{{_OF}}}) / "
                    f"sum by (experiment, variant) (ab_test_exposures_total{{{_OF}}})",
                    _NAME,
                ),
            ),
        ),
        Panel(
            "Lift of the conversion rate",
            "Relative difference from the control, with its interval as pods that see all variants have it.",
            "percentunit",
            (
                Query(f"ab_test:lift:ratio{{{_OF}}}", _NAME),
                *(
                    Query(
                        f'avg by (experiment, variant) (ab_test_lift_{end}{{{_OF},outcome="conversion"}})',
                        f"{_NAME} {end}",
                    )
                    for end in ("lower", "upper")
                ),
            ),
        ),
        Panel(
            "Lift of value and accuracy",
            "Relative difference from the control.",
            "percentunit",
            (Query(f'avg by ({_BY_OUTCOME}) (ab_test_lift{{{_OF},outcome!="conversion"}})', _OUTCOME),),
        ),
        Panel(
            "p-value",
            "Of the difference from the control, at all looks together and for all variants.",
            "none",
            (Query(f"ab_test:p_value:adjusted{{{_OF}}}", _OUTCOME),),
            warn=significant,
            alert="ExperimentSignificant",
        ),
    )
