from __future__ import annotations

import json

import pytest
from support.delivery import START, ids, logs_payload, spans_payload

from sidecar.decode.api import Lines
from sidecar.decode.python import ReferenceDecoder
from sidecar.deliver.elasticsearch.index_patterns import Namer, problem, wildcard, without_ids

DECODER = ReferenceDecoder()
DAY = 86_400 * 10**9


def targets(lines: Lines) -> list[str]:
    return [json.loads(row)["create"]["_index"] for row in lines.body.split(b"\n")[0:-1:2]]


def test_the_name_is_of_the_documents_own_time_and_type() -> None:
    named = Namer("{type}-%Y.%m.%d-%H").retarget(DECODER.span_lines([spans_payload(1, events=1, start=START + DAY)]))
    assert targets(named) == ["traces-2023.11.15-22", "logs-2023.11.15-22"]
    logs = DECODER.log_lines([logs_payload("a", "b")], ["j-1"])
    assert targets(Namer("plain").retarget(logs)) == ["plain", "plain"]


def test_nothing_but_the_name_changes() -> None:
    lines = DECODER.span_lines([spans_payload(3, events=1), spans_payload(1, first=9)])
    named = Namer("a-much-longer-name-than-that-of-the-stream-{type}").retarget(lines)
    assert ids(named) == ids(lines)
    assert named.body.split(b"\n")[1::2] == lines.body.split(b"\n")[1::2]
    assert named.docs == lines.docs
    assert named.event.tolist() == lines.event.tolist()
    begins = [0, *named.ends.tolist()]
    assert begins[-1] == len(named.body)
    assert all(named.body[b : b + 10] == b'{"create":' for b in begins[:-1])
    assert Namer("x").retarget(Lines(b"", lines.ends[:0], lines.event[:0], [0])).body == b""


@pytest.mark.parametrize("start", [0, 2**63 - 10**10])
def test_times_at_the_ends_of_the_calendar_have_a_name_too(start: int) -> None:
    (name,) = targets(Namer("{type}-%Y").retarget(DECODER.span_lines([spans_payload(1, start=start)])))
    assert name in ("traces-1970", "traces-2262")


def test_ids_are_left_out_and_nothing_else() -> None:
    body = DECODER.log_lines([logs_payload('{"create":{"_index":"a","_id":"b"}}')], ["j-1"]).body
    bare = without_ids(body).split(b"\n")
    assert json.loads(bare[0]) == {"create": {"_index": "logs-generic.otel-default"}}
    assert bare[1:] == body.split(b"\n")[1:]


@pytest.mark.parametrize("pattern", ["logs-%Y.%m.%d", "{type}", "model_logs-{type}-%H", "a"])
def test_patterns_that_may_be(pattern: str) -> None:
    assert problem(pattern) is None


@pytest.mark.parametrize("pattern", ["Logs", "%Y", "-a", "a b", "a%S", "a{kind}", "a*", "a,b", "a/b", ".a", "a" * 300])
def test_patterns_that_may_not_be(pattern: str) -> None:
    assert problem(pattern)


def test_wildcards_cover_the_names() -> None:
    assert wildcard("{type}-%Y.%m.%d", "logs") == "logs-*"
    assert wildcard("m-{type}-%Y-x", "traces") == "m-traces-*-x"
    assert wildcard("plain", "logs") == "plain"
