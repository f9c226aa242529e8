"""Two weeks of requests, predictions, labels and an experiment as a sidecar receives them, and what happened in them:
for sources of reports that have records and no metrics."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from opentelemetry.exporter.otlp.proto.common._internal import _encode_value as encode_value
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from sidecar.decode.select import decoder
from sidecar.deliver.store.options import StoreOptions
from sidecar.deliver.store.sink import StoreSink
from sidecar.deliver.store.span_store import Store
from sidecar.pipeline import Entry, Signal
from support.delivery import entry, sink_context
from support.looking_up import put

WEEK = 7 * 86_400
END = 1_790_000_000 // 3600 * 3600
"""Unix seconds at which the second week ends."""
SPLIT, START = END - WEEK, END - 2 * WEEK
EVIL = "<script>window.harmed = 1</script> & \"quoted\" 'too'"
CLASSES = ("stays", "leaves")


@dataclass(frozen=True, slots=True)
class Received:
    """One request; `time`: Unix seconds of its records, and of its coming."""

    time: int
    signal: Signal
    body: bytes
    items: int


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a model, of a row for each class."""

    time: int
    service: str
    model: str
    version: str
    trace: int
    failed: bool
    seconds: float
    classes: tuple[str, ...]
    scores: tuple[float, ...]
    variant: str = ""

    @property
    def rows(self) -> int:
        return max(1, len(self.classes))


@dataclass(frozen=True, slots=True)
class Request:
    """A request that a service answered."""

    time: int
    service: str
    failed: bool
    ns: int


@dataclass(frozen=True, slots=True)
class Joined:
    """A row with its label."""

    predicted_at: int
    labelled_at: int
    predicted: str
    actual: str
    score: float
    variant: str


@dataclass
class Weeks:
    """What happened, and how it came."""

    namespace: str = "default"
    """Of the data streams that it goes to."""
    rng: random.Random = field(default_factory=lambda: random.Random(12))
    received: list[Received] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    joined: list[Joined] = field(default_factory=list)

    def in_order(self) -> list[Received]:
        return sorted(self.received, key=lambda one: one.time)

    def calls_of(self, model: str, start: int, end: int) -> list[Call]:
        """Those after `start`, up to `end`."""
        return [one for one in self.calls if one.model == model and start < one.time <= end]

    def requests_of(self, service: str, start: int, end: int) -> list[Request]:
        return [one for one in self.requests if one.service == service and start < one.time <= end]


def weeks(namespace: str = "default") -> Weeks:
    """A model that gets slower and worse in the second week, one that is new in it, one with evil names; services."""
    made = Weeks(namespace)
    rng = made.rng
    for number in range(700):
        time = rng.randrange(START + 1, END + 1)
        second = time > SPLIT
        _call(made, "churn-api", "churn", "7", time, number + 1, 0.1 if second else 0.02, 0.06 if second else 0.02)
        if second and number % 3 == 0:
            _call(made, "churn-api", "churn", "8", time, 10_000 + number, 0.02, 0.02)
        if number % 20 == 0:
            _call(made, EVIL, EVIL, EVIL, time, 20_000 + number, 0.0, 0.01)
        _requests(made, time, second)
    return made


def quantile(values: list[float], q: float) -> float:
    """By brute force: the least value that a share of `q` does not exceed."""
    return float(np.quantile(values, q, method="inverted_cdf"))


def _call(
    made: Weeks, service: str, model: str, version: str, time: int, trace: int, failing: float, mean: float
) -> None:
    rng = made.rng
    failed = rng.random() < failing
    rows = 0 if failed else rng.choice([1, 1, 1, 4])
    classes = tuple(rng.choices(CLASSES, (3, 1), k=rows))
    scores = tuple(round(rng.uniform(0.5, 1), 4) for _ in range(rows))
    variant = rng.choice(("A", "B")) if (model, version) == ("churn", "7") else ""
    seconds = rng.lognormvariate(0, 0.5) * mean
    call = Call(time, service, model, version, trace, failed, seconds, classes, scores, variant)
    made.calls.append(call)
    made.received.append(Received(time, "logs", prediction(call, made.namespace), 1))
    right = 0.7 if time > SPLIT else 0.9
    later = time + rng.randrange(60, 2 * 86_400)
    if (model, version) != ("churn", "7") or failed or rng.random() < 0.3 or later > END:
        return
    for row, predicted in enumerate(classes):
        other = CLASSES[1 - CLASSES.index(predicted)]
        actual = predicted if rng.random() < right else other
        made.joined.append(Joined(time, later, predicted, actual, scores[row], variant))
        made.received.append(Received(later, "logs", label(call, row, actual, later, made.namespace), 1))


