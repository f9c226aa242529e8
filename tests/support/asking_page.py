"""The page over a store, metrics and dead letters that a test makes, asked as a browser would, without a socket."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from fastapi import APIRouter
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from pydantic import SecretStr

from sidecar.decode.python import ReferenceDecoder
from sidecar.deliver.store.options import StoreOptions
from sidecar.deliver.store.sink import StoreSink
from sidecar.deliver.store.span_store import Store
from sidecar.derive.families import Exemplar, FamilySnapshot, Histograms, Points, label_text
from sidecar.health import Health
from sidecar.journal.dead_letters import StoredDeadLetter
from sidecar.options import ServerAuth
from sidecar.pipeline import DeadLetter
from sidecar.receive.credentials import Credentials
from sidecar.serve.access import Access
from sidecar.serve.pages.sources import PageSources, ReplayCount
from sidecar.serve.serve_port import Sources, build_app
from support.delivery import entry, sink_context
from support.looking_up import Answer, put
from support.lookup_traces import SECOND, START, pairs, trace_hex

EVIL = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'"
VIEWS = ("/ui", "/ui/traces", "/ui/logs", "/ui/models", "/ui/pipeline", "/ui/compare")


def log_payload(*bodies: str, trace: int = 0, span_number: int = 0, severity: int = 9, service: str = "shop") -> bytes:
    message = ExportLogsServiceRequest()
    of_service = message.resource_logs.add()
    of_service.resource.attributes.extend(pairs({"service.name": service}))
    records = of_service.scope_logs.add().log_records
    for body in bodies:
        record = LogRecord(
            time_unix_nano=START + SECOND,
            severity_number=severity,  # type: ignore[arg-type]  # the enum's number
            body=AnyValue(string_value=body),
            attributes=pairs({"user": EVIL}),
        )
        if trace:
            record.trace_id = trace.to_bytes(16, "big")
            record.span_id = (trace << 16 | span_number).to_bytes(8, "big")
        records.append(record)
    return message.SerializeToString()


class Letters:
    """Dead letters in a list."""

    def __init__(self, *letters: DeadLetter) -> None:
        self.kept = [StoredDeadLetter(n, letter) for n, letter in enumerate(letters, 1)]

    def page(self, consumer: str | None = None, limit: int = 100, after: int = 0) -> list[StoredDeadLetter]:
        return [s for s in self.kept if s.id > after and consumer in (None, s.dead_letter.consumer)][:limit]

    def show(self, letter_id: int) -> StoredDeadLetter | None:
        return next((s for s in self.kept if s.id == letter_id), None)


def letter(**changes: Any) -> DeadLetter:
    made = DeadLetter("elasticsearch", "d1", "logs", EVIL, f"mapper: {EVIL}", f'{{"a":"{EVIL}"}}'.encode(), 3, START)
    return replace(made, **changes)


STATUS: Mapping[str, Any] = {
    "version": "1.0",
    "components": {"journal": {"state": "ok", "detail": ""}, "es": {"state": "degraded", "detail": EVIL}},
    "receivers": {"otlp_http": {"port": 4318}, "file_tail": {"port": 0}},
    "journal": {
        "head": 7, "entries": 2, "bytes": 900, "quota_bytes": 1000, "writing": True,
        "lag_seconds": {"elasticsearch": 1.5}, "dead_letters": {"elasticsearch": 1},
    },
    "ledger": {
        "received": {"spans": 12}, "rejected": {"spans": 1}, "problems": [],
        "lines": ["elasticsearch/spans: received 12 = delivered 12 + waiting 0"],
        "consumers": {"elasticsearch": {"waiting": {"spans": 3}}},
    },
    "sinks": [{"sink": "elasticsearch", "trouble": EVIL, "last_success_unix_ns": None, "in_flight": 1,
               "lag_seconds": 1.5}],
}  # fmt: skip


def families() -> list[FamilySnapshot]:
    """One operation, one model with a feature that drifted, and a metric over its budget."""
    operation = label_text(
        ("service_name", "span_name", "span_kind", "status_code"), ("shop", EVIL, "SPAN_KIND_SERVER", "STATUS_CODE_OK")
    )
    failed = operation.replace("STATUS_CODE_OK", "STATUS_CODE_ERROR")
    slow = {(0, 1): Exemplar(trace_hex(1), "1" * 16, 0.3, 1.0)}
    durations = Histograms([operation, failed], (0.1, 0.5), [[8, 10, 10], [0, 0, 0]], [1.0, 0.0], exemplars=slow)
    model = label_text(("service", "model", "version"), ("shop", EVIL, "1"))
    feature = label_text(("model", "version", "feature"), (EVIL, "1", "alcohol"))
    bins = [f'{feature},bin="{name}",reference="r"' for name in ("low", "high")]
    ks = f'{feature},method="ks"'
    return [
        FamilySnapshot("traces_span_metrics_calls", "counter", "", "", (Points([operation, failed], [8, 2]),)),
        FamilySnapshot("traces_span_metrics_duration_seconds", "histogram", "", "seconds", (durations,)),
        FamilySnapshot("model_predictions", "counter", "", "", (Points([f'{model},status="ok"'], [1234]),)),
        FamilySnapshot("model_predictions_by_class", "counter", "", "", (Points([f'{model},class="red"'], [3]),)),
        FamilySnapshot(
            "model_inference_latency_seconds", "histogram", "", "seconds",
            (Histograms([f'{model},stage="inference"'], (0.1, 0.2), [[0, 10, 10]], [1.5]),),
        ),
        FamilySnapshot(
            "model_confidence_score", "histogram", "", "", (Histograms([model], (0.5, 1.0), [[2, 10, 10]], [7.0]),)
        ),
        FamilySnapshot("model_feature_observations", "counter", "", "", (Points(bins, [30, 10]),)),
        FamilySnapshot("model_outliers", "counter", "", "", (Points([model], [7]),)),
        FamilySnapshot("model_feature_reference_ratio", "gauge", "", "", (Points(bins, [0.5, 0.5]),)),
        FamilySnapshot("data_drift_score", "gauge", "", "", (Points([ks], [0.25]),)),
        FamilySnapshot("data_drift_threshold", "gauge", "", "", (Points([ks], [0.1]),)),
        FamilySnapshot("data_drift_critical_value", "gauge", "", "", (Points([ks], [0.05]),)),
        FamilySnapshot("data_drift_detected", "gauge", "", "", (Points([ks], [1]),)),
        FamilySnapshot("sidecar_series", "gauge", "", "", (Points(['metric="calls"'], [2000]),)),
        FamilySnapshot("sidecar_series_overflow", "counter", "", "", (Points(['metric="calls",label="user"'], [5]),)),
    ]  # fmt: skip


SAME = {"origin": "http://127.0.0.1:9464"}
"""What a browser sends with a form of the page itself."""


class Page:
    """The serve port's application, with the page."""

    def __init__(self, directory: Path) -> None:
        decoder = ReferenceDecoder()
        store = Store(StoreOptions(max_age=10 * 365 * 86_400), directory, lambda: START + 600 * SECOND)
        self.sink = StoreSink("store", store, sink_context(decoder, "log"))
        self.letters = Letters(letter())
        self.replayed: list[str] = []
        self.failure: Exception | None = None
        self.seq = 0
        self.sources = PageSources(
            lambda: STATUS, families, self.sink.traces, self.sink.logs, lambda: self.letters, self.replay
        )

    def replay(self, sink: str) -> ReplayCount:
        if self.failure is not None:
            raise self.failure
        self.replayed.append(sink)
        return ReplayCount(1, 2)

    def put(self, *bodies: bytes, signal: Any = "spans") -> None:
        for body in bodies:
            self.seq += 1
            decoder = ReferenceDecoder()
            items = (decoder.check_spans(body) if signal == "spans" else decoder.check_logs(body)).items
            put(self.sink, entry(self.seq, body, items, signal=signal, time_ns=START))

    def app(
        self,
        token: str = "",
        access: Access | None = None,
        routers: Callable[[], Sequence[APIRouter]] | None = None,
        **changes: Any,
    ) -> Any:
        """`changes`: of the page's sources."""
        admit = Credentials(auth=ServerAuth(token=SecretStr(token)), section="serve").check if token else None
        page = replace(self.sources, **changes)
        sources = Sources(Health(), lambda *_: None, lambda: STATUS, admit, page, access or Access())
        return build_app(sources, routers)

    def ask(
        self, target: str, method: str = "GET", app: Any = None, client: str = "127.0.0.1", **headers: str
    ) -> Answer:
        """`_` in a header's name stands for `-`."""
        return asyncio.run(ask(app or self.app(), target, method, headers, client))


async def ask(app: Any, target: str, method: str, headers: Mapping[str, str], client: str = "127.0.0.1") -> Answer:
    """One request; `target` as it stands in the request line."""
    path, _, query = target.partition("?")
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    named = {"host": "127.0.0.1:9464", **{k.replace("_", "-"): v for k, v in headers.items()}}
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
        "path": unquote(path), "raw_path": path.encode(), "query_string": query.encode(), "root_path": "",
        "headers": [(k.encode(), v.encode()) for k, v in named.items()],
        "client": (client, 1), "server": ("127.0.0.1", 9464),
    }  # fmt: skip
    await app(scope, receive, send)
    found = {k.decode().lower(): v.decode() for k, v in sent[0]["headers"]}
    return Answer(sent[0]["status"], found, b"".join(m.get("body", b"") for m in sent[1:]))


class Elements(HTMLParser):
    """What a browser would make of a page: its tags with their attributes, and its text."""

    def __init__(self, body: bytes) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(body.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]
