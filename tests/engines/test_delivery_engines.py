"""Delivery to real engines: worker and sink as in the program, OpenSearch and Elasticsearch as in the field."""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import reduce
from typing import Any

import pytest
from support.delivery import START, FakeConsumer, entry, logs_payload, sink_context, spans_payload, structured_log
from support.engines import SearchEngine, elasticsearch8, elasticsearch9, free_port, opensearch, wait_for

from sidecar.decode.select import decoder as chosen_decoder
from sidecar.deliver.elasticsearch.bulk import CONFLICT_AS_TEXT
from sidecar.deliver.elasticsearch.conflicts import KEY
from sidecar.deliver.elasticsearch.options import ElasticsearchOptions
from sidecar.deliver.elasticsearch.sink import ElasticsearchSink, build
from sidecar.deliver.replay import replay
from sidecar.deliver.worker import Worker
from sidecar.pipeline import Entry
from sidecar.telemetry import Telemetry

DECODER = chosen_decoder()
QUICK = {"retry": {"initial_interval": 0.05, "max_interval": 0.5}, "batch_timeout": 0.01, "timeout": 60}


@dataclass(frozen=True)
class Engine:
    """One engine, and a namespace of its own for each test, so that tests do not see each other's documents."""

    url: str
    namespace: str

    def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self.url + path, data=data, method=method, headers={"content-type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as reply:
                return reply.status, json.loads(reply.read() or b"null")
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read() or b"null")

    @property
    def traces(self) -> str:
        return f"traces-generic.otel-{self.namespace}"

    @property
    def logs(self) -> str:
        return f"logs-generic.otel-{self.namespace}"

    def documents(self, stream: str) -> dict[str, dict[str, Any]]:
        """id -> source; ids that occur twice fail the test."""
        self.call("POST", f"/{stream}/_refresh")
        status, answer = self.call("POST", f"/{stream}/_search", {"size": 10_000})
        assert status == 200, answer
        hits = answer["hits"]["hits"]
        found = {hit["_id"]: hit["_source"] for hit in hits}
        assert answer["hits"]["total"]["value"] == len(hits) == len(found), "a document is there twice"
        return found

    def field(self, value: str = "") -> dict[str, str]:
        """The attribute that sends a record to this test's data streams."""
        return {"data_stream.namespace": value or self.namespace}


@pytest.fixture(params=["opensearch_url", "elasticsearch8_url", "elasticsearch_url"])
def engine(request: pytest.FixtureRequest) -> Engine:
    return Engine(request.getfixturevalue(request.param), f"t{uuid.uuid4().hex[:12]}")


def make_sink(engine: Engine, **options: Any) -> ElasticsearchSink:
    chosen = ElasticsearchOptions.model_validate({"hosts": engine.url} | QUICK | options)
    return build("elasticsearch", chosen, sink_context(DECODER, "journal1"))


@contextmanager
def delivering(engine: Engine, consumer: FakeConsumer, **options: Any) -> Iterator[Worker[Any]]:
    sink = make_sink(engine, **options)
    chosen = ElasticsearchOptions.model_validate({"hosts": engine.url} | QUICK | options)
    worker: Worker[Any] = Worker(sink, consumer, chosen, Telemetry(), time.time_ns)
    worker.start()
    try:
        yield worker
    finally:
        worker.stop(0)


def several(engine: Engine, payloads: int = 20, spans: int = 25, first_seq: int = 1) -> list[Entry]:
    """Payloads of spans with one event each, every third one of logs."""
    entries = []
    for seq in range(first_seq, first_seq + payloads):
        if seq % 3 == 0:
            payload = logs_payload(*[f"line {n}" for n in range(spans)], trace=seq, **engine.field())
            entries.append(entry(seq, payload, spans, signal="logs"))
        else:
            payload = spans_payload(spans, first=seq * 1000, trace=seq, **engine.field())
            entries.append(entry(seq, payload, spans))
    return entries


