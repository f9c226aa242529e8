"""Which attributes of a span or log record say what about a prediction. Data only; the first that is there counts.

OpenTelemetry has no convention for predictions of classical models, so what serving programs write today is taken.
"""

from __future__ import annotations

VERSION = 1

EVENT = "ml.prediction"
LOADED = "ml.model.loaded"
"""Names of the events of the zero-code instrumentation."""

ALIASES: dict[str, tuple[str, ...]] = {
    "model": ("ml.model.name", "model.name", "model_name", "model", "model_id", "inferenceservicename"),
    "version": ("ml.model.version", "model.version", "model_version", "modelversion", "version"),
    "class": ("ml.prediction.class", "predicted_class", "prediction_label", "label"),
    "score": ("ml.prediction.score", "prediction_score", "confidence", "probability"),
    "value": ("ml.prediction.value", "prediction_value"),
    "prediction": ("prediction", "predictions"),
    "rows": ("ml.prediction.count", "batch_size"),
    "seconds": ("ml.prediction.duration", "latency_seconds", "duration_seconds", "inference_seconds"),
    "milliseconds": ("latency_ms", "duration_ms", "inference_ms", "inference_time_ms"),
    "stage": ("ml.stage", "stage"),
    "error": ("error.type", "exception.type"),
}
"""Concept -> attributes. `class` is a label, `value` a number, `prediction` the one or the other by its type: text and
whole numbers are classes, other numbers are values, an array is a batch."""

STAGES = ("preprocess", "inference", "postprocess", "queue")
"""A span of one of these names, too, is a stage."""

EVENT_MARKS = tuple(b"b" + bytes([len(name)]) + name.encode() for name in (EVENT, LOADED))
"""LogRecord.event_name on the wire. A logs request in which neither stands has no event of the instrumentation."""
_TELLING = ("class", "score", "value", "prediction")


def _key(name: str) -> bytes:
    """A KeyValue's key as it stands on the wire, with the tag of the value behind it."""
    return b"\x0a" + bytes([len(name)]) + name.encode() + b"\x12"


MARKS = (*(_key(name) for concept in _TELLING for name in ALIASES[concept]), *EVENT_MARKS)
"""A logs request in which none of these stands tells of no prediction, and is not read for one."""
SPAN_MARKS = (
    *(_key(name) for concept in (*_TELLING, "stage") for name in ALIASES[concept]),
    *(b"*" + bytes([len(s)]) + s.encode() for s in STAGES),
)
"""The same for a trace request."""
