"""What delivery tests share: payloads, a consumer in memory, a destination in memory."""

from __future__ import annotations

import concurrent.futures
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from sidecar.decode.api import Decoder, Lines
from sidecar.decode.select import decoder
from sidecar.deliver.common.http import Reply
from sidecar.deliver.elasticsearch.options import ElasticsearchOptions
from sidecar.deliver.elasticsearch.sink import build
from sidecar.deliver.sink import SinkContext
from sidecar.errors import Unavailable
from sidecar.pipeline import Ack, Clock, DeadLetter, Entry, Signal
from sidecar.telemetry import Telemetry
from support.payloads import any_value
from support.search_client import ask

START = 1_700_000_000_123_456_789

TIMEOUT = 0.6
"""Seconds for a reply where the fault is that none comes. Elsewhere it is `NO_TIMEOUT`: what a slow machine takes for a
reply must not look like a fault."""
NO_TIMEOUT = 60
QUICK: dict[str, Any] = {
    "retry": {"initial_interval": 0.01, "max_interval": 0.05},
    "batch_timeout": 0,
    "timeout": NO_TIMEOUT,
}


def attribute(key: str, value: str | int) -> KeyValue:
    any_value = AnyValue(string_value=value) if isinstance(value, str) else AnyValue(int_value=value)
    return KeyValue(key=key, value=any_value)


def trace_id(number: int) -> bytes:
    return number.to_bytes(8, "big") + b"\x00\x01\x02\x03\x04\x05\x06\x07"


def spans_payload(
    count: int, first: int = 1, trace: int = 1, events: int = 0, start: int = START, **attributes: str | int
) -> bytes:
    """Spans with ids first, first + 1, ... of one trace; the first one is the root; each with `events` events."""
    request = ExportTraceServiceRequest()
    resource_spans = request.resource_spans.add()
    resource_spans.resource.attributes.append(attribute("service.name", "shop"))
    scope = resource_spans.scope_spans.add()
    scope.scope.name = "test"
    for number in range(first, first + count):
        span = scope.spans.add(
            trace_id=trace_id(trace),
            span_id=number.to_bytes(8, "big"),
            parent_span_id=b"" if number == first else first.to_bytes(8, "big"),
            name=f"step {number}",
            kind=2,
            start_time_unix_nano=start + number,
            end_time_unix_nano=start + number + 1_000_000,
        )
        span.attributes.extend(attribute(k, v) for k, v in attributes.items())
        for ordinal in range(events):
            span.events.add(name=f"event {ordinal}", time_unix_nano=start + number + ordinal)
    return request.SerializeToString()


def logs_payload(*bodies: str, trace: int = 0, **attributes: str | int) -> bytes:
    request = ExportLogsServiceRequest()
    resource_logs = request.resource_logs.add()
    resource_logs.resource.attributes.append(attribute("service.name", "shop"))
    scope = resource_logs.scope_logs.add()
    for number, body in enumerate(bodies):
        record = scope.log_records.add(
            time_unix_nano=START + number, severity_number=9, severity_text="INFO", body=AnyValue(string_value=body)
        )
        record.attributes.extend(attribute(k, v) for k, v in attributes.items())
        if trace:
            record.trace_id = trace_id(trace)
    return request.SerializeToString()


def structured_log(body: Mapping[str, Any], **attributes: str | int) -> bytes:
    """One log record whose body is a map."""
    request = ExportLogsServiceRequest.FromString(logs_payload("", **attributes))
    request.resource_logs[0].scope_logs[0].log_records[0].body.CopyFrom(any_value(dict(body)))
    return request.SerializeToString()


def entry(
    seq: int, payload: bytes, items: int, events: int = 0, signal: Signal = "spans", time_ns: int = START
) -> Entry:
    return Entry(seq, time_ns, signal, items, events, payload)


def sink_context(
    decoder: Decoder, journal_id: str = "journal1", clock: Clock = time.time_ns, directory: Path = Path()
) -> SinkContext:
    """What sinks are built from."""
    return SinkContext(decoder, journal_id, directory, Telemetry(), clock)