def expected(entries: list[Entry]) -> tuple[int, int]:
    return sum(e.items for e in entries if e.signal == "spans"), sum(e.items for e in entries if e.signal == "logs")


def test_every_payload_is_there_once(engine: Engine) -> None:
    entries = several(engine)
    consumer = FakeConsumer(entries)
    with delivering(engine, consumer):
        assert consumer.wait_for(len(entries), 300)
    spans, logs = expected(entries)
    assert consumer.counts() == {("spans", "delivered", ""): spans, ("logs", "delivered", ""): logs}
    assert len(engine.documents(engine.traces)) == spans
    stored_logs = engine.documents(engine.logs)
    assert set(stored_logs) == {f"journal1-{e.seq}-{n}" for e in entries if e.signal == "logs" for n in range(e.items)}


def test_span_events_are_documents_of_the_logs_stream(engine: Engine) -> None:
    consumer = FakeConsumer([entry(1, spans_payload(2, events=2, **engine.field()), 2, 4)])
    with delivering(engine, consumer):
        assert consumer.wait_for(1, 300)
    assert consumer.counts() == {("spans", "delivered", ""): 2, ("span_events", "delivered", ""): 4}
    assert len(engine.documents(engine.traces)) == 2


def test_delivered_again_it_is_there_once_and_counted_as_already_there(engine: Engine) -> None:
    entries = several(engine, payloads=6)
    for outcome in ("delivered", "already_there"):
        consumer = FakeConsumer(entries)
        with delivering(engine, consumer):
            assert consumer.wait_for(len(entries), 300)
        spans, logs = expected(entries)
        assert consumer.counts() == {("spans", outcome, ""): spans, ("logs", outcome, ""): logs}
    assert len(engine.documents(engine.traces)) == spans
    assert len(engine.documents(engine.logs)) == logs


def test_a_poison_document_becomes_a_dead_letter_and_the_rest_goes_through(engine: Engine) -> None:
    good = spans_payload(3, first=1, amount=3, **engine.field())
    bad = spans_payload(1, first=50, amount="three", **engine.field())
    consumer = FakeConsumer([entry(1, good, 3)])
    with delivering(engine, consumer, on_conflict="dead_letter"):
        assert consumer.wait_for(1, 300)
        consumer.feed(entry(2, bad, 1), entry(3, spans_payload(3, first=90, amount=4, **engine.field()), 3))
        assert consumer.wait_for(3, 300)
    counts = consumer.counts()
    assert counts["spans", "delivered", ""] == 6
    (reason,) = [r for signal, outcome, r in counts if outcome == "dead_lettered"]
    assert reason in ("mapper_parsing_exception", "document_parsing_exception")
    (letter,) = consumer.letters()
    assert letter.reason.startswith(f"{reason}: ")
    assert "amount" in letter.reason
    assert (letter.index, letter.seq, letter.signal) == (engine.traces, 2, "spans")
    assert letter.doc_id not in engine.documents(engine.traces)
    sink = make_sink(engine, on_conflict="dead_letter")
    (again,) = replay([letter], sink)
    assert again.accepted == []
    assert again.rejected[0].reason.startswith(reason)
    # The mapping is fixed: a new backing index takes the field as text.
    index = f"fixed-{engine.namespace}"
    engine.call("PUT", f"/{index}", {"mappings": {"properties": {"attributes.amount": {"type": "keyword"}}}})
    fixed = letter.document.replace(engine.traces.encode(), index.encode(), 1)
    (again,) = replay([type(letter)("es", letter.doc_id, "spans", index, "", fixed, 2, 0)], sink)
    assert len(again.accepted) == 1
    sink.close()
    assert set(engine.documents(index)) == {letter.doc_id}


