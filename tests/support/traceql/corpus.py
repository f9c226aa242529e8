"""TraceQL queries, right and wrong, and by brute force what the right ones find among `lookup_traces`.

`FINDS`: a query, and a test of a span (a protobuf `Span` with its service, resource and trace) that is written without
any of the program's code. `TAKEN`: queries that are taken; what they find is looked at elsewhere. `REFUSED`: queries
that are not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from support.lookup_traces import payloads

SYNTAX = Path(__file__).parents[2] / "golden/traceql/syntax.json"
"""Query -> whether the published grammar takes it: written by `grammar.py`."""


@dataclass(frozen=True)
class Seen:
    """A span as it was sent."""

    span: Span
    service: str
    resource: dict[str, Any]

    def get(self, name: str) -> Any:
        return _values(self.span.attributes).get(name)

    @property
    def ms(self) -> float:
        return (self.span.end_time_unix_nano - self.span.start_time_unix_nano) / 1e6

    @property
    def trace(self) -> int:
        return int.from_bytes(self.span.trace_id, "big")


def seen() -> Iterator[Seen]:
    """Every span of the payloads."""
    for body in payloads():
        for part in ExportTraceServiceRequest.FromString(body).resource_spans:
            resource = _values(part.resource.attributes)
            for scope in part.scope_spans:
                for span in scope.spans:
                    yield Seen(span, resource["service.name"], resource)


def _values(attributes: Any) -> dict[str, Any]:
    return {a.key: _value(a.value) for a in attributes}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(v) for v in value.array_value.values]
    return getattr(value, kind)


def _more(value: Any, than: float) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value > than


FINDS: dict[str, Callable[[Seen], bool]] = {
    "{}": lambda s: True,
    "{ }": lambda s: True,
    "{ true }": lambda s: True,
    '{ name = "predict" }': lambda s: s.span.name == "predict",
    '{ span:name = "predict" }': lambda s: s.span.name == "predict",
    '{ name != "predict" }': lambda s: s.span.name != "predict",
    '{ name =~ "pre.*" }': lambda s: s.span.name.startswith("pre"),
    '{ name =~ "pre" }': lambda s: s.span.name == "pre",
    '{ name !~ ".*e.*" }': lambda s: "e" not in s.span.name,
    '{ name =~ "predict|work" }': lambda s: s.span.name in ("predict", "work"),
    '{ name =~ "(GET|POST) /[a-z]+" }': lambda s: s.span.name in ("GET /health", "POST /predict"),
    '{ name =~ "odd <.*>alert.1.*" }': lambda s: s.span.name.startswith("odd"),
    '{ .http.route =~ "/pre.*" }': lambda s: s.get("http.route") == "/predict",
    '{ span.http.route =~ "/.*h" && kind = server }': lambda s: s.get("http.route") == "/health",
    '{ .many =~ "b.*" }': lambda s: "b" in (s.get("many") or ()),
    '{ .raw =~ "0+f.*" }': lambda s: s.get("raw") is not None,
    '{ .rows =~ "7.*" }': lambda s: False,
    '{ .empty =~ "x?" }': lambda s: s.get("empty") == "",
    '{ resource.deployment.environment =~ "te.t" }': lambda s: s.resource.get("deployment.environment") == "test",
    '{ .db.system =~ "post.*" } << { name =~ "POST.*" }': lambda s: s.span.name == "POST /predict",
    '{ name =~ "POST .*" } >> { .db.system =~ "(?i)POST.*" }': lambda s: s.span.name == "SELECT wine",
    '{ resource.service.name = "gateway" }': lambda s: s.service == "gateway",
    '{ resource.service.name =~ "g.*|odd" }': lambda s: s.service in ("gateway", "odd"),
    '{ resource.deployment.environment = "test" }': lambda s: s.resource.get("deployment.environment") == "test",
    '{ resource.deployment.environment != "test" }': lambda s: False,
    '{ .deployment.environment = "test" }': lambda s: s.resource.get("deployment.environment") == "test",
    '{ span.deployment.environment = "test" }': lambda s: False,
    '{ .service.version = "1.2" }': lambda s: True,
    "{ duration > 30ms }": lambda s: s.ms > 30,
    "{ duration >= 30ms && duration <= 45ms }": lambda s: 30 <= s.ms <= 45,
    "{ duration > 1.5s }": lambda s: s.ms > 1500,
    "{ span:duration < 5ms }": lambda s: s.ms < 5,
    "{ 30ms < duration }": lambda s: s.ms > 30,
    "{ status = error }": lambda s: s.span.status.code == 2,
    "{ status != error }": lambda s: s.span.status.code != 2,
    "{ status = unset && kind = server }": lambda s: s.span.status.code == 0 and s.span.kind == 2,
    "{ kind = client || kind = producer }": lambda s: s.span.kind in (3, 4),
    "{ kind = unspecified }": lambda s: s.span.kind == 0,
    '{ statusMessage = "broken" }': lambda s: s.span.status.message == "broken",
    "{ span.http.status_code = 500 }": lambda s: s.get("http.status_code") == 500,
    "{ span.http.status_code >= 200 && span.http.status_code < 300 }": lambda s: s.get("http.status_code") == 200,
    "{ .rows = 0 }": lambda s: s.get("rows") == 0,
    "{ .rows > 0.5 }": lambda s: _more(s.get("rows"), 0.5),
    "{ .rows = 7.0 }": lambda s: s.get("rows") == 7,
    '{ .rows = "7" }': lambda s: False,
    "{ .rows != nil }": lambda s: s.get("rows") is not None,
    "{ .rows = nil }": lambda s: s.get("rows") is None,
    "{ .yes }": lambda s: s.get("yes") is True,
    "{ .yes = true }": lambda s: s.get("yes") is True,
    "{ !(.yes = true) }": lambda s: s.get("yes") is not True,
    "{ .half = 0.5 }": lambda s: s.get("half") == 0.5,
    "{ .whole = 2 }": lambda s: s.get("whole") == 2,
    '{ .empty = "" }': lambda s: s.get("empty") == "",
    '{ .many = "b" }': lambda s: "b" in (s.get("many") or ()),
    '{ span."http.route" = `/predict` }': lambda s: s.get("http.route") == "/predict",
    '{ .http.route = "/predict" && .ml.model.name = "wine" }': lambda s: (
        s.get("http.route") == "/predict" and s.get("ml.model.name") == "wine"
    ),
    '{ name = "predict" || duration > 800ms && kind = producer }': lambda s: (
        s.span.name == "predict" or (s.ms > 800 and s.span.kind == 4)
    ),
    '{ (name = "predict" || duration > 800ms) && kind = producer }': lambda s: s.ms > 800 and s.span.kind == 4,
    "{ .rows + 1 = 8 }": lambda s: s.get("rows") == 7,
    "{ .rows * 2 > 10 }": lambda s: _more(s.get("rows"), 5),
    '{ event:name = "exception" }': lambda s: any(e.name == "exception" for e in s.span.events),
    '{ event.exception.type = "ValueError" }': lambda s: bool(s.span.events),
    "{ event.attempt > 1 }": lambda s: bool(s.span.events),
    '{ link:traceID = "00000000000000000000000000000002" }': lambda s: bool(s.span.links),
    '{ instrumentation:name = "tests" }': lambda s: True,
    "{ nestedSetParent < 0 }": lambda s: not s.span.parent_span_id,
    '{ trace:id = "00000000000000000000000000000003" }': lambda s: s.trace == 3,
    "{ traceDuration > 1s }": lambda s: s.trace == 3,
    '{ rootServiceName = "gateway" }': lambda s: s.trace in (1, 2),
    '{ rootName = "enqueue" && kind = consumer }': lambda s: s.span.name == "work",
    "{ childCount > 1 }": lambda s: s.span.name == "predict",
    '{ status = error } && { name = "explain" }': lambda s: (
        s.trace == 1 and (s.span.status.code == 2 or s.span.name == "explain")
    ),
    "{ kind = consumer } && { status = error }": lambda s: False,
    "{ kind = consumer } || { status = error }": lambda s: s.span.kind == 5 or s.span.status.code == 2,
    '{ name = "predict" } > { status = error }': lambda s: s.span.name == "SELECT wine",
    '{ name = "POST /predict" } >> { }': lambda s: s.trace == 1 and bool(s.span.parent_span_id),
    '{ name = "explain" } < { }': lambda s: s.span.name == "predict",
    '{ name = "explain" } << { }': lambda s: s.span.name in ("predict", "POST /predict"),
    '{ name = "explain" } ~ { }': lambda s: s.span.name == "SELECT wine",
    '{ name = "predict" } !> { kind = internal }': lambda s: False,
    '{ name = "enqueue" } &> { }': lambda s: s.trace == 3,
    "{ status = error } | { kind = client }": lambda s: s.span.name == "SELECT wine",
    "{ } | count() > 3": lambda s: s.trace == 1,
    "{ } | avg(duration) > 1s": lambda s: s.trace == 3,
    "{ } | max(duration) < 10ms": lambda s: s.trace in (2, 4),
    "{ } | by(resource.service.name) | count() > 2": lambda s: s.service == "wine-classifier",
    "({ } | count() > 3) || { kind = consumer }": lambda s: s.trace == 1 or s.span.kind == 5,
}

TAKEN = (
    "{ status = error } | select(resource.service.name, span.http.route, name)",
    "{ } | rate()",
    "{ kind = server } | rate() by (resource.service.name)",
    "{ } | count_over_time() by (name, status)",
    "{ } | quantile_over_time(duration, 0.5)",
    "{ } | min_over_time(duration)",
    "{ } | histogram_over_time(duration) by (name)",
    "{ } | rate() | topk(2)",
    "{ } | by(name) | coalesce()",
    # Newer than the published grammar; Grafana writes them.
    "{ } | quantile_over_time(duration, .95, .99) by (name)",
    "{ } | rate() with(sample=true)",
    "{ nestedSetParent < 0 } | rate()",
    "{ duration > 1h30m }",
)

REFUSED = (
    "{",
    "}",
    "{}}",
    "name",
    "{ name }",
    '{ "name" }',
    "{ .a = }",
    "{ = 1 }",
    '{ .a = "x }',
    "{ .a == 1 }",
    "{ .a = 1 .b = 2 }",
    "{ .a && }",
    "{ .a = 1 && || .b = 2 }",
    "{ a = 1 }",
    "{ status = broken }",
    "{ kind = serve }",
    "{ name = 5 }",
    '{ duration = "1s" }',
    "{ status > error }",
    "{ status = server }",
    '{ .a =~ "(" }',
    '{ .a =~ "(?=x)" }',
    '{ .a =~ "(a*)*" }',
    "{ .a =~ 5 }",
    "{ duration > 5q }",
    "{ .a < nil }",
    "{ } | ",
    "{ } | foo()",
    "{ } | count()",
    "{ } | count() > x",
    "{ } | avg() > 1",
    "{ } | select()",
    "{ } | select(1)",
    "{ } | by()",
    "{ } | rate",
    "{ } | rate(duration)",
    "{ } | quantile_over_time(duration)",
    "{ } | quantile_over_time(duration, 2)",
    "{ } | rate() | { }",
    "{ } | rate() | topk(0)",
    "{ } &&",
    "{ } { }",
    "({ }",
    "{ } >>> { }",
    '{ .a + "x" = 1 }',
    "{ parent.a = 1 }",
    "{ } | compare({ status = error })",
    "{ " + "(" * 60 + ".a" + ")" * 60 + " }",
)
"""Not all of them are wrong in Tempo: see `test_traceql`."""
