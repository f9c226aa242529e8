"""Requests exactly as Grafana's data sources of type Tempo and Jaeger send them, answered so that they are understood:
protobuf is read with the published messages, JSON by the fields that the plugins read."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData
from support.looking_up import Answer, Asker, filled
from support.lookup_traces import START, trace_hex

from sidecar.decode.select import decoder

SECONDS = START // 10**9
RANGE = f"start={SECONDS - 60}&end={SECONDS + 600}"
PROTOBUF = {"Accept": "application/protobuf"}


@pytest.fixture(scope="module")
def asker(tmp_path_factory: pytest.TempPathFactory) -> Asker:
    return Asker(filled(tmp_path_factory.mktemp("store"), decoder()), max_range=2 * 365 * 86_400)


def names(data: TracesData) -> list[str]:
    return sorted(s.name for r in data.resource_spans for c in r.scope_spans for s in c.spans)


@pytest.mark.parametrize("target", ["/api/traces/{id}", "/tempo/api/traces/{id}", "/tempo/api/traces/{id}?{range}"])
def test_a_trace_by_id_in_protobuf(asker: Asker, target: str) -> None:
    answer = asker.get(target.format(id=trace_hex(1), range=RANGE), **PROTOBUF)
    assert answer.headers["content-type"] == "application/protobuf"
    data = TracesData.FromString(answer.body)
    assert names(data) == ["POST /predict", "SELECT wine", "explain", "predict"]
    spans = {s.name: s for r in data.resource_spans for c in r.scope_spans for s in c.spans}
    failed = spans["SELECT wine"]
    assert (failed.kind, failed.status.code, failed.status.message) == (3, 2, "broken")
    assert failed.end_time_unix_nano - failed.start_time_unix_nano == 30_000_000
    assert failed.trace_id.hex() == trace_hex(1)
    assert {a.key: a.value.string_value or a.value.int_value for a in failed.events[0].attributes} == {
        "exception.type": "ValueError",
        "exception.message": "no such wine",
        "attempt": 2,
    }
    assert spans["explain"].links[0].trace_id.hex() == trace_hex(2)
    assert spans["explain"].trace_state == "vendor=1"
    assert [r.resource.attributes[0].value.string_value for r in data.resource_spans] == ["gateway", "wine-classifier"]


def test_a_trace_by_id_in_json(asker: Asker) -> None:
    answer = asker.get(f"/tempo/api/traces/{trace_hex(1)}", Accept="application/json").json
    spans = [s for b in answer["batches"] for c in b["scopeSpans"] for s in c["spans"]]
    assert len(spans) == 4
    # Ids in base64, enums by name: protobuf's JSON mapping.
    assert {s["traceId"] for s in spans} == {"AAAAAAAAAAAAAAAAAAAAAQ=="}
    assert spans[0]["kind"] == "SPAN_KIND_SERVER"
    assert spans[0]["status"] == {"message": "broken", "code": "STATUS_CODE_ERROR"}


def test_a_trace_by_id_of_the_second_version(asker: Asker) -> None:
    answer = asker.get(f"/tempo/api/v2/traces/{trace_hex(3)}?{RANGE}", **PROTOBUF)
    data = TracesData()
    # TraceByIDResponse: the trace is field 1, written first.
    assert answer.body[0] == 0x0A
    data.ParseFromString(_first_field(answer.body))
    assert names(data) == ["enqueue", "work"]
    in_json = asker.get(f"/api/v2/traces/{trace_hex(3)}").json
    assert len(in_json["trace"]["resourceSpans"]) == 1


def _first_field(message: bytes) -> bytes:
    length, place, shift = 0, 1, 0
    while True:
        byte = message[place]
        length |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return message[place : place + length]


@pytest.mark.parametrize("target", ["/tempo/api/traces/", "/tempo/api/v2/traces/", "/api/v2/traces/"])
def test_a_trace_that_is_not_there(asker: Asker, target: str) -> None:
    assert asker.get(target + trace_hex(99), **PROTOBUF).status == 404
    assert asker.get(target + "not-an-id", **PROTOBUF).status == 400


def test_a_search_as_the_query_builder_writes_it(asker: Asker) -> None:
    # Grafana sends the braces and quotes of q as they are.
    query = '{resource.service.name="gateway" && status=error} | select(span.http.route)'
    answer = asker.get(f"/tempo/api/search?q={query.replace(' ', '%20')}&limit=20&spss=3&{RANGE}").json
    (trace,) = answer["traces"]
    assert trace["traceID"] == trace_hex(1)
    assert (trace["rootServiceName"], trace["rootTraceName"]) == ("gateway", "POST /predict")
    assert (trace["startTimeUnixNano"], trace["durationMs"]) == (str(START), 60)
    assert trace["serviceStats"]["wine-classifier"] == {"spanCount": 3, "errorCount": 1}
    (one,) = trace["spanSets"]
    assert one["matched"] == 1
    attributes = {a["key"]: a["value"]["stringValue"] for a in one["spans"][0]["attributes"]}
    assert attributes == {"service.name": "gateway", "status": "error", "http.route": "/predict"}
    assert one["spans"][0]["durationNanos"] == "60000000"
    assert answer["metrics"]["completedJobs"] == answer["metrics"]["totalJobs"]


@pytest.mark.parametrize("tags", [{"many": '["a","b"]'}, {"yes": "true"}, {"whole": "2.0"}, {"big": str(2**53 + 1)}])
def test_a_tag_is_found_by_the_text_that_is_shown(asker: Asker, tags: dict[str, str]) -> None:
    shown = asker.get(f"/api/traces/{trace_hex(4)}").json["data"][0]["spans"][0]["tags"]
    ((key, text),) = tags.items()
    assert text in [
        json.dumps(t["value"]) if not isinstance(t["value"], str) else t["value"] for t in shown if t["key"] == key
    ]
    window = f"start={START // 1000 - 60_000_000}&end={START // 1000 + 600_000_000}"
    answer = asker.get(f"/api/traces?service=odd&tags={quote(json.dumps(tags))}&limit=20&{window}")
    assert [t["traceID"].zfill(32) for t in answer.json["data"]] == [trace_hex(4)]


def test_values_of_an_array_are_its_elements(asker: Asker) -> None:
    values = asker.get(f"/tempo/api/v2/search/tag/span.many/values?{RANGE}").json["tagValues"]
    assert values == [{"type": "string", "value": "a"}, {"type": "string", "value": "b"}]


def test_the_structure_of_traces_as_drilldown_asks_for_it(asker: Asker) -> None:
    """Grafana draws the tree of spans from the nested sets alone."""
    fields = "status, resource.service.name, name, nestedSetParent, nestedSetLeft, nestedSetRight"
    query = f"{{nestedSetParent<0 && status=error}} &>> {{status=error}} | select({fields})"
    (trace,) = asker.get(f"/tempo/api/search?q={quote(query)}&limit=20&spss=20&{RANGE}").json["traces"]
    sets = {
        span["name"]: [
            int(a["value"]["intValue"])
            for name in ("nestedSetParent", "nestedSetLeft", "nestedSetRight")
            for a in span["attributes"]
            if a["key"] == name
        ]
        for span in trace["spanSets"][0]["spans"]
    }
    # POST /predict (1, 8) has predict (2, 7), which has SELECT wine (3, 4) and explain (5, 6).
    assert sets == {"POST /predict": [-1, 1, 8], "SELECT wine": [2, 3, 4]}


@pytest.mark.parametrize(
    "tags",
    [
        "service.name=wine-classifier db.system=postgresql",
        ' service.name="wine-classifier"  db.system="postgresql" ',
        'ml.model.name="wine"',
    ],
)
def test_tags_of_older_versions(asker: Asker, tags: str) -> None:
    answer = asker.get(f"/tempo/api/search?tags={quote(tags)}&{RANGE}")
    assert [t["traceID"] for t in answer.json["traces"]] == [trace_hex(1)]


def test_quoted_tags_hold_blanks_and_quotes(asker: Asker) -> None:
    for tags in ('a="x y"', 'a="say \\"hi\\" = c:\\\\dir" b=1'):
        answer = asker.get(f"/tempo/api/search?tags={quote(tags)}&{RANGE}")
        assert (answer.status, answer.json["traces"]) == (200, [])
    for tags in ("a", 'a="x y', "a=1 b", '="x"'):
        answer = asker.get(f"/tempo/api/search?tags={quote(tags)}&{RANGE}")
        assert (answer.status, b"invalid tags" in answer.body) == (400, True)


def test_limits_of_a_search(asker: Asker) -> None:
    found = asker.get(f"/tempo/api/search?q={quote('{}')}&limit=2&spss=1&{RANGE}").json["traces"]
    assert [t["traceID"] for t in found] == [trace_hex(4), trace_hex(3)]
    assert [(len(t["spanSet"]["spans"]), t["spanSet"]["matched"]) for t in found] == [(1, 1), (1, 2)]
    assert asker.get("/tempo/api/search?limit=-1").status == 400
    assert asker.get(f"/tempo/api/search?q={quote('{}')}&start={SECONDS}&end={SECONDS - 1}").status == 400
    assert b"lookup.max_range" in asker.get(f"/tempo/api/search?q={quote('{}')}&start=1&end={SECONDS}").body


def test_a_search_in_the_older_words(asker: Asker) -> None:
    target = f"/tempo/api/search?tags={quote('service.name=worker messaging.system=kafka')}&minDuration=1s&{RANGE}"
    assert [t["traceID"] for t in asker.get(target).json["traces"]] == [trace_hex(3)]


def _get(asker: Asker, target: str) -> Any:
    answer: Answer = asker.get(target)
    assert answer.status == 200, answer.body
    return answer.json


def test_tags_and_their_values(asker: Asker) -> None:
    scopes = {s["name"]: s["tags"] for s in _get(asker, f"/tempo/api/v2/search/tags?limit=5000&{RANGE}")["scopes"]}
    assert {"http.route", "ml.model.name", "rows"} <= set(scopes["span"])
    assert scopes["resource"] == ["deployment.environment", "service.name", "service.version"]
    assert {"name", "duration", "status", "kind"} <= set(scopes["intrinsic"])
    only = _get(asker, f"/tempo/api/v2/search/tags?scope=resource&{RANGE}")["scopes"]
    assert [s["name"] for s in only] == ["resource"]
    assert "http.route" in _get(asker, f"/tempo/api/search/tags?{RANGE}")["tagNames"]

    def values(name: str, **more: str) -> list[tuple[str, str]]:
        # The plugin encodes the name, and Grafana's proxy encodes it again.
        query = "".join(f"&{key}={quote(value)}" for key, value in more.items())
        target = f"/tempo/api/v2/search/tag/{quote(quote(name, safe=''), safe='')}/values?limit=5000{query}&{RANGE}"
        return [(v["type"], v["value"]) for v in _get(asker, target)["tagValues"]]

    assert [v for _, v in values("resource.service.name")] == ["gateway", "odd", "wine-classifier", "worker"]
    assert values("span.http.status_code") == [("int", "200"), ("int", "500")]
    assert values("span.half") == [("float", "0.5")]
    assert values(".http.route") == [("string", "/health"), ("string", "/predict")]
    assert values("span.http.route", q='{resource.service.name="wine-classifier"}') == [("string", "/predict")]
    # What is typed so far need not be a query.
    assert len(values("span.http.route", q='{resource.service.name="wi')) == 2
    assert ("keyword", "error") in values("status")
    assert ("string", "enqueue") in values("name")
    assert values("span.nothing") == []
    assert _get(asker, f"/tempo/api/search/tag/service.name/values?{RANGE}")["tagValues"][0] == "gateway"


def test_metrics_over_time(asker: Asker) -> None:
    query = quote("{ } | count_over_time() by (resource.service.name)")
    answer = _get(asker, f"/tempo/api/metrics/query_range?q={query}&{RANGE}&step=60s&exemplars=100")
    got = {
        s["labels"][0]["value"]["stringValue"]: sum(point["value"] for point in s["samples"]) for s in answer["series"]
    }
    assert got == {"gateway": 2, "wine-classifier": 3, "worker": 2, "odd": 1}
    assert answer["series"][0]["promLabels"] == '{resource.service.name="gateway"}'
    assert answer["series"][0]["exemplars"][0]["labels"][0]["value"]["stringValue"] in (trace_hex(1), trace_hex(2))
    rate = _get(asker, f"/tempo/api/metrics/query_range?q={quote('{ } | rate()')}&{RANGE}&step=30")["series"]
    assert sum(point["value"] for point in rate[0]["samples"]) * 30 == pytest.approx(8)
    quantile = quote("{ resource.service.name = `wine-classifier` } | quantile_over_time(duration, 0.5)")
    (median,) = _get(asker, f"/tempo/api/metrics/query_range?q={quantile}&{RANGE}&step=1h")["series"]
    assert [p["value"] for p in median["samples"]] == [pytest.approx(0.030)]
    now = _get(asker, f"/tempo/api/metrics/query?q={quote('{ } | max_over_time(duration)')}&{RANGE}")["series"]
    assert now[0]["value"] == pytest.approx(2.5)
    for wrong in ("{ }", "{ traceDuration > 1s } | rate()", "{ } && { } | rate()"):
        assert asker.get(f"/tempo/api/metrics/query_range?q={quote(wrong)}&{RANGE}").status == 400


def test_what_grafana_asks_to_know_whom_it_talks_to(asker: Asker) -> None:
    assert asker.get("/tempo/api/echo").body == b"echo"
    assert asker.get("/tempo/ready").body == b"ready\n"
    assert "version" in _get(asker, "/tempo/api/status/buildinfo")


def test_jaegers_requests(asker: Asker) -> None:
    micro = f"start={START // 1000 - 10**6}&end={START // 1000 + 10**9}"
    assert _get(asker, "/api/services")["data"] == ["gateway", "odd", "wine-classifier", "worker"]
    assert _get(asker, "/api/services/gateway/operations")["data"] == ["GET /health", "POST /predict"]
    tags = quote(json.dumps({"http.status_code": "500"}))
    target = f"/api/traces?service=gateway&operation=POST%20%2Fpredict&tags={tags}&minDuration=1ms&limit=20&{micro}"
    (trace,) = _get(asker, target)["data"]
    assert len(trace["spans"]) == 4
    assert len(_get(asker, f"/api/traces/{trace_hex(1)}?{micro}")["data"][0]["spans"]) == 4
    assert _get(asker, "/api/v3/operations?service=worker")["operations"][0]["name"] == "enqueue"


def test_the_programs_own_words(asker: Asker) -> None:
    listed = _get(asker, "/lookup/traces?service=worker")["traces"]
    assert [(t["traceId"], t["spanCount"]) for t in listed] == [(trace_hex(3), 2)]
    assert len(_get(asker, f"/lookup/traces?q={quote('{ status = error }')}")["traces"]) == 1
    assert len(_get(asker, f"/lookup/traces/{trace_hex(1)}")["spans"]) == 4
    missing = asker.get(f"/lookup/traces/{trace_hex(99)}")
    assert (missing.status, "retention" in missing.json["message"]) == (404, True)
    for asked in ("x" * 500, "g" * 32, "0" * 32, "%00", trace_hex(1) + "0"):
        assert asker.get(f"/lookup/traces/{asked}").status == 400