def test_a_field_that_does_not_fit_becomes_text_and_the_document_stays(engine: Engine) -> None:
    consumer = FakeConsumer([entry(1, spans_payload(3, first=1, amount=3, **engine.field()), 3)])
    with delivering(engine, consumer):
        assert consumer.wait_for(1, 300)
        consumer.feed(entry(2, spans_payload(2, first=50, amount="three", route="/a", **engine.field()), 2))
        assert consumer.wait_for(2, 300)
    assert consumer.counts() == {("spans", "delivered", ""): 3, ("spans", "delivered", CONFLICT_AS_TEXT): 2}
    moved = [d["attributes"] for d in engine.documents(engine.traces).values() if KEY in d["attributes"]]
    assert moved == [{"route": "/a", KEY: '{"attributes.amount":"three"}'}] * 2
    query = {"query": {"match": {f"attributes.{KEY}": "three"}}}
    assert engine.call("POST", f"/{engine.traces}/_search", query)[1]["hits"]["total"]["value"] == 2
    with delivering(engine, consumer := FakeConsumer([entry(3, spans_payload(2, first=50, **engine.field()), 2)])):
        assert consumer.wait_for(1, 300)
    assert consumer.counts() == {("spans", "already_there", ""): 2}


DEEP: dict[str, Any] = reduce(lambda inner, _: {"k": inner}, range(24), {"z": 1})
STRUCTURED: dict[str, tuple[Any, Any]] = {
    "an object against a scalar": ({"x": "s", "y": 1}, {"x": {"a": 1}, "y": 1}),
    "a scalar against an object": ({"x": {"a": 1}, "y": 1}, {"x": "s", "y": 1}),
    "a field and an object of one name": ({"y": 1}, {"a": 1, "a.b": 2, "y": 1}),
    "mixed types in one array": ({"y": 1}, {"x": [1, "a"], "y": 1}),
    "mixed scalars and objects": ({"y": 1}, {"x": [1, {"b": 2}], "y": 1}),
    "names of dots": ({"y": 1}, {"a..b": 1, "y": 1}),
    "too deep": ({"y": 1}, {"x": DEEP, "y": 1}),
    "several at once": ({"p": 1, "q": 1, "r": 1, "y": 1}, {"p": "a", "q": "b", "r": {"c": "d"}, "y": 1}),
}


def test_every_conflict_of_a_structured_body_ends_in_text(engine: Engine) -> None:
    consumer = FakeConsumer()
    with delivering(engine, consumer):
        for turn in (0, 1):  # The first makes the mapping.
            for number, bodies in enumerate(STRUCTURED.values()):
                payload = structured_log({f"case{number}": bodies[turn]}, **engine.field())
                consumer.feed(entry(100 * (turn + 1) + number, payload, 1, signal="logs"))
            assert consumer.wait_for(len(STRUCTURED) * (turn + 1), 300)
    many = len(STRUCTURED)
    assert consumer.letters() == []
    assert consumer.counts() == {("logs", "delivered", ""): many, ("logs", "delivered", CONFLICT_AS_TEXT): many}
    stored = engine.documents(engine.logs)
    for number, name in enumerate(STRUCTURED):
        document = stored[f"journal1-{200 + number}-0"]
        left, moved = document["body"].get("structured"), json.loads(document["attributes"][KEY])
        assert all(path.startswith("body.structured") for path in moved), name
        # Some refusals name the field without its place, or none: then the whole body is moved. Of what is too deep,
        # only the depth is.
        assert left in ({f"case{number}": {"y": 1}}, None) or name == "too deep", name


def test_more_fields_than_an_index_may_have_do_not_lose_the_document(engine: Engine) -> None:
    many = {f"field.{n}": n for n in range(990)}
    consumer = FakeConsumer([entry(1, spans_payload(1, **many, **engine.field()), 1)])
    with delivering(engine, consumer):
        assert consumer.wait_for(1, 300)
    assert consumer.counts() == {("spans", "delivered", CONFLICT_AS_TEXT): 1}
    (stored,) = engine.documents(engine.traces).values()
    assert json.loads(stored["attributes"][KEY]) == {"attributes": many}
    assert stored["resource"]["attributes"] == {"service.name": "shop"}


