"""Attributes that are arrays, as SDKs and semantic conventions have them, in real engines: every document is stored,
found by each element, and read as it was sent."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.engines import (
    SearchEngine,
    elasticsearch8,
    elasticsearch9,
    opensearch,
    sidecar_process,
    wait_for,
)
from support.load import samples, scrape, total, waiting
from support.search_client import SPANS, ask, documents

from sidecar.lookup.document_traces import span_of

pytestmark = [pytest.mark.engine, pytest.mark.slow]
RESOURCE = {"process.command_args": ["java", "-jar", "app.jar"], "host.ip": ["10.0.0.1"], "service.name": "shop"}
ATTRIBUTES: list[dict[str, Any]] = [
    {"http.request.header.accept": ["text/html", "*/*"], "http.route": "/a"},
    {"http.request.header.accept": ["text/html"], "plain": ["one", "two"]},
    {"gen_ai.response.finish_reasons": ["stop", "length"], "gen_ai.usage.input_tokens": 3, "sizes": [1, 2, 3]},
    {"http.request.header.accept": "text/html", "plain": "one", "flags": [True, False]},  # The same names, no arrays.
    {"other.sub": ["three"], "empty": []},
]


@pytest.fixture(scope="module", params=[opensearch, elasticsearch9, elasticsearch8], ids=lambda e: e.__name__)
def node(request: pytest.FixtureRequest) -> Iterator[SearchEngine]:
    with request.param() as engine:
        yield engine


def _value(value: Any) -> dict[str, Any]:
    match value:
        case list():
            return {"arrayValue": {"values": [_value(element) for element in value]}}
        case bool():
            return {"boolValue": value}
        case int():
            return {"intValue": str(value)}
        case _:
            return {"stringValue": value}


def _attributes(given: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": name, "value": _value(value)} for name, value in given.items()]


def _request() -> bytes:
    spans = [
        {
            "traceId": f"{n + 1:032x}",
            "spanId": f"{n + 1:016x}",
            "name": str(n),
            "startTimeUnixNano": "1760000000000000000",
            "endTimeUnixNano": "1760000000100000000",
            "attributes": _attributes(given),
        }
        for n, given in enumerate(ATTRIBUTES)
    ]
    scope = {"scope": {"name": "s", "attributes": _attributes({"scope.tags": ["x", "y"]})}, "spans": spans}
    return json.dumps(
        {"resourceSpans": [{"resource": {"attributes": _attributes(RESOURCE)}, "scopeSpans": [scope]}]}
    ).encode()


def test_arrays_are_stored_found_and_read(node: SearchEngine, tmp_path: Path) -> None:
    environ = {"SIDECAR_DELIVER__ELASTICSEARCH__HOSTS": node.url, "SIDECAR_DELIVER__STORE__ENABLED": "false"}
    with sidecar_process(environ, tmp_path) as running:
        request = urllib.request.Request(
            f"{running.otlp_url}/v1/traces", _request(), {"Content-Type": "application/json"}
        )
        urllib.request.urlopen(request, timeout=60).close()
        wait_for(lambda: not waiting(running.serve_url), 60, "the spans to be delivered")
        values = samples(scrape(running.serve_url) or "")
    assert total(values, "sidecar_dead_letters") == 0
    fields = ["@timestamp", "attributes", "resource", "scope", "name", "trace_id", "span_id", "duration", "kind"]
    stored = {document["name"]: span_of(document) for document in documents(node.url, SPANS, fields)}
    assert {name: span.attributes for name, span in stored.items()} == {str(n): a for n, a in enumerate(ATTRIBUTES)}
    assert all(span.resource == RESOURCE for span in stored.values())
    assert all(span.scope.attributes == {"scope.tags": ["x", "y"]} for span in stored.values())
    assert _found(node, "attributes.http.request.header.accept", "text/html") == {"0", "1", "3"}
    assert _found(node, "attributes.http.request.header.accept", "*/*") == {"0"}
    assert _found(node, "attributes.gen_ai.response.finish_reasons", "length") == {"2"}
    assert _found(node, "attributes.sizes", 2) == {"2"}
    assert _found(node, "attributes.plain", "two") == {"1"}
    assert _found(node, "attributes.other.sub", "three") == {"4"}
    assert _found(node, "resource.attributes.process.command_args", "-jar") == set(stored)


def _found(node: SearchEngine, field: str, value: Any) -> set[str]:
    query = {"size": 100, "query": {"term": {field: value}}}
    return {hit["_source"]["name"] for hit in ask(f"{node.url}/{SPANS}/_search", query)["hits"]["hits"]}
