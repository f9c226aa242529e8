"""Data quality: whether a model gets what it was trained on."""

from __future__ import annotations

from generator.text import Thresholds

from dashboards.panels import MODEL, NAMESPACE, VERSION, Board, Panel, Query, Row, Variable

_OF = 'namespace=~"$namespace",model=~"$model",version=~"$version"'
_FEATURE = f'{_OF},feature=~"$feature"'
_NAME = "{{model}} {{feature}}"
FEATURE = Variable("feature", "Feature", 'label_values(data_drift_score{model=~"$model"}, feature)')
_BINS = 'bin!~"below|above|unseen|missing|invalid"'
"""The bins that every value is in once; the others are flags beside them."""


def _failures(rule: str) -> str:
    return (
        f'sum by (model, feature) (increase(data_quality_failures_total{{{_FEATURE},rule="{rule}"}}[1h])) '
        "/ on (model, feature) "
        f"(sum by (model, feature) (increase(model_feature_observations_total{{{_FEATURE},{_BINS}}}[1h])) > 0)"
    )


def quality(limits: Thresholds) -> Board:
    """Freshness, volume, failed rules, drift, distributions beside the reference."""
    of = limits.values
    return Board(
        "sidecar-data-quality",
        "Models: data quality",
        "Freshness and volume of what models get, failed rules, drift, and distributions beside the reference.",
        (
            Row("Freshness and volume", _arrival(of["prediction_silence"])),
            Row("Failed rules", _rules(of["quality_failures"])),
            Row("Expectations", _expectations()),
            Row("Drift", _drift(of["drift_score"], of["drift_share"])),
            Row("Drift of the fleet", _fleet(of["drift_score"])),
            Row("Distributions", _distributions()),
        ),
        (NAMESPACE, MODEL, VERSION, FEATURE),
    )


def _arrival(silence: float) -> tuple[Panel, ...]:
    return (
        Panel(
            "Since the last data",
            "Time since each version was given anything.",
            "s",
            (Query(f"time() - model:last_prediction_timestamp_seconds:max{{{_OF}}}", "{{model}} {{version}}"),),
            "stat",
            width=6,
            warn=silence,
            alert="PredictionsStopped",
        ),
        Panel(
            "Since the last value of a feature",
            "Time since each feature had a value that is not missing.",
            "s",
            (
                Query(
                    "time() - max by (model, version, feature) "
                    f"(model_feature_last_value_timestamp_seconds{{{_FEATURE}}})",
                    _NAME,
                ),
            ),
            width=9,
            warn=silence,
        ),
        Panel(
            "Duplicate predictions",
            "Predictions in an hour whose id was known already, where outcomes are joined.",
            "short",
            (
                Query(
                    "sum by (model, version) "
                    f'(increase(model_outcome_predictions_total{{{_OF},result="duplicate"}}[1h]))',
                    "{{model}} {{version}}",
                ),
            ),
            width=9,
        ),
        Panel(
            "Rows",
            "Rows a second that models were given.",
            "ops",
            (Query(f"model:predictions:rate5m{{{_OF}}}", "{{model}} {{version}}"),),
            width=9,
        ),
        Panel(
            "Rows, of the same hour yesterday",
            "Rows of the last hour, of those of that hour the day before; 1 is as many. Empty on the first day.",
            "percentunit",
            (
                Query(
                    f"sum by (model) (increase(model_predictions_total{{{_OF}}}[1h])) / "
                    f"(sum by (model) (increase(model_predictions_total{{{_OF}}}[1h] offset 1d)) > 0)",
                    "{{model}}",
                ),
            ),
            width=9,
        ),
    )


def _rules(failures: float) -> tuple[Panel, ...]:
    return (
        Panel(
            "Failed expectations",
            "Values and checks that broke a rule, in a quarter of an hour.",
            "short",
            (
                Query(
                    f"sum by (model, feature, rule) (increase(data_quality_failures_total{{{_OF}}}[15m]))",
                    "{{model}} {{feature}} {{rule}}",
                ),
            ),
            alarm=failures + 1,
            alert="DataQualityFailures",
            stacked=True,
        ),
        Panel(
            "Missing values",
            "Nulls and NaN of the last hour, for each value that is there.",
            "percentunit",
            (Query(_failures("missing"), _NAME),),
            alert="DataQualityFailures",
        ),
        Panel(
            "Unseen categories",
            "Values of the last hour that the reference has not, of all.",
            "percentunit",
            (Query(_failures("unseen_category"), _NAME),),
            alert="DataQualityFailures",
        ),
        Panel(
            "Out of range",
            "Numbers of the last hour beyond the reference's least and greatest, of all.",
            "percentunit",
            (Query(_failures("out_of_range"), _NAME),),
            alert="DataQualityFailures",
        ),
        Panel(
            "Changed types",
            "Values of the last hour of another type than in the reference, for each that is right.",
            "percentunit",
            (Query(_failures("type_change"), _NAME),),
            alert="DataQualityFailures",
        ),
        Panel(
            "Features left out",
            "Columns an hour that were beyond a bound, and not compared.",
            "short",
            (Query("sum by (instance) (increase(model_features_left_out_total[1h]))", "{{instance}}"),),
        ),
    )


