"""Look-ups in real engines, of what the sink has put there: the answers are those of the embedded store, which are held
against Jaeger's and against brute force elsewhere."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from support.delivery import attribute, delivered, entry, sink_context
from support.engines import elasticsearch8, elasticsearch9, opensearch
from support.looking_up import Asker, filled
from support.lookup_traces import START, payloads, trace_hex
from support.search_client import ask
from support.traceql.corpus import FINDS, seen

from sidecar.decode.select import decoder
from sidecar.deliver.common.http_client import HttpClient
from sidecar.deliver.elasticsearch import trace_store
from sidecar.deliver.elasticsearch.options import ElasticsearchOptions
from sidecar.deliver.elasticsearch.sink import build
from sidecar.deliver.elasticsearch.trace_options import TraceElasticsearchOptions
from sidecar.deliver.elasticsearch.trace_store import ElasticsearchTraces, health_check
from sidecar.options import ClientTls
from sidecar.pipeline import Entry

YEARS = 2 * 365 * 86_400
SECONDS = START // 10**9
RANGE = f"start={SECONDS - 60}&end={SECONDS + 600}"
MICRO = f"start={START // 1000 - 10**6}&end={START // 1000 + 10**9}"
SAME = [
    "/api/services",
    "/api/services/wine-classifier/operations",
    "/api/operations?service=worker",
    *(f"/api/traces/{trace_hex(n)}" for n in (1, 2, 3, 4, 99)),
    f"/api/traces?service=gateway&{MICRO}",
    f"/api/traces?service=wine-classifier&{MICRO}&tags={quote(json.dumps({'deployment.environment': 'test'}))}",
    f"/api/traces?service=worker&{MICRO}&tags={quote(json.dumps({'rows': '7'}))}",
    f"/api/traces?service=worker&{MICRO}&minDuration=1s",
    f"/api/traces?service=gateway&{MICRO}&tags={quote(json.dumps({'error': 'true'}))}",
    f"/api/dependencies?endTs={START // 10**6 + 600_000}&lookback=3600000",
    f"/api/v3/traces/{trace_hex(1)}",
    f"/tempo/api/v2/search/tag/resource.service.name/values?{RANGE}",
    f"/tempo/api/v2/search/tag/span.http.status_code/values?{RANGE}",
    f"/tempo/api/v2/search/tag/name/values?{RANGE}",
    f"/tempo/api/v2/search/tag/.http.route/values?{RANGE}&q={quote('{ resource.service.name = `wine-classifier` }')}",
    f"/tempo/api/v2/search/tag/span.nothing/values?{RANGE}",
    f"/tempo/api/metrics/query_range?q={quote('{ kind = server } | rate() by (name)')}&{RANGE}&step=60",
    f"/lookup/traces/{trace_hex(1)}",
    "/lookup/traces",
]


def of_namespace(namespace: str) -> list[Entry]:
    """The traces of `lookup_traces`, and a log record of the first, for data streams of this namespace."""
    entries = []
    for seq, body in enumerate(payloads(), 1):
        request = ExportTraceServiceRequest.FromString(body)
        for part in request.resource_spans:
            part.resource.attributes.append(attribute("data_stream.namespace", namespace))
        spans = [span for part in request.resource_spans for scope in part.scope_spans for span in scope.spans]
        events = sum(len(span.events) for span in spans)
        entries.append(entry(seq, request.SerializeToString(), len(spans), events, time_ns=START))
    logs = ExportLogsServiceRequest()
    part = logs.resource_logs.add()
    part.resource.attributes.append(attribute("data_stream.namespace", namespace))
    record = part.scope_logs.add().log_records.add(trace_id=(1).to_bytes(16, "big"), time_unix_nano=START + 5)
    record.body.string_value = "no such wine"
    entries.append(entry(len(entries) + 1, logs.SerializeToString(), 1, signal="logs", time_ns=START))
    return entries


class Filled:
    """An engine with the traces, asked through the look-up APIs, and the embedded store with the same."""

    def __init__(self, url: str, embedded: Asker, namespace: str) -> None:
        self.url, self.embedded, self.namespace = url, embedded, namespace
        self.options = TraceElasticsearchOptions(
            hosts=(url,), traces=f"traces-generic.otel-{namespace}", logs=f"logs-generic.otel-{namespace}"
        )
        self.traces = ElasticsearchTraces(self.options, HttpClient([url], ClientTls(), 20, 2))
        self.asker = Asker(self.traces, max_range=YEARS)


@pytest.fixture(scope="module", params=[opensearch, elasticsearch9, elasticsearch8], ids=lambda engine: engine.__name__)
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    names = {"opensearch": "opensearch_url", "elasticsearch9": "elasticsearch_url"}
    url = request.getfixturevalue(names.get(request.param.__name__, "elasticsearch8_url"))
    namespace = uuid.uuid4().hex
    entries = of_namespace(namespace)
    delivered(url, entries)
    embedded = Asker(filled(tmp_path_factory.mktemp("store"), decoder(), *entries), max_range=YEARS)
    found = Filled(url, embedded, namespace)
    yield found
    found.traces.close()


@pytest.mark.parametrize("target", SAME)
def test_an_answer_is_that_of_the_embedded_store(engine: Filled, target: str) -> None:
    expected, answer = engine.embedded.get(target), engine.asker.get(target)
    assert answer.status == expected.status
    assert answer.json == expected.json


def test_a_trace_has_its_log_records_and_events(engine: Filled) -> None:
    trace = engine.asker.get(f"/lookup/traces/{trace_hex(1)}").json
    assert [record["body"] for record in trace["logs"]] == ["no such wine"]
    events = {span["name"]: [event["name"] for event in span["events"]] for span in trace["spans"]}
    assert events["SELECT wine"] == ["exception"]


def test_traces_of_many_documents_are_read_one_by_one(engine: Filled, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace_store, "_DOCUMENTS", 3)
    for target in (f"/lookup/traces/{trace_hex(1)}", f"/tempo/api/search?q={quote('{ }')}&{RANGE}&limit=50&spss=100"):
        assert engine.asker.get(target).json == engine.embedded.get(target).json


def test_spans_of_many_pages_are_all_found(engine: Filled, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace_store, "_FIRST_PAGE", 2)
    monkeypatch.setattr(trace_store, "_PAGE", 3)
    for query in ("{ }", "{ kind = server }", "{ .rows != nil }"):
        target = f"/tempo/api/search?q={quote(query)}&{RANGE}&limit=50&spss=100"
        answer, expected = engine.asker.get(target).json, engine.embedded.get(target).json
        assert answer["traces"] == expected["traces"]
        assert len(answer["traces"]) > 1


def test_tags_are_fields(engine: Filled) -> None:
    scopes = {s["name"]: s["tags"] for s in engine.asker.get(f"/tempo/api/v2/search/tags?{RANGE}").json["scopes"]}
    assert {"deployment.environment", "service.name", "service.version"} <= set(scopes["resource"])
    assert {"http.route", "rows", "half", "many"} <= set(scopes["span"])
    assert not any(name.startswith("attributes") or "conflicts" in name for name in scopes["span"])


def test_every_query_finds_what_brute_force_finds(engine: Filled) -> None:
    for query, judge in FINDS.items():
        expected: dict[str, set[str]] = {}
        for one in seen():
            if judge(one):
                expected.setdefault(one.span.trace_id.hex(), set()).add(one.span.span_id.hex())
        answer = engine.asker.get(f"/tempo/api/search?q={quote(query)}&{RANGE}&limit=50&spss=100")
        assert answer.status == 200, (query, answer.body)
        got = {
            trace["traceID"]: {span["spanID"] for one in trace["spanSets"] for span in one["spans"]}
            for trace in answer.json["traces"]
        }
        assert got == expected, query


def test_a_look_up_reads_nothing_outside_its_indices(engine: Filled) -> None:
    other = of_namespace("elsewhere" + engine.namespace)
    sink = build("elasticsearch", ElasticsearchOptions(hosts=(engine.url,)), sink_context(decoder(), "other"))
    for batch in sink.prepare(other[2:3]).batches:
        sink.send(batch)
    sink.close()
    ask(f"{engine.url}/_refresh")
    options = engine.options.model_copy(update={"traces": f"traces-generic.otel-elsewhere{engine.namespace}"})
    elsewhere = Asker(ElasticsearchTraces(options, HttpClient([engine.url], ClientTls(), 20, 2)), max_range=YEARS)
    assert elsewhere.get("/api/services").json["data"] == ["worker"]
    assert elsewhere.get(f"/api/traces/{trace_hex(2)}").status == 404
    for service in ("../../_all", "*", "a/_search?q=*", "..%2f_cat%2findices", 'x"}}]}},"query":{"match_all":{}'):
        answer = elsewhere.get(f"/api/services/{quote(service, safe='')}/operations")
        assert answer.json["data"] is None


def test_an_index_that_is_not_there_has_no_traces(engine: Filled) -> None:
    options = engine.options.model_copy(update={"traces": "traces-nothing.otel-x", "logs": "logs-nothing.otel-x"})
    empty = Asker(ElasticsearchTraces(options, HttpClient([engine.url], ClientTls(), 20, 2)), max_range=YEARS)
    assert empty.get("/api/services").json["data"] == []
    assert empty.get(f"/api/traces/{trace_hex(1)}").status == 404
    assert empty.get(f"/tempo/api/search?q={quote('{}')}&{RANGE}").json["traces"] == []
    assert empty.get(f"/tempo/api/v2/search/tags?scope=span&{RANGE}").json["scopes"] == [{"name": "span", "tags": []}]


def test_an_engine_that_is_away_is_502(engine: Filled) -> None:
    away = Asker(ElasticsearchTraces(engine.options, HttpClient(["http://127.0.0.1:9"], ClientTls(), 2, 1)))
    answer = away.get("/api/services")
    assert answer.status == 502
    assert "cannot be reached" in answer.json["errors"][0]["msg"]


def test_a_check_finds_the_engine_with_and_without_spans(engine: Filled) -> None:
    found = health_check(engine.options, 20)
    assert (found.state, "can be searched" in found.detail) == ("ok", True)
    assert health_check(engine.options.model_copy(update={"traces": "traces-nothing.otel-x"}), 20).state == "ok"
