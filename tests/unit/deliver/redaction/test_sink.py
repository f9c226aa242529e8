from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from support.delivery import FakeConsumer, FakeEngine, entry, logs_payload, sink_context, spans_payload
from support.receive_fakes import Counted

from sidecar.decode.python import ReferenceDecoder
from sidecar.decode.redaction.rules import Filter, KeyRule, Redacted, Rules
from sidecar.deliver.common.http import Reply
from sidecar.deliver.elasticsearch.options import ElasticsearchOptions
from sidecar.deliver.elasticsearch.sink import ElasticsearchSink
from sidecar.deliver.redaction.sink import RedactingSink, changes_nothing
from sidecar.deliver.sink import ItemResult, PreparedBatch, SendResult, Sink
from sidecar.deliver.worker import Worker
from sidecar.errors import DecodeError
from sidecar.pipeline import Entry, Signal, entry_counts
from sidecar.telemetry import Telemetry


class Recorder:
    """A sink that delivers what it gets and remembers it."""

    name = "recorder"
    signals: frozenset[Signal] = frozenset(("spans", "logs", "metrics"))
    target_batch_bytes = 77

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.closed = False

    def prepare(self, entries: Sequence[Entry]) -> PreparedBatch[Entry]:
        self.entries += entries
        return PreparedBatch(list(entries), {e.seq: e.items + e.events for e in entries})

    def send(self, batch: Entry) -> SendResult[Entry]:
        return SendResult([ItemResult(batch.seq, entry_counts(batch, "delivered"))])

    def status(self) -> Mapping[str, Any]:
        return {"fact": 1}

    def close(self) -> None:
        self.closed = True


class Script:
    """A redactor that gives what it was given for each payload; other payloads pass as they are."""

    def __init__(self, **redacted: Redacted | Exception) -> None:
        self._redacted = {name.encode(): what for name, what in redacted.items()}

    def spans(self, payload: bytes) -> Redacted:
        what = self._redacted.get(payload, Redacted(payload, 3, 2, None, 0))
        if isinstance(what, Exception):
            raise what
        return what

    logs = spans


def test_what_does_not_change_passes_as_the_very_entry() -> None:
    inner = Recorder()
    one = entry(1, b"as it is", 3, 2)
    prepared = RedactingSink(inner, Script(), Telemetry()).prepare([one])
    assert inner.entries[0] is one
    assert prepared == PreparedBatch([one], {1: 5}, [])


def test_what_is_left_goes_on_with_its_ordinals_and_the_rest_is_settled_as_filtered() -> None:
    inner, counted = Recorder(), Counted()
    ordinals = np.array([2], np.uint32)
    redactor = Script(part=Redacted(b"less", 1, 0, ordinals, 4))
    prepared = RedactingSink(inner, redactor, counted.telemetry).prepare([entry(7, b"part", 3, 2)])
    (left,) = inner.entries
    assert (left.seq, left.payload, left.items, left.events, left.ordinals) == (7, b"less", 1, 0, ordinals)
    assert prepared.expected == {7: 5}
    counts = {("spans", "filtered", "filter"): 2, ("span_events", "filtered", "filter"): 2}
    assert prepared.settled == [ItemResult(7, counts)]
    assert counted.values("sidecar_redacted_values_total") == {("recorder",): 4}
    assert counted.values("sidecar_filtered_items_total") == {("recorder", "spans"): 2, ("recorder", "span_events"): 2}


def test_an_entry_of_which_nothing_is_left_does_not_reach_the_sink() -> None:
    inner = Recorder()
    redactor = Script(gone=Redacted(b"", 0, 0, np.zeros(0, np.uint32), 0))
    prepared = RedactingSink(inner, redactor, Telemetry()).prepare([entry(1, b"gone", 4, signal="logs")])
    assert inner.entries == []
    assert prepared == PreparedBatch([], {1: 4}, [ItemResult(1, {("logs", "filtered", "filter"): 4})])


def test_what_cannot_be_decoded_is_dropped_and_never_handed_on() -> None:
    inner = Recorder()
    sink = RedactingSink(inner, Script(bad=DecodeError("no")), Telemetry())
    prepared = sink.prepare([entry(1, b"bad", 2, 1), entry(2, b"good", 3, 2)])
    assert [e.seq for e in inner.entries] == [2]
    dropped = {("spans", "dropped", "not_decodable"): 2, ("span_events", "dropped", "not_decodable"): 1}
    assert prepared.settled == [ItemResult(1, dropped)]
    assert prepared.expected == {1: 3, 2: 5}


def test_metrics_and_empty_entries_pass() -> None:
    inner = Recorder()
    redactor = Script(m=DecodeError("never asked"), e=DecodeError("never asked"))
    entries = [entry(1, b"m", 2, signal="metrics"), entry(2, b"e", 0)]
    prepared = RedactingSink(inner, redactor, Telemetry()).prepare(entries)
    assert inner.entries == entries
    assert prepared.expected == {1: 2, 2: 0}


