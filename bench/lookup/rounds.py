"""Export requests of a shop with a gateway and a model, made fast: templates are written once, then ids, times and
users are put into copies of them.

A trace has 2 spans of the gateway and 6 of the model, which arrive in requests of their own: every trace is in two
blocks of the store. Trace `n` has an id that follows from `n`, so that it can be asked for.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from support.lookup_traces import pairs

Bytes = npt.NDArray[np.uint8]
TRACES = 128
"""Of one round, which is three requests."""
SPANS_OF_TRACE = 8
SPANS = TRACES * SPANS_OF_TRACE
TEMPLATES = 24
RARE_EVERY = 200
"""Every so-many-th round has spans that are nowhere else: an operation, a duration, an error."""
USERS = 100_000
MS = 1_000_000
ROUTES = ("/predict", "/predict/batch", "/explain", "/models", "/models/{name}", "/feedback", "/health", "/metadata")
_SERVER, _CLIENT, _INTERNAL = 2, 3, 1


@dataclass(frozen=True, slots=True)
class _Template:
    body: Bytes
    ids: npt.NDArray[np.int64]
    """Where the trace id of each span is."""
    spans: npt.NDArray[np.int64]
    parents: npt.NDArray[np.int64]
    starts: npt.NDArray[np.int64]
    users: npt.NDArray[np.int64]
    trace: npt.NDArray[np.int64]
    """Of each span, the ordinal of its trace in the round."""
    own: npt.NDArray[np.int64]
    """Of each span, its ordinal in its trace."""
    parent: npt.NDArray[np.int64]
    """Of each span that has one, that of its parent."""
    with_parent: npt.NDArray[np.int64]
    offset: npt.NDArray[np.int64]
    """Start of each span after its trace's, nanoseconds."""
    duration: npt.NDArray[np.int64]


def trace_id(number: int) -> str:
    """Id of a trace, in hex."""
    return _ids(np.array([number], np.uint64)).tobytes().hex()


def user_id(number: int) -> str:
    """The user of a trace."""
    return _users(np.array([number], np.uint64)).tobytes().decode()


class Rounds:
    """Makes the requests of rounds; the same of the same seed."""

    def __init__(self, seed: int = 1) -> None:
        random = np.random.default_rng(seed)
        self._usual = [_round(random, rare=False) for _ in range(TEMPLATES)]
        self._rare = _round(random, rare=True)

    def bodies(self, number: int, first_ns: int, last_ns: int) -> Iterator[bytes]:
        """The three requests of round `number`; its traces begin between two times (Unix ns)."""
        usual = self._usual[number % TEMPLATES]
        traces = np.arange(number * TRACES, (number + 1) * TRACES, dtype=np.uint64)
        begins = np.linspace(first_ns, last_ns, TRACES, endpoint=False).astype(np.int64)
        for template in self._rare if number % RARE_EVERY == RARE_EVERY - 1 else usual:
            yield _filled(template, traces[template.trace], begins[template.trace])


def _filled(template: _Template, traces: npt.NDArray[np.uint64], begins: npt.NDArray[np.int64]) -> bytes:
    body = template.body.copy()
    own = template.own.astype(np.uint64)
    _put(body, template.ids, _ids(traces))
    _put(body, template.spans, _span_ids(traces, own))
    _put(body, template.parents, _span_ids(traces[template.with_parent], template.parent.astype(np.uint64)))
    start = begins + template.offset
    times = np.stack((start, start + template.duration), axis=1).astype("<u8")
    _put(body, template.starts, times[:, :1].copy().view(np.uint8).reshape(-1, 8))
    _put(body, template.starts + 9, times[:, 1:].copy().view(np.uint8).reshape(-1, 8))
    _put(body, template.users, _users(traces))
    return body.tobytes()


def _put(body: Bytes, places: npt.NDArray[np.int64], values: Bytes) -> None:
    body[places[:, None] + np.arange(values.shape[1])] = values