def test_a_fixed_index_by_the_documents_own_day(engine: Engine) -> None:
    pattern = f"old-{engine.namespace}-{{type}}-%Y.%m.%d"
    day = 86_400 * 10**9
    spans = spans_payload(2, events=1, trace=7) + spans_payload(1, first=9, start=START + day)
    entries = [entry(1, spans, 3, 2), entry(2, logs_payload("a"), 1, signal="logs")]
    for outcome in ("delivered", "already_there"):
        consumer = FakeConsumer(entries)
        with delivering(engine, consumer, index=pattern):
            assert consumer.wait_for(2, 300)
        assert {o for _, o, _ in consumer.counts()} == {outcome}
    assert len(engine.documents(f"old-{engine.namespace}-traces-2023.11.14")) == 2
    assert len(engine.documents(f"old-{engine.namespace}-traces-2023.11.15")) == 1
    assert len(engine.documents(f"old-{engine.namespace}-logs-2023.11.14")) == 3
    _status, mapping = engine.call("GET", f"/old-{engine.namespace}-logs-2023.11.14/_mapping")
    (properties,) = [m["mappings"]["properties"] for m in mapping.values()]
    assert properties["@timestamp"]["type"] == "date_nanos"
    for name in (f"sidecar-{kind}-index" for kind in ("logs", "traces")):
        engine.call("DELETE", f"/_index_template/{name}")


def test_ids_of_the_engine(engine: Engine) -> None:
    consumer = FakeConsumer([entry(1, spans_payload(3, **engine.field()), 3)])
    with delivering(engine, consumer, ids="none"):
        assert consumer.wait_for(1, 300)
    assert consumer.counts() == {("spans", "delivered", ""): 3}
    stored = engine.documents(engine.traces)
    assert len(stored) == 3
    assert not any(doc_id.startswith(document["trace_id"]) for doc_id, document in stored.items())


def test_a_pipeline_is_gone_through_and_waited_for_where_it_is_not_there_yet(engine: Engine) -> None:
    name = f"mark-{engine.namespace}"
    consumer = FakeConsumer([entry(1, spans_payload(2, **engine.field()), 2)])
    with delivering(engine, consumer, pipeline=name) as worker:
        wait_for(lambda: worker.status()["trouble"] == "item_400", 20, "trouble")
        assert consumer.finished == {}
        marks: list[Any] = [{"set": {"field": "attributes.seen", "value": "yes"}}]
        status, _ = engine.call("PUT", f"/_ingest/pipeline/{name}", {"processors": marks})
        if status != 200:  # An Elasticsearch that was built without processors.
            marks = []
            assert engine.call("PUT", f"/_ingest/pipeline/{name}", {"processors": marks})[0] == 200
        assert consumer.wait_for(1, 300)
    assert consumer.counts() == {("spans", "delivered", ""): 2}
    seen = [d.get("attributes", {}).get("seen") for d in engine.documents(engine.traces).values()]
    assert seen == (["yes", "yes"] if marks else [None, None])


def test_a_node_that_is_down_is_passed_over(engine: Engine) -> None:
    entries = several(engine, payloads=6)
    consumer = FakeConsumer(entries)
    with delivering(engine, consumer, hosts=f"http://127.0.0.1:{free_port()},{engine.url}"):
        assert consumer.wait_for(len(entries), 300)
    assert {o for _, o, _ in consumer.counts()} == {"delivered"}


def test_index_templates_are_put_and_make_data_streams(engine: Engine) -> None:
    consumer = FakeConsumer(several(engine, payloads=3))
    with delivering(engine, consumer):
        assert consumer.wait_for(3, 300)
    status, answer = engine.call("GET", "/_index_template/sidecar-*-otel")
    assert status == 200
    assert {t["name"] for t in answer["index_templates"]} == {"sidecar-traces-otel", "sidecar-logs-otel"}
    status, resolved = engine.call("GET", f"/_resolve/index/{engine.traces}")
    assert [s["name"] for s in resolved["data_streams"]] == [engine.traces]
    status, mapping = engine.call("GET", f"/{engine.traces}/_mapping")
    (properties,) = [m["mappings"]["properties"] for m in mapping.values()]
    assert properties["@timestamp"]["type"] == "date_nanos"
    assert properties["trace_id"]["type"] == "keyword"
    assert len(engine.documents(engine.traces)) == 50
    query = {"query": {"range": {"@timestamp": {"gte": "2023-11-14T22:13:20Z", "lte": "2023-11-14T22:13:21Z"}}}}
    status, found = engine.call("POST", f"/{engine.traces}/_search", query)
    assert found["hits"]["total"]["value"] == 50