def test_more_is_taken_where_little_is_left_but_not_without_end() -> None:
    half, none = Redacted(b"1234", 1, 0, None, 1), Redacted(b"", 0, 0, np.zeros(0, np.uint32), 0)
    sink = RedactingSink(Recorder(), Script(of_eight=half, nothing=none), Telemetry())
    targets = []
    for payload in (b"of_eight", b"nothing"):
        for _ in range(30):
            sink.prepare([entry(1, payload, 1)])
        targets.append(sink.target_batch_bytes)
    assert targets == [153, 192]


def test_the_rest_is_the_sink_s_own() -> None:
    inner = Recorder()
    sink: Sink[Entry] = RedactingSink(inner, Script(), Telemetry())
    assert (sink.name, sink.signals, sink.target_batch_bytes, sink.status()) == (
        "recorder",
        inner.signals,
        77,
        {"fact": 1},
    )
    one = entry(1, b"x", 1)
    assert sink.send(one) == inner.send(one)
    sink.close()
    assert inner.closed


def test_every_item_comes_to_one_end_through_the_worker() -> None:
    redactor = Script(
        part=Redacted(b"less", 1, 1, np.array([0], np.uint32), 0),
        gone=Redacted(b"", 0, 0, np.zeros(0, np.uint32), 0),
        bad=DecodeError("no"),
    )
    payloads = [b"all", b"part", b"gone", b"bad"]
    consumer = FakeConsumer([entry(seq, payload, 3, 2) for seq, payload in enumerate(payloads * 5, 1)])
    options = ElasticsearchOptions.model_validate({"batch_timeout": 0})
    worker = Worker(RedactingSink(Recorder(), redactor, Telemetry()), consumer, options, Telemetry(), time.time_ns)
    worker.start()
    assert consumer.wait_for(20)
    worker.stop(0)
    assert consumer.counts() == {
        ("spans", "delivered", ""): 5 * (3 + 1),
        ("span_events", "delivered", ""): 5 * (2 + 1),
        ("spans", "filtered", "filter"): 5 * (2 + 3),
        ("span_events", "filtered", "filter"): 5 * (1 + 2),
        ("spans", "dropped", "not_decodable"): 5 * 3,
        ("span_events", "dropped", "not_decodable"): 5 * 2,
    }


class EngineHttp:
    """A fake engine behind the sink's way to its nodes."""

    def __init__(self) -> None:
        self.engine = FakeEngine()

    def request(self, method: str, target: str, body: bytes | None, headers: Mapping[str, str]) -> Reply:
        return self.engine.bulk(body or b"")

    def close(self) -> None:
        return None


def test_ids_of_log_records_are_those_of_a_sink_without_filter() -> None:
    decoder = ReferenceDecoder()
    payload = _severities(9, 17, 9, 21)
    stored = {}
    for name, least in (("all", 0), ("errors", 17)):
        http = EngineHttp()
        options = ElasticsearchOptions.model_validate(
            {"bootstrap": False, "compression": False, "hosts": "http://127.0.0.1:9"}
        )
        sink = ElasticsearchSink(name, options, sink_context(decoder, "journal", lambda: 1), http)
        redactor = decoder.redactor(Rules(filter=Filter(min_severity=least)))
        redacting = RedactingSink(sink, redactor, Telemetry())
        for batch in redacting.prepare([entry(5, payload, 4, signal="logs")]).batches:
            redacting.send(batch)
        stored[name] = {i: json.loads(source)["body"]["text"] for i, source in http.engine.kept.items()}
    assert len(stored["all"]) == 4
    assert stored["errors"] == {i: text for i, text in stored["all"].items() if text in ("record 1", "record 3")}


def _severities(*numbers: int) -> bytes:
    request = ExportLogsServiceRequest.FromString(logs_payload(*(f"record {n}" for n in range(len(numbers)))))
    for record, number in zip(request.resource_logs[0].scope_logs[0].log_records, numbers, strict=True):
        record.severity_number = number  # type: ignore[assignment]
    return request.SerializeToString()


@pytest.mark.parametrize(
    ("rules", "nothing"),
    [
        (Rules(), True),
        (Rules(hash_key=b"unused"), True),
        (Rules(keys=(KeyRule(("a",), "drop"),)), False),
        (Rules(add=(("a", "b"),)), False),
        (Rules(max_field_bytes=100), False),
        (Rules(filter=Filter(sampling_ratio=1 / 2)), False),
    ],
)
def test_rules_that_change_nothing_are_known(rules: Rules, nothing: bool) -> None:
    assert changes_nothing(rules) is nothing
    redacted = ReferenceDecoder().redactor(rules).spans(payload := spans_payload(50))
    assert not nothing or redacted.payload is payload