class FakeConsumer:
    """A place in a log that is in memory. `done` commits at once, unless `failures` says how often it must fail."""

    name = "fake"

    def __init__(self, entries: Sequence[Entry] = ()) -> None:
        self._condition = threading.Condition()
        self._entries = list(entries)
        self._given = 0
        self._woken = False
        self.finished: dict[int, Ack] = {}
        self.failures = 0
        self.refusals = 0

    def feed(self, *entries: Entry) -> None:
        with self._condition:
            self._entries += entries
            self._condition.notify_all()

    def wait(self, timeout: float, gather: float, max_bytes: int, max_entries: int) -> None:
        with self._condition:
            self._condition.wait_for(lambda: self._woken or self._waiting(1, 1), timeout)
            self._condition.wait_for(lambda: self._woken or self._waiting(max_bytes, max_entries), gather)
            self._woken = False

    def _waiting(self, size: int, count: int) -> bool:
        entries = self._entries[self._given :]
        return len(entries) >= count or sum(len(e.payload) for e in entries) >= size

    def wake(self) -> None:
        with self._condition:
            self._woken = True
            self._condition.notify_all()

    def head(self) -> int:
        with self._condition:
            return len(self._entries)

    def next(self, max_bytes: int, max_entries: int, timeout: float) -> list[Entry]:
        with self._condition:
            self._condition.wait_for(lambda: self._given < len(self._entries), timeout)
            chosen: list[Entry] = []
            size = 0
            for candidate in self._entries[self._given :]:
                size += len(candidate.payload)
                if len(chosen) == max_entries or (chosen and size > max_bytes):
                    break
                chosen.append(candidate)
            self._given += len(chosen)
            return chosen

    def done(
        self, entries: Sequence[Ack], state: Mapping[bytes, bytes | None] | None = None
    ) -> concurrent.futures.Future[None]:
        assert state is None
        future: concurrent.futures.Future[None] = concurrent.futures.Future()
        with self._condition:
            if self.refusals:
                self.refusals -= 1
                raise Unavailable("closed")
            if self.failures:
                self.failures -= 1
                future.set_exception(Unavailable("disk full"))
                return future
            for finished in entries:
                assert finished.seq not in self.finished, "an entry was finished twice"
                self.finished[finished.seq] = finished
            self._condition.notify_all()
        future.set_result(None)
        return future

    def state(self) -> Iterator[tuple[bytes, bytes]]:
        return iter(())

    def waiting(self) -> dict[str, int]:
        with self._condition:
            waiting: Counter[str] = Counter()
            for kept in self._entries:
                if kept.seq not in self.finished:
                    waiting[kept.signal] += kept.items
            return dict(waiting)

    def lag_seconds(self) -> float:
        return 0.0

    def wait_for(self, count: int, timeout: float = 300.0) -> bool:
        """True as soon as so many entries are finished."""
        with self._condition:
            return self._condition.wait_for(lambda: len(self.finished) >= count, timeout)

    def counts(self) -> Counter[tuple[str, str, str]]:
        total: Counter[tuple[str, str, str]] = Counter()
        for finished in self.finished.values():
            total.update(finished.counts)
        return total

    def letters(self) -> list[DeadLetter]:
        return [letter for finished in self.finished.values() for letter in finished.dead]


class FakeEngine:
    """An engine in memory that keeps documents by id, as `_bulk` `create` does. Not a socket: bytes in, reply out."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.poison: dict[str, tuple[int, str, str]] = {}
        """id -> (status, type, reason) of its refusal."""

    def bulk(self, body: bytes) -> Reply:
        items = []
        errors = False
        rows = body.split(b"\n")
        for action, source in zip(rows[0:-1:2], rows[1::2], strict=True):
            doc_id = json.loads(action)["create"]["_id"]
            if doc_id in self.poison:
                status, kind, reason = self.poison[doc_id]
            elif doc_id in self.kept:
                status, kind, reason = 409, "version_conflict_engine_exception", "document already exists"
            else:
                status, kind, reason = 201, "", ""
                self.kept[doc_id] = source
            item: dict[str, object] = {"status": status}
            if status != 201:
                errors = True
                item["error"] = {"type": kind, "reason": reason}
            items.append({"create": item})
        return Reply(200, json.dumps({"errors": errors, "items": items}).encode())


def ids(lines: Lines) -> list[str]:
    """The ids of documents, in order."""
    return [json.loads(row)["create"]["_id"] for row in lines.body.split(b"\n")[0:-1:2]]


def delivered(url: str, received: Sequence[Entry]) -> None:
    """Have the sink put what was received into an engine, for searches."""
    sink = build("elasticsearch", ElasticsearchOptions(hosts=(url,)), sink_context(decoder(), "log"))
    batches = list(sink.prepare(received).batches)
    for _ in range(100):
        # As the worker does: what comes back is sent again.
        if not batches:
            break
        answer = sink.send(batches.pop())
        batches += answer.retry.batches if answer.retry else ()
        time.sleep(0.2 if answer.retry else 0)
    assert not batches
    sink.close()
    ask(f"{url}/_refresh")