def test_attribute_names_that_are_each_others_beginning_are_both_kept(engine: Engine) -> None:
    payload = spans_payload(2, **engine.field(), **{"http": "x", "http.route": "/a", "http.route.deep": 1})
    consumer = FakeConsumer([entry(1, payload, 2)])
    with delivering(engine, consumer):
        assert consumer.wait_for(1, 300)
    assert consumer.counts() == {("spans", "delivered", ""): 2}
    engine.documents(engine.traces)
    query = {"query": {"term": {"attributes.http.route": "/a"}}}
    _status, found = engine.call("POST", f"/{engine.traces}/_search", query)
    assert found["hits"]["total"]["value"] == 2


def test_templates_of_the_user_are_left_alone_and_used(engine: Engine) -> None:
    name = f"mine-{engine.namespace}"
    mine = {
        "index_patterns": [f"traces-generic.otel-{engine.namespace}"],
        "priority": 500,
        "data_stream": {},
        "template": {"mappings": {"properties": {"attributes": {"type": "object", "enabled": False}}}},
    }
    assert engine.call("PUT", f"/_index_template/{name}", mine)[0] == 200
    consumer = FakeConsumer([entry(1, spans_payload(3, **engine.field()), 3)])
    with delivering(engine, consumer):
        assert consumer.wait_for(1, 300)
    _status, mapping = engine.call("GET", f"/{engine.traces}/_mapping")
    (mappings,) = [m["mappings"] for m in mapping.values()]
    assert mappings["properties"]["attributes"]["enabled"] is False


def test_without_templates_it_works_too(engine: Engine) -> None:
    entries = [entry(1, spans_payload(4, **engine.field()), 4)]
    for name in ("sidecar-traces-otel", "sidecar-logs-otel"):
        engine.call("DELETE", f"/_index_template/{name}")
    consumer = FakeConsumer(entries)
    with delivering(engine, consumer, bootstrap=False):
        assert consumer.wait_for(1, 300)
    assert consumer.counts() == {("spans", "delivered", ""): 4}
    assert len(engine.documents(engine.traces)) == 4


@pytest.mark.parametrize("start", [opensearch, elasticsearch8, elasticsearch9])
def test_overload_and_outage_slow_it_down_and_lose_nothing(
    start: Callable[..., AbstractContextManager[SearchEngine]],
) -> None:
    settings = {"indexing_pressure.memory.limit": "200kb", "http.max_content_length": "1mb"}
    with start(settings) as node:
        engine = Engine(node.url, "default")
        entries = several(engine, payloads=36, spans=100)
        consumer = FakeConsumer(entries[:18])
        with delivering(engine, consumer, batch_bytes=2 << 20, max_concurrency=4, timeout=5) as worker:
            assert consumer.wait_for(18, 300)
            node.stop()
            consumer.feed(*entries[18:])
            stalled = threading.Event()
            assert not stalled.wait(1.0)
            assert len(consumer.finished) == 18
            node.start()
            assert consumer.wait_for(36, 300)
            assert worker.status()["trouble"] is None
            assert worker._in_flight.concurrency.generation > 0, "nothing was ever refused: the test tests nothing"
        spans, logs = expected(entries)
        counts = consumer.counts()
        for signal, total in (("spans", spans), ("logs", logs)):
            assert sum(n for (s, o, _), n in counts.items() if s == signal) == total
            assert {o for s, o, _ in counts if s == signal} <= {"delivered", "already_there"}
        assert len(engine.documents(engine.traces)) == spans
        assert len(engine.documents(engine.logs)) == logs
