"""Which members of a record say what about a label (the truth of a prediction, given later). Data only; the first that
holds something counts.

A name with dots also stands for members of objects: `groundTruthData.data` is read from `{"groundTruthData": {"data":
…}}`, as Amazon SageMaker Model Monitor has its ground truth records.
"""

from __future__ import annotations

from typing import Literal

from sidecar.decode.predictions.attribute_names import ALIASES as PREDICTION

VERSION = 1

EVENT = "ml.label"
"""Name of the event that a label is, in LogRecord.event_name. A record that has this name in one of NAMED_BY, or as its
whole body (structlog's `event`), is one too."""
NAMED_BY = ("event.name", "event_name")

Concept = Literal["id", "truth", "model", "version", "time", "row", "source", "trace_id", "span_id"]

ALIASES: dict[Concept, tuple[str, ...]] = {
    "id": (
        "ml.prediction.id", "prediction_id", "inferenceId", "eventId", "correlationid", "request_id",
        "eventMetadata.inferenceId", "eventMetadata.eventId", "id",
    ),
    "truth": (
        "ml.label.value", "label", "actual", "actual_label", "actual_outcome", "label_actual", "groundTruthData.data",
        "truth", "target",
    ),
    "model": PREDICTION["model"],
    "version": PREDICTION["version"],
    "time": ("ml.label.time", "label_time", "labeled_at", "time", "timestamp", "@timestamp", "ts"),
    "row": ("ml.label.row", "label_row", "row"),
    "source": ("ml.label.source", "label_source", "source"),
    "trace_id": ("trace_id", "trace.id", "traceId"),
    "span_id": ("span_id", "span.id", "spanId"),
}  # fmt: skip
"""`time` and the ids of the trace are those of a log record where a label comes as one."""

MARK = (bytes([len(EVENT)]) + EVENT.encode(),)
"""A text field on the wire that is EVENT. A logs request in which it does not stand has no label."""
