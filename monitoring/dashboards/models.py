"""Model performance: what a model predicts, how surely and how fast."""

from __future__ import annotations

from generator.text import Thresholds

from dashboards.panels import MODEL, NAMESPACE, VERSION, Board, Panel, Query, Row

_OF = 'namespace=~"$namespace",model=~"$model",version=~"$version"'
_DAY = f'{_OF},window="24h"'
_NAME = "{{model}} {{version}}"
_ROWS = f"model_accuracy_estimated_samples{{{_OF}}}"
_ESTIMATED = (
    f"sum by (model, version, window) (model_accuracy_estimated{{{_OF}}} * {_ROWS})"
    f" / sum by (model, version, window) ({_ROWS})"
)


def performance(limits: Thresholds) -> Board:
    """Predictions, latency, confidence, versions beside each other."""
    of = limits.values
    return Board(
        "sidecar-model-performance",
        "Models: performance",
        "Predictions by class and status, latency by stage, confidence, and versions beside each other.",
        (
            Row(
                "Predictions",
                (
                    Panel(
                        "Predictions",
                        "Rows predicted a second.",
                        "ops",
                        (Query(f"model:predictions:rate5m{{{_OF}}}", _NAME),),
                        alert="PredictionsStopped",
                    ),
                    Panel(
                        "Predictions by class",
                        "Rows a second by predicted class.",
                        "ops",
                        (
                            Query(
                                "sum by (model, class) "
                                f"(rate(model_predictions_by_class_total{{{_OF}}}[$__rate_interval]))",
                                "{{model}} {{class}}",
                            ),
                        ),
                        stacked=True,
                    ),
                    Panel(
                        "Failed predictions",
                        "Share of predictions that raised.",
                        "percentunit",
                        (Query(f"model:prediction_errors:ratio_rate5m{{{_OF}}}", _NAME),),
                        warn=of["prediction_error_ratio"],
                        alert="PredictionErrorsHigh",
                    ),
                ),
            ),
            Row(
                "Latency",
                (
                    Panel(
                        "Latency of the model",
                        "P50, P95 and P99 of the model's own time, all versions that are chosen.",
                        "s",
                        tuple(
                            Query(
                                f"histogram_quantile({q}, sum by (le) (rate(model_inference_latency_seconds_bucket"
                                f'{{{_OF},stage="inference"}}[$__rate_interval])))',
                                name,
                            )
                            for q, name in (("0.5", "P50"), ("0.95", "P95"), ("0.99", "P99"))
                        ),
                        alarm=of["inference_p95"],
                        alert="InferenceLatencyHigh",
                    ),
                    Panel(
                        "Mean time by stage",
                        "Preprocessing, inference, postprocessing and queue, where the app reports them.",
                        "s",
                        (
                            Query(
                                "sum by (model, stage) "
                                f"(rate(model_inference_latency_seconds_sum{{{_OF}}}[$__rate_interval])) / "
                                "sum by (model, stage) "
                                f"(rate(model_inference_latency_seconds_count{{{_OF}}}[$__rate_interval]))",
                                "{{model}} {{stage}}",
                            ),
                        ),
                        stacked=True,
                    ),
                    Panel(
                        "Rows of a call",
                        "Mean batch size.",
                        "short",
                        (
                            Query(
                                f"sum by (model, version) (rate(model_batch_size_sum{{{_OF}}}[$__rate_interval])) / "
                                f"sum by (model, version) (rate(model_batch_size_count{{{_OF}}}[$__rate_interval]))",
                                _NAME,
                            ),
                        ),
                    ),
                ),
            ),
            Row(
                "Answers",
                (
                    Panel(
                        "Confidence",
                        "Mean probability of the predicted class.",
                        "percentunit",
                        (Query(f"model:confidence:mean_rate5m{{{_OF}}}", _NAME),),
                        warn=of["confidence_mean"],
                        low_is_bad=True,
                        alert="ConfidenceLow",
                    ),
                    Panel(
                        "Distribution of confidence",
                        "Share of predictions of the last hour up to each confidence.",
                        "percentunit",
                        (
                            Query(
                                f"sum by (le) (increase(model_confidence_score_bucket{{{_OF}}}[1h])) / ignoring (le) "
                                "group_left () "
                                f'sum (increase(model_confidence_score_bucket{{{_OF},le="+Inf"}}[1h]))',
                                "up to {{le}}",
                            ),
                        ),
                        "bargauge",
                    ),
                    Panel(
                        "Predicted values",
                        "Mean of predicted numbers (regression).",
                        "short",
                        (
                            Query(
                                "sum by (model, version) "
                                f"(rate(model_prediction_value_sum{{{_OF}}}[$__rate_interval])) / "
                                "sum by (model, version) "
                                f"(rate(model_prediction_value_count{{{_OF}}}[$__rate_interval]))",
                                _NAME,
                            ),
                        ),
                    ),
                    Panel(
                        "Importance of features",
                        "How much the twenty features that count most do, by the model's own account, as a share.",
                        "percentunit",
                        (
                            Query(
                                f"topk(20, max by (model, version, feature) (model_feature_importance{{{_OF}}}))",
                                "{{model}} {{version}} {{feature}}",
                            ),
                        ),
                        "bargauge",
                    ),
                ),
            ),
            Row(
                "Outcomes",
                (
                    Panel(
                        "Accuracy",
                        "Share of the predictions with a label that are right, by window of the time of prediction; "
                        "and what the scores alone say, without labels.",
                        "percentunit",
                        (
                            Query(f"model:accuracy:ratio{{{_OF}}}", f"{_NAME} {{{{window}}}}"),
                            Query(_ESTIMATED, f"{_NAME} {{{{window}}}} estimated"),
                        ),
                        warn=of["accuracy_warning"],
                        alarm=of["accuracy_critical"],
                        low_is_bad=True,
                        alert="AccuracyCritical",
                    ),
                    Panel(
                        "Precision, recall and F1",
                        "Weighted by the rows of each class, predictions of the last day; each pod by itself.",
                        "percentunit",
                        tuple(
                            Query(f"model_{name}{{{_DAY}}}", f"{_NAME} {name}")
                            for name in ("precision", "recall", "f1")
                        ),
                    ),
                    Panel(
                        "AUC and calibration",
                        "Area under the ROC curve of two classes, the calibration error, and what chance makes of it.",
                        "percentunit",
                        (
                            Query(f"model_roc_auc{{{_DAY}}}", f"{_NAME} AUC"),
                            Query(f"model_calibration_error{{{_DAY}}}", f"{_NAME} calibration error"),
                            Query(f"model_calibration_error_expected{{{_DAY}}}", f"{_NAME} expected by chance"),
                        ),
                    ),
                    Panel(
                        "Recall by class",
                        "Share of the rows of each class that are predicted as it, predictions of the last day.",
                        "percentunit",
                        (Query(f"model_class_recall{{{_DAY}}}", "{{model}} {{class}}"),),
                        "bargauge",
                    ),
                    Panel(
                        "Errors of numbers",
                        "Mean absolute error, root mean squared error and bias of predicted numbers, last day.",
                        "short",
                        (
                            Query(f"model_mean_absolute_error{{{_DAY}}}", f"{_NAME} MAE"),
                            Query(f"model_root_mean_squared_error{{{_DAY}}}", f"{_NAME} RMSE"),
                            Query(f"model_mean_error{{{_DAY}}}", f"{_NAME} bias"),
                        ),
                    ),
                    Panel(
                        "Labels",
                        "Labels a second by what became of them.",
                        "ops",
                        (
                            Query(
                                'sum by (result) (rate(model_labels_total{namespace=~"$namespace",model=~"$model|"}'
                                "[$__rate_interval]))",
                                "{{result}}",
                            ),
                        ),
                        stacked=True,
                    ),
                ),
            ),
            Row(
                "Versions",
                (
                    Panel(
                        "Versions by P95",
                        "P95 of the model's own time, one row a version.",
                        "s",
                        (Query(f"model:inference_latency_seconds:p95_rate5m{{{_OF}}}"),),
                        "table",
                        alert="InferenceLatencyHigh",
                    ),
                    Panel(
                        "Versions by predictions",
                        "Rows a second, one row a version.",
                        "ops",
                        (Query(f"model:predictions:rate5m{{{_OF}}}"),),
                        "table",
                    ),
                    Panel(
                        "Since the last prediction",
                        "Time since each version predicted anything.",
                        "s",
                        (Query(f"time() - model:last_prediction_timestamp_seconds:max{{{_OF}}}", _NAME),),
                        "stat",
                        warn=of["prediction_silence"],
                        alert="PredictionsStopped",
                    ),
                ),
            ),
        ),
        (NAMESPACE, MODEL, VERSION),
    )
