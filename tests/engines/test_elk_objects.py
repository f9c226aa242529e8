"""Everything in the dashboards is asked of real engines, which real sidecars filled: no panel is empty by construction,
and every field that an object names is a field of the data."""

from __future__ import annotations

import json
import re
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from opentelemetry.proto.logs.v1.logs_pb2 import SeverityNumber
from support import saved_objects
from support.engines import elasticsearch9, opensearch, sidecar_command, sidecar_process, wait_for
from support.load import waiting
from support.payloads import event, log, logs_payload, resource, span, trace_payload
from support.search_client import ask

OBJECTS = saved_objects.shipped()
ASKING = [key for key in OBJECTS if key[0] in ("search", "visualization") and key[1] != "sidecar-one-trace-help"]
SECOND = 10**9
TRACE = bytes(range(1, 17))
SPAN = bytes(range(1, 9))


@dataclass(frozen=True)
class Filled:
    url: str

    def search(self, index: str, body: Any) -> dict[str, Any]:
        return ask(f"{self.url}/{index}/_search", body)


def documents() -> tuple[bytes, bytes]:
    """(spans, logs) of a service with a classifier, and of one that asks a generative model."""
    now = time.time_ns()
    of = resource("shop", attributes={"k8s.pod.name": "shop-0"})
    http = {"http.route": "/predict", "http.request.method": "POST", "http.response.status_code": 200}
    model = {"ml.model.name": "wine", "ml.model.version": "7", "ml.stage": "inference", "ml.operation": "predict"}
    failed = event("exception", now, attributes={"exception.type": "ValueError", "exception.message": "bad row"})
    spans = trace_payload(
        span("POST /predict", trace_id=TRACE, span_id=SPAN, start=now, duration=2 * SECOND, attributes=http),
        span("predict", kind=1, span_id=b"\x02" * 8, start=now, duration=SECOND // 100, attributes=model),
        span(
            "POST /predict",
            span_id=b"\x03" * 8,
            start=now,
            duration=SECOND // 50,
            status=2,
            message="bad row",
            attributes=http | {"http.response.status_code": 500},
            events=[failed],
        ),
        span(
            "chat",
            kind=3,
            span_id=b"\x04" * 8,
            start=now,
            duration=SECOND,
            attributes={
                "gen_ai.operation.name": "chat",
                "gen_ai.request.model": "small",
                "gen_ai.usage.input_tokens": 12,
                "gen_ai.usage.output_tokens": 34,
            },
        ),
        of=of,
    )
    logs = logs_payload(
        log("started", time=now, severity=SeverityNumber.SEVERITY_NUMBER_INFO, text="INFO"),
        log(
            "could not predict",
            time=now,
            severity=SeverityNumber.SEVERITY_NUMBER_ERROR,
            text="ERROR",
            trace_id=TRACE,
            span_id=SPAN,
            attributes={"exception.type": "ValueError"},
        ),
        log(
            {"rows": 3},
            time=now,
            severity=9,
            text="INFO",
            trace_id=TRACE,
            span_id=b"\x02" * 8,
            event_name="ml.prediction",
            attributes=model | {"ml.prediction.count": 3, "ml.prediction.duration": 0.01},
        ),
        of=of,
    )
    return spans, logs


@contextmanager
def filled(url: str) -> Iterator[Filled]:
    settings = {"SIDECAR_DELIVER__ELASTICSEARCH__HOSTS": url}
    with sidecar_process(settings) as sidecar:
        for path, body in zip(("traces", "logs"), documents(), strict=True):
            request = urllib.request.Request(
                f"{sidecar.otlp_url}/v1/{path}", body, {"Content-Type": "application/x-protobuf"}
            )
            with urllib.request.urlopen(request, timeout=60) as reply:
                assert reply.status == 200
        wait_for(lambda: waiting(sidecar.serve_url) == 0, 60, "everything to be delivered")
    ask(f"{url}/traces-*,logs-*/_refresh")
    yield Filled(url)


@pytest.fixture(scope="module", params=[opensearch, elasticsearch9], ids=["opensearch", "elasticsearch9"])
def engine(request: pytest.FixtureRequest) -> Iterator[Filled]:
    """A node of its own: the dashboards look at all traces and logs, which other tests map in their own ways."""
    with request.param() as node:
        setup(node.url)
        with filled(node.url) as engine:
            yield engine


def setup(url: str) -> None:
    done = subprocess.run(
        [sidecar_command(), "setup", "elasticsearch", "--url", url], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("key", ASKING, ids=lambda key: key[1])
def test_it_shows_something(engine: Filled, key: tuple[str, str]) -> None:
    saved = OBJECTS[key]
    answer = engine.search(saved_objects.index(saved), saved_objects.search(saved))
    assert answer["_shards"]["failed"] == 0
    assert saved_objects.empty(saved, answer) == ""


def test_every_field_that_an_object_names_is_in_the_mapping(engine: Filled) -> None:
    known = {}
    for view in ("sidecar-traces", "sidecar-logs"):
        pattern = OBJECTS["index-pattern", view]["attributes"]["title"]
        capabilities = ask(f"{engine.url}/{pattern}/_field_caps?fields=*", method="GET")["fields"]
        known[view] = set(capabilities)
    for key, saved in OBJECTS.items():
        if key[0] == "index-pattern":
            assert saved_objects.fields(saved) - known[key[1]] == set(), key
        elif key in ASKING:
            assert saved_objects.fields(saved) - known[saved_objects.data_view(saved)] == set(), key


def test_what_is_aggregated_can_be(engine: Filled) -> None:
    for key in ASKING:
        saved = OBJECTS[key]
        if key[0] != "visualization":
            continue
        for agg in saved_objects.visual(saved)["aggs"]:
            field = agg["params"].get("field")
            if field is not None:
                target = f"{engine.url}/{saved_objects.index(saved)}/_field_caps?fields={urllib.parse.quote(field)}"
                types = ask(target, method="GET")["fields"][field]
                assert all(t["aggregatable"] for t in types.values()), (key, field)


def test_links_lead_from_spans_to_log_records_and_back(engine: Filled) -> None:
    """What a click on an id asks is what the dashboard then shows: the trace's spans, and its log records."""
    for view in ("sidecar-traces", "sidecar-logs"):
        formats = json.loads(OBJECTS["index-pattern", view]["attributes"]["fieldFormatMap"])
        for field, value in (("trace_id", TRACE.hex()), ("span_id", SPAN.hex())):
            url = urllib.parse.unquote(formats[field]["params"]["urlTemplate"]).replace("{{value}}", value)
            dashboard = re.search(r"#/view/([\w-]+)\?", url)
            query = re.search(r"query:'([^']+)'", url)
            assert dashboard is not None
            assert query is not None
            shown = OBJECTS["dashboard", dashboard[1]]["references"]
            for panel in (OBJECTS[r["type"], r["id"]] for r in shown if r["type"] == "search"):
                both = {"bool": {"filter": [saved_objects.kql(query[1]), saved_objects.search(panel)["query"]]}}
                found = engine.search(saved_objects.index(panel), {"query": both})["hits"]["hits"]
                assert found, (view, field, panel["id"])
                assert all(hit["_source"][field] == value for hit in found)


def test_an_error_that_is_none_is_not_shown(engine: Filled) -> None:
    """The queries can fail: what they are to leave out is left out."""
    errors = OBJECTS["search", "sidecar-log-errors"]
    found = engine.search(saved_objects.index(errors), saved_objects.search(errors))["hits"]["hits"]
    assert "started" not in [hit["_source"].get("body", {}).get("text") for hit in found]
    slow = OBJECTS["search", "sidecar-slow-requests"]
    found = engine.search(saved_objects.index(slow), saved_objects.search(slow))["hits"]["hits"]
    assert {hit["_source"]["duration"] >= SECOND for hit in found} == {True}


def test_lines_of_other_shippers_get_the_same_shape(opensearch_url: str) -> None:
    """Elasticsearch's distribution for tests has no ingest processors; they are the same on both engines."""
    setup(opensearch_url)
    line = {"level": "warning", "message": "low stock", "ts": 1700000000.25, "traceId": TRACE.hex(), "user": {"id": 3}}
    shipped = {
        "@timestamp": "2026-01-01T00:00:00Z",
        "agent": {"type": "filebeat"},
        "host": {"name": "node-1"},
        "kubernetes": {"namespace": "shop", "pod": {"name": "shop-0"}, "container": {"name": "web"}},
        "log": {"file": {"path": "/var/log/x"}, "offset": 9},
        "stream": "stderr",
    }
    sent = [
        shipped | {"message": json.dumps(line | {"service": "shop"})},
        {"message": "no JSON {"},
        {"message": "{broken"},
        {"severity": "ERROR", "msg": "boom", "time": "2026-01-02T03:04:05.678Z", "n": 3},
    ]
    body = {"docs": [{"_source": document} for document in sent]}
    simulated = ask(f"{opensearch_url}/_ingest/pipeline/sidecar-json-logs/_simulate", body)
    full, plain, broken, parsed = (document["doc"]["_source"] for document in simulated["docs"])
    assert full == {
        "@timestamp": "2023-11-14T22:13:20.250Z",
        "trace_id": TRACE.hex(),
        "severity_text": "warning",
        "severity_number": 13,
        "body": {"text": "low stock"},
        "attributes": {"user": {"id": 3}, "log.file.path": "/var/log/x", "log.iostream": "stderr"},
        "resource": {
            "attributes": {
                "service.name": "shop",
                "host.name": "node-1",
                "k8s.namespace.name": "shop",
                "k8s.pod.name": "shop-0",
                "k8s.container.name": "web",
            }
        },
    }
    assert (plain["body"], broken["body"]) == ({"text": "no JSON {"}, {"text": "{broken"})
    assert {"@timestamp"} <= plain.keys() & broken.keys(), "a line without a time gets that of its arrival"
    assert (parsed["@timestamp"], parsed["severity_number"]) == ("2026-01-02T03:04:05.678Z", 17)
    assert parsed["attributes"] == {"n": 3}
