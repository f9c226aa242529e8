"""Documents: the golden files, and what they cannot show."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from support.document_cases import CASES, GOLDEN, documents_of, lines_of
from support.payloads import event, log, logs_payload, span, trace_payload

from sidecar.decode.python import ReferenceDecoder
from sidecar.decode.select import native_decoder

DECODER = ReferenceDecoder()
NATIVE = native_decoder()


@pytest.mark.parametrize("case", CASES)
def test_golden(case: str) -> None:
    assert documents_of(lines_of(DECODER, case)) == (GOLDEN / f"{case}.json").read_text(encoding="utf-8")


@pytest.mark.skipif(NATIVE is None, reason="the native core is not installed")
@pytest.mark.parametrize("case", CASES)
def test_golden_of_the_native_core(case: str) -> None:
    assert NATIVE is not None
    assert documents_of(lines_of(NATIVE, case)) == (GOLDEN / f"{case}.json").read_text(encoding="utf-8")


def test_no_golden_file_without_a_case() -> None:
    assert {path.stem for path in GOLDEN.glob("*.json")} == set(CASES)


def test_ends_events_and_docs() -> None:
    payloads = [trace_payload(span(events=[event(), event()]), span()), b"", trace_payload(span(trace_id=b"x"), span())]
    lines = DECODER.span_lines(payloads)
    assert lines.docs == [4, 0, 1]
    assert lines.event.tolist() == [0, 1, 1, 0, 0]
    begins = [0, *lines.ends.tolist()]
    for begin, end in pairwise(begins):
        action, source, rest = lines.body[begin:end].split(b"\n")
        assert json.loads(action)["create"]["_id"]
        assert json.loads(source)["data_stream"]
        assert rest == b""
    assert begins[-1] == len(lines.body)


def test_ids_of_logs_count_accepted_records_of_each_payload() -> None:
    lines = DECODER.log_lines([logs_payload(log(), log(trace_id=b"x"), log()), logs_payload(log())], ["a-1", 'b"2'])
    actions = [json.loads(line) for line in lines.body.decode().split("\n")[:-1:2]]
    assert [action["create"]["_id"] for action in actions] == ["a-1-0", "a-1-1", 'b"2-0']


def test_text_that_is_not_utf8_gives_valid_json() -> None:
    payload = trace_payload(span("BROKEN", attributes={"BROKEN": "BROKEN"})).replace(
        b"BROKEN", b"\xed\xa0\x80\xff\n\x00"
    )
    body = DECODER.span_lines([payload]).body
    source = json.loads(body.split(b"\n")[1].decode("utf-8", "strict"))
    assert source["name"] == "����\n\x00"
    assert source["attributes"] == {source["name"]: source["name"]}