def _expectations() -> tuple[Panel, ...]:
    by_expectation = "by (model, version, feature, expectation)"
    name = f"{_NAME} {{{{expectation}}}}"
    return (
        Panel(
            "Expectations met",
            "Of the expectations of Great Expectations suites, those that the last window met.",
            "percentunit",
            (
                Query(
                    f'sum by (model, version) (data_quality_expectations{{{_OF},state="met"}}) '
                    f'/ (sum by (model, version) (data_quality_expectations{{{_OF},state=~"met|unmet"}}) > 0)',
                    "{{model}} {{version}}",
                ),
            ),
            "stat",
            width=6,
            alert="DataQualityFailures",
        ),
        Panel(
            "Expectations not met",
            "Those that the last window of a pod did not meet.",
            "short",
            (Query(f"min {by_expectation} (data_quality_expectation_met{{{_OF}}}) == 0"),),
            "table",
            width=9,
            alert="DataQualityFailures",
        ),
        Panel(
            "Unexpected values",
            "Of the values of the last window, those that an expectation forbids.",
            "percentunit",
            (Query(f"max {by_expectation} (data_quality_expectation_unexpected_ratio{{{_FEATURE}}})", name),),
            width=9,
        ),
        Panel(
            "Figures that are expected in a range",
            "Mean, deviation, quantiles, distinct values and others of the last window.",
            "short",
            (Query(f"max {by_expectation} (data_quality_expectation_observed_value{{{_FEATURE}}})", name),),
            width=12,
        ),
        Panel(
            "Expectations that are not evaluated",
            "Of suites that are loaded, by name: `sidecar expectations` says why.",
            "short",
            (Query('max by (suite, expectation) (sidecar_expectations{state="not_evaluated"})'),),
            "table",
            width=12,
        ),
    )


def _drift(score: float, share: float) -> tuple[Panel, ...]:
    return (
        Panel(
            "Drift scores",
            "Distance of each feature's window from its reference, by the method that decides or is shown.",
            "short",
            (Query(f"max by (model, feature, method) (data_drift_score{{{_FEATURE}}})", f"{_NAME} {{{{method}}}}"),),
            warn=score,
            alert="DriftDetected",
            width=12,
        ),
        Panel(
            "Drifted features",
            "Features with drift that is an effect and certain.",
            "short",
            (Query(f"sum by (model, version) (data_drift_detected{{{_FEATURE}}})", "{{model}} {{version}}"),),
            alert="DriftDetected",
            width=6,
        ),
        Panel(
            "Share of features that drifted",
            "Of all features of a model.",
            "percentunit",
            (Query(f"max by (model, version) (data_drift_share{{{_OF}}})", "{{model}} {{version}}"),),
            alarm=share,
            alert="DriftWidespread",
            width=6,
        ),
        Panel(
            "Features by drift",
            "The twenty features that are farthest from their reference.",
            "short",
            (Query(f"topk(20, max by (model, version, feature, method) (data_drift_score{{{_FEATURE}}}))"),),
            "table",
            width=12,
        ),
        Panel(
            "Values in the window",
            "How many values a score stands on; few of them say little.",
            "short",
            (Query(f"max by (model, feature) (data_drift_samples{{{_FEATURE}}})", _NAME),),
            width=12,
        ),
    )


def _fleet(score: float) -> tuple[Panel, ...]:
    by_method = "max by (model, version, feature, method)"
    return (
        Panel(
            "Drift over all pods",
            "Distance of the windows of all pods together from the reference.",
            "short",
            (Query(f"{by_method} (model:drift_score:union{{{_FEATURE}}})", f"{_NAME} {{{{method}}}}"),),
            warn=score,
            alert="FleetDriftDetected",
            width=12,
        ),
        Panel(
            "Scores that are certain",
            "Score over all pods divided by its critical value at their rows: above 1 it is no chance.",
            "short",
            (
                Query(
                    f"{by_method} (model:drift_score:union{{{_FEATURE}}} / model:drift_critical_value:union)",
                    f"{_NAME} {{{{method}}}}",
                ),
            ),
            warn=1,
            alert="FleetDriftDetected",
            width=6,
        ),
        Panel(
            "Drifted over all pods",
            "Features with drift that is an effect and certain where the windows of all pods are added up.",
            "short",
            (Query(f"sum by (model, version) (model:drift_detected:bool{{{_FEATURE}}})", "{{model}} {{version}}"),),
            alert="FleetDriftDetected",
            width=6,
        ),
    )


def _distributions() -> tuple[Panel, ...]:
    return (
        Panel(
            "Distribution of the last hour",
            "Share of each bin; choose one feature above.",
            "percentunit",
            (
                Query(
                    f"sum by (feature, bin) (increase(model_feature_observations_total{{{_FEATURE},{_BINS}}}[1h])) "
                    "/ on (feature) group_left () "
                    f"sum by (feature) (increase(model_feature_observations_total{{{_FEATURE},{_BINS}}}[1h]))",
                    "{{feature}} {{bin}}",
                ),
            ),
            "bargauge",
        ),
        Panel(
            "Distribution of the reference",
            "Share of each bin in the training data, or in what was learnt.",
            "percentunit",
            (
                Query(
                    f"avg by (feature, bin) (model_feature_reference_ratio{{{_FEATURE}}})",
                    "{{feature}} {{bin}}",
                ),
            ),
            "bargauge",
        ),
        Panel(
            "Distribution over time",
            "Share of each bin in five minutes.",
            "percentunit",
            (
                Query(
                    f"sum by (feature, bin) (rate(model_feature_observations_total{{{_FEATURE},{_BINS}}}[5m])) "
                    "/ on (feature) group_left () "
                    f"(sum by (feature) (rate(model_feature_observations_total{{{_FEATURE},{_BINS}}}[5m])) > 0)",
                    "{{feature}} {{bin}}",
                ),
            ),
            stacked=True,
        ),
    )
