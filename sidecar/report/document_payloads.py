"""Documents back as the requests that they came in, as far as predictions and experiments are read of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sidecar.decode.predictions.prediction_rows import MEMBERS
from sidecar.deliver.elasticsearch.trace_queries import time_text
from sidecar.lookup.document_traces import is_event_id, log_of, span_of
from sidecar.lookup.model import LogRecord
from sidecar.lookup.otlp import logs_data, traces_data
from sidecar.outcomes.point_in_time import Hit
from sidecar.outcomes.prediction_documents import BODY, read_document, text_of
from sidecar.report.replay import Payload

_MEMBERS = MEMBERS | {"class_counts"}
SOURCE: Mapping[str, Any] = {
    "includes": [
        *("attributes", "resource.attributes", "trace_id", "span_id", "parent_span_id", "trace_state"),
        *("name", "kind", "duration", "status", "event_name", "severity_text", "severity_number", "body.text"),
        *(f"{BODY}{name}" for name in sorted(_MEMBERS)),
        f"{BODY}class_counts.*",
    ],
    "excludes": ["attributes.ml.features.*", "attributes.features"],
}
"""What is read of a document."""
SORT = ({"@timestamp": {"order": "asc", "numeric_type": "date_nanos", "unmapped_type": "date_nanos"}},)


def payload_of(hit: Hit) -> Payload | None:
    """The request with the one record or span of a document, with its time as that of its coming. None for what is
    neither. Raises KeyError, TypeError or ValueError for a document that no sidecar has made."""
    if is_event_id(hit["_id"]):
        return None
    found, attributes, members = read_document(hit, _MEMBERS)
    time = int(hit["sort"][0])
    document = {**found, "@timestamp": time_text(time), "attributes": attributes}
    if "duration" in document:
        return Payload("spans", time, 1, traces_data([span_of(document)]))
    record = log_of(document)
    body: Any = members or text_of(document)
    shown = LogRecord(
        record.time_ns,
        None,
        record.severity_text,
        record.severity_number,
        record.trace_id,
        record.span_id,
        record.event_name,
        body,
        record.service,
        record.attributes,
        record.resource,
    )
    return Payload("logs", time, 1, logs_data([shown]))