def prediction(call: Call, namespace: str) -> bytes:
    """As the zero-code instrumentation sends it."""
    attributes: dict[str, Any] = {
        "ml.model.name": call.model,
        "ml.model.version": call.version,
        "ml.framework": "sklearn",
        "ml.prediction.count": len(call.classes),
        "ml.prediction.duration": call.seconds,
    }
    if call.failed:
        attributes["error.type"] = "ValueError"
    if call.variant:
        attributes |= {"ml.experiment": "ranking", "ml.variant": call.variant}
    counts = {name: call.classes.count(name) for name in dict.fromkeys(call.classes)}
    body: dict[str, Any] = {"schema": 1, "counted": True, "rows": call.rows}
    if not call.failed:
        body |= {"kept": call.rows, "first": 0, "one_in": 1, "class": list(call.classes), "score": list(call.scores)}
        body |= {"class_counts": counts, "features": {"age": [41.0] * call.rows}}
    return _record(_resource(call.service, namespace), "ml.prediction", call.time, call.trace, attributes, body)


def label(call: Call, row: int, actual: str, time: int, namespace: str) -> bytes:
    """As the ingest of labels makes it."""
    id_ = f"{call.trace:032x}"
    attributes = {"ml.prediction.id": id_, "ml.label.row": row, "ml.label.value": actual}
    return _record(_resource(call.service, namespace), "ml.label", time, 0, attributes, None)


def _resource(service: str, namespace: str) -> Resource:
    named = {"service.name": service, "data_stream.namespace": namespace}
    return Resource(attributes=[KeyValue(key=key, value=encode_value(value)) for key, value in named.items()])


def _record(resource: Resource, event: str, time: int, trace: int, attributes: Mapping[str, Any], body: Any) -> bytes:
    request = ExportLogsServiceRequest()
    part = request.resource_logs.add(resource=resource)
    record = LogRecord(event_name=event, time_unix_nano=time * 10**9, severity_number=9, severity_text="INFO")
    record.observed_time_unix_nano = time * 10**9
    if trace:
        record.trace_id, record.span_id = trace.to_bytes(16, "big"), trace.to_bytes(8, "big")
    for key, value in attributes.items():
        record.attributes.add(key=key).value.CopyFrom(encode_value(value))
    if body is not None:
        record.body.CopyFrom(encode_value(body))
    part.scope_logs.add().log_records.append(record)
    return request.SerializeToString()


def _requests(made: Weeks, time: int, second: bool) -> None:
    rng = made.rng
    message = ExportTraceServiceRequest()
    kinds = ((Span.SPAN_KIND_SERVER, True), (Span.SPAN_KIND_SERVER, True), (Span.SPAN_KIND_CLIENT, False))
    for service in ("churn-api", "gateway"):
        part = message.resource_spans.add(resource=_resource(service, made.namespace))
        spans = part.scope_spans.add().spans
        for kind, counts in kinds:
            failed = rng.random() < (0.05 if second else 0.01)
            ns = round(rng.lognormvariate(0, 0.7) * 4e7)
            code = Status.STATUS_CODE_ERROR if failed else Status.STATUS_CODE_UNSET
            spans.add(
                trace_id=rng.randbytes(16),
                span_id=rng.randbytes(8),
                name="POST /predict",
                kind=kind,
                start_time_unix_nano=time * 10**9,
                end_time_unix_nano=time * 10**9 + ns,
                status=Status(code=code),
            )
            if counts:
                made.requests.append(Request(time, service, failed, ns))
    made.received.append(Received(time, "spans", message.SerializeToString(), 2 * len(kinds)))


def entries(received: Sequence[Received]) -> list[Entry]:
    """As a journal has them."""
    return [
        entry(number, one.body, one.items, signal=one.signal, time_ns=one.time * 10**9)
        for number, one in enumerate(received, 1)
    ]


def stored(received: Sequence[Received], folder: Path) -> Path:
    """A store with these, which nobody writes to any more; the folder."""
    store = Store(StoreOptions(max_age=90 * 86_400), folder, lambda: END * 10**9)
    sink = StoreSink("store", store, sink_context(decoder(), "log"))
    put(sink, *entries(received))
    sink.close()
    return folder