def _mixed(numbers: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """SplitMix64 (Steele, Lea and Flood 2014): numbers as ids by chance would be."""
    with np.errstate(over="ignore"):
        z = numbers + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def _ids(traces: npt.NDArray[np.uint64]) -> Bytes:
    halves = np.stack((_mixed(traces), _mixed(traces ^ np.uint64(1 << 62))), axis=1)
    return halves.view(np.uint8).reshape(-1, 16)


def _span_ids(traces: npt.NDArray[np.uint64], own: npt.NDArray[np.uint64]) -> Bytes:
    return _mixed((traces * np.uint64(64) + own) ^ np.uint64(1 << 60)).view(np.uint8).reshape(-1, 8)


def _users(traces: npt.NDArray[np.uint64]) -> Bytes:
    numbers = _mixed(traces ^ np.uint64(1 << 61)) % np.uint64(USERS)
    digits = (numbers[:, None] // 10 ** np.arange(6, -1, -1, dtype=np.uint64) % np.uint64(10)).astype(np.uint8)
    return np.concatenate((np.full((len(traces), 1), ord("u"), np.uint8), digits + ord("0")), axis=1)


# -- templates


def _round(random: np.random.Generator, rare: bool) -> list[_Template]:
    """The gateway's request, and two of the model."""
    half = TRACES // 2
    plans = [_Plan(random, trace, rare) for trace in range(TRACES)]
    return [
        _template("gateway", [row for plan in plans for row in plan.gateway()]),
        *(
            _template("wine-classifier", [row for plan in plans[begin : begin + half] for row in plan.model()])
            for begin in (0, half)
        ),
    ]


@dataclass(slots=True)
class _Row:
    trace: int
    own: int
    parent: int | None
    offset: int
    duration: int
    span: Span


class _Plan:
    """What one trace is like."""

    def __init__(self, random: np.random.Generator, trace: int, rare: bool) -> None:
        self.trace = trace
        self.route = ROUTES[min(int(random.geometric(0.4)) - 1, len(ROUTES) - 1)]
        self.failed = bool(random.random() < 0.01)
        self.took = int(random.lognormal(np.log(40), 0.8) * MS)
        self.rows = int(random.integers(1, 500))
        self.odd = rare and trace % 32 == 0
        if self.odd:
            self.route, self.failed, self.took = "/reindex", True, int(random.integers(2_500, 5_000)) * MS
        self.took = max(self.took, 2 * MS) if self.odd else min(max(self.took, 2 * MS), 2_000 * MS)

    def gateway(self) -> list[_Row]:
        status = 500 if self.failed else 200
        shared = {"http.route": self.route, "http.request.method": "POST", "url.scheme": "http", "user.id": "u-------"}
        return [
            self._row(0, None, f"POST {self.route}", _SERVER, 0.0, 1.0, {
                **shared, "http.response.status_code": status, "client.address": "10.1.2.3", "server.port": 8080,
                "network.protocol.version": "1.1", "user_agent.original": "shop/2.1"}),
            self._row(1, 0, "POST", _CLIENT, 0.05, 0.9, {
                "http.request.method": "POST", "http.response.status_code": status, "server.address": "model",
                "server.port": 8501, "url.full": f"http://model:8501{self.route}", "user.id": "u-------"}),
        ]  # fmt: skip

    def model(self) -> list[_Row]:
        model = {"model.name": "wine", "model.version": "3", "user.id": "u-------"}
        database = {
            "db.system": "postgresql", "db.namespace": "features", "db.collection.name": "wine", "db.rows": self.rows,
            "db.query.text": "SELECT * FROM wine WHERE user_id = $1", "server.address": "db", "user.id": "u-------",
        }  # fmt: skip
        return [
            self._row(2, 1, f"POST {self.route}", _SERVER, 0.1, 0.8, {
                "http.route": self.route, "http.request.method": "POST", "server.port": 8501, "url.scheme": "http",
                "http.response.status_code": 500 if self.failed else 200, "user.id": "u-------"}),
            self._row(3, 2, "preprocess", _INTERNAL, 0.12, 0.1, {**model, "rows": self.rows}),
            self._row(4, 3, "SELECT wine", _CLIENT, 0.13, 0.08, database),
            self._row(5, 2, "inference", _INTERNAL, 0.25, 0.5, {
                **model, "ml.confidence": 0.5 + self.rows / 1000, "ml.class": f"class-{self.rows % 7}"}),
            self._row(6, 5, "predict_proba", _INTERNAL, 0.3, 0.4, {**model, "batch": self.rows % 32}),
            self._row(7, 2, "postprocess", _INTERNAL, 0.8, 0.05, model),
        ]  # fmt: skip

    def _row(
        self, own: int, parent: int | None, name: str, kind: int, at: float, share: float, attributes: dict[str, object]
    ) -> _Row:
        broken = self.failed and own in (0, 2, 5)
        span = Span(name=name, kind=kind, attributes=pairs(attributes))  # type: ignore[arg-type]
        if broken:
            span.status.CopyFrom(Status(code=2, message="no such wine"))  # type: ignore[arg-type]
        return _Row(self.trace, own, parent, int(at * self.took), int(share * self.took), span)


_MARKS = {"ids": (b"TRACE_ID_AT_", 16), "spans": (b"OWN_", 8), "parents": (b"UP__", 8), "starts": (b"TIME", 8)}


def _template(service: str, rows: list[_Row]) -> _Template:
    message = ExportTraceServiceRequest()
    part = message.resource_spans.add()
    part.resource.attributes.extend(pairs({
        "service.name": service, "service.version": "2.3.1", "service.namespace": "shop", "host.name": "node-7",
        "service.instance.id": f"{service}-5f7d8c9b6-x2x4z", "k8s.pod.name": f"{service}-5f7d8c9b6-x2x4z",
        "k8s.namespace.name": "shop", "telemetry.sdk.language": "python", "telemetry.sdk.version": "1.44.0",
    }))  # fmt: skip
    scope = part.scope_spans.add()
    scope.scope.name = "opentelemetry.instrumentation.fastapi"
    for number, row in enumerate(rows):
        mark = struct.pack(">I", number)
        span = scope.spans.add()
        span.CopyFrom(row.span)
        span.trace_id, span.span_id = _MARKS["ids"][0] + mark, _MARKS["spans"][0] + mark
        if row.parent is not None:
            span.parent_span_id = _MARKS["parents"][0] + mark
        span.start_time_unix_nano, span.end_time_unix_nano = (int.from_bytes(b"TIME" + mark, "little"),) * 2
    body = message.SerializeToString()
    places = {name: _places(body, mark, length) for name, (mark, length) in _MARKS.items()}
    return _Template(
        np.frombuffer(body, np.uint8),
        places["ids"], places["spans"], places["parents"], places["starts"][::2],
        np.array([m.start() for m in re.finditer(rb"u-------", body)]),
        _column(r.trace for r in rows), _column(r.own for r in rows),
        _column(r.parent for r in rows if r.parent is not None),
        np.array([n for n, r in enumerate(rows) if r.parent is not None]),
        _column(r.offset for r in rows), _column(r.duration for r in rows),
    )  # fmt: skip


def _places(body: bytes, mark: bytes, length: int) -> npt.NDArray[np.int64]:
    found = re.finditer(re.escape(mark) + b"." * (length - len(mark)), body, re.DOTALL)
    return np.array([match.start() for match in found], np.int64)


def _column(values: Iterator[int]) -> npt.NDArray[np.int64]:
    return np.array(list(values), np.int64)
