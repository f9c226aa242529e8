"""The answers of Jaeger's API beside those of the real Jaeger 1.76, versions 1 and 2 (`support.jaeger.golden`), field
by field.

`DIFFERENT` is the list of what differs, with the reason, and `ONLY_V1` that of questions to which version 2 has another
answer than version 1, which is ours; everything else is equal, but for the order of spans and of the processes' names,
which Jaeger itself changes from one answer to the next.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.jaeger.golden import GOLDEN
from support.looking_up import Asker, filled
from support.lookup_traces import START

from sidecar.decode.select import decoder

ANSWERS = {version: json.loads(path.read_text("utf-8")) for version, path in GOLDEN.items()}
CASES = [(version, case) for version, cases in ANSWERS.items() for case in cases]
MESSAGES = "the words of an error are our own"
DIFFERENT = {
    "raw": "bytes are kept as text in hex, as documents show them; Jaeger has base64, and type binary",
    "many": "an array is an array; Jaeger's own model turns it into text, in v3 too",
    "endTimeUnixNano": "in nanoseconds; Jaeger's own model has microseconds",
    "opentracing.ref_type": "Jaeger makes this attribute of a link out of its reference; ours are those that were sent",
}


ONLY_V1 = {
    "tags=%7B%22error%22": "its memory gives traces with status OK for error=true; with a status of Error by us",
    "tags=%7B%22span.kind%22": "its memory knows attributes only, not the span's kind",
    "/api/dependencies?endTs=1790001000000&lookback=3600000": "it counts calls within one service too",
    "/api/v3/traces?query.": "it refuses searches without query.num_traces with 500; ours give 100 traces",
}
"""A part of the question -> why."""


@pytest.fixture(scope="module")
def asker(tmp_path_factory: pytest.TempPathFactory) -> Asker:
    return Asker(filled(tmp_path_factory.mktemp("store"), decoder()), max_range=2 * 365 * 86_400)


@pytest.mark.parametrize(("version", "case"), CASES, ids=[f"{version} {case['ask']}" for version, case in CASES])
def test_an_answer_is_jaegers(asker: Asker, version: str, case: dict[str, Any]) -> None:
    answer = asker.get(case["ask"])
    same = answer.status == case["status"] and _plain(answer.json) == _plain(case["answer"])
    if same or not (version == "v2" and _differs(case["ask"])):
        assert answer.status == case["status"]
        assert _plain(answer.json) == _plain(case["answer"])
    # Otherwise it stands in the list: its answer of version 1 is another case.


def test_what_is_listed_does_differ(asker: Asker) -> None:
    by_ask = {case["ask"]: case for case in ANSWERS["v1"]}
    different = [
        case["ask"]
        for case in ANSWERS["v2"]
        if (case["status"], _plain(case["answer"]))
        != (by_ask[case["ask"]]["status"], _plain(by_ask[case["ask"]]["answer"]))
    ]
    assert [ask for ask in different if not _differs(ask)] == []
    assert all(any(part in ask for ask in different) for part in ONLY_V1)


def _differs(ask: str) -> bool:
    return any(part in ask for part in ONLY_V1) and "num_traces" not in ask


@pytest.mark.parametrize("version", ANSWERS)
def test_the_golden_answers_are_about_something(version: str) -> None:
    assert sum(case["status"] == 200 for case in ANSWERS[version]) > 30
    assert {case["status"] for case in ANSWERS[version]} >= {200, 400, 404}
    assert START > 0
    assert GOLDEN[version].stat().st_size > 50_000


def _plain(answer: Any) -> Any:
    """An answer without what may differ: see the head of this file."""
    if isinstance(answer, dict) and answer.get("errors"):
        return {**answer, "errors": [{"code": e["code"], "msg": MESSAGES} for e in answer["errors"]]}
    if isinstance(answer, dict) and "error" in answer:
        return {"error": {"httpCode": answer["error"]["httpCode"], "message": MESSAGES}}
    if isinstance(answer, dict) and "result" in answer:
        return _v3(answer["result"]["resourceSpans"])
    if isinstance(answer, dict) and isinstance(answer.get("data"), list):
        data = [_trace(one) if isinstance(one, dict) and "spans" in one else one for one in answer["data"]]
        return {**answer, "data": sorted(data, key=lambda one: json.dumps(one, sort_keys=True))}
    if isinstance(answer, dict) and set(answer) in ({"services"}, {"operations"}):
        return {key: sorted(value, key=json.dumps) for key, value in answer.items()}
    return answer


def _trace(trace: dict[str, Any]) -> dict[str, Any]:
    spans = [
        {**span, "processID": trace["processes"][span["processID"]], "tags": _without(span["tags"])}
        for span in trace["spans"]
    ]
    return {**trace, "spans": sorted(spans, key=lambda s: s["spanID"]), "processes": None}


def _without(tags: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [tag for tag in tags if tag["key"] not in DIFFERENT]


def _v3(parts: list[dict[str, Any]]) -> list[Any]:
    """(resource, scope, span) of each span."""
    found = []
    for part in parts:
        for scoped in part["scopeSpans"]:
            for span in scoped["spans"]:
                plain = {**span, "attributes": _sorted(span.get("attributes", []))}
                plain["endTimeUnixNano"] = int(span["endTimeUnixNano"]) // 1_000
                plain["links"] = [{**n, "attributes": []} for n in span.get("links", [])]
                plain["events"] = [{**e, "attributes": _sorted(e["attributes"])} for e in span.get("events", [])]
                found.append([_sorted(part["resource"]["attributes"]), scoped["scope"], plain])
    return sorted(found, key=lambda row: row[2]["spanId"])


def _sorted(attributes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(_without(attributes), key=lambda attribute: attribute["key"])
