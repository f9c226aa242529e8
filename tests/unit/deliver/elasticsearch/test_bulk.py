from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.delivery import entry, ids, logs_payload, spans_payload

from sidecar.decode.python import ReferenceDecoder
from sidecar.deliver.common.documents import Documents, collect, pick, split
from sidecar.deliver.common.http import Reply
from sidecar.deliver.elasticsearch.bulk import CONFLICT_AS_TEXT, ResponseClassifier
from sidecar.deliver.elasticsearch.conflicts import KEY
from sidecar.deliver.sink import Retry, SendResult

DECODER = ReferenceDecoder()
classify = ResponseClassifier("elasticsearch", lambda: 42).classify_response
POISON = {"type": "document_parsing_exception", "reason": "[1:20] failed to parse field [attributes.n] of type [long]"}
BUSY = {"type": "es_rejected_execution_exception", "reason": "rejected execution of coordinating operation"}


def documents() -> Documents:
    """Two entries: 2 spans with an event each (4 documents), and 1 span: 5 documents in all."""
    entries = [entry(10, spans_payload(2, events=1), 2, 2), entry(11, spans_payload(1, first=9), 1)]
    return collect(DECODER.span_lines([e.payload for e in entries]), entries)


def items(*outcomes: tuple[int, Any]) -> Reply:
    rows = [{"create": {"status": s} | ({"error": error} if error else {})} for s, error in outcomes]
    return Reply(200, json.dumps({"errors": True, "items": rows}).encode())


def again(result: SendResult[Documents]) -> Retry[Documents]:
    assert result.retry is not None
    return result.retry


def counted(result: SendResult[Documents]) -> dict[int, Counter[tuple[str, str, str]]]:
    total: dict[int, Counter[tuple[str, str, str]]] = {}
    for settled in result.settled:
        total.setdefault(settled.seq, Counter()).update(settled.counts)
    return total


@pytest.mark.parametrize(
    "body",
    [b'{"errors":false,"items":[]}', b'{"took":3,"errors":false,"items":[]}', b'{ "errors" : false }'],
)
def test_when_all_went_well_the_items_are_not_read(body: bytes) -> None:
    result = classify(documents(), Reply(200, body))
    assert result.retry is None
    assert counted(result) == {
        10: {("spans", "delivered", ""): 2, ("span_events", "delivered", ""): 2},
        11: {("spans", "delivered", ""): 1},
    }


def test_each_item_has_its_own_result() -> None:
    result = classify(documents(), items((201, None), (409, {"type": "x"}), (400, POISON), (429, BUSY), (503, BUSY)))
    assert counted(result) == {
        10: {
            ("spans", "delivered", ""): 1,
            ("span_events", "already_there", ""): 1,
            ("spans", "dead_lettered", "document_parsing_exception"): 1,
        }
    }
    (left,) = again(result).batches
    assert [left.document(i) for i in range(len(left))] == [documents().document(i) for i in (3, 4)]
    assert [left.signal(i) for i in range(2)] == ["span_events", "spans"]
    assert again(result).backpressure
    assert again(result).reason == "item_429"


def test_a_dead_letter_carries_the_engines_words_and_the_line_pair() -> None:
    caused = POISON | {"caused_by": {"type": "illegal_argument_exception", "reason": 'For input string: "x"'}}
    result = classify(documents(), items((201, None), (201, None), (201, None), (201, None), (400, caused)))
    (letter,) = [letter for settled in result.settled for letter in settled.dead]
    assert letter.reason == (
        "document_parsing_exception: [1:20] failed to parse field [attributes.n] of type [long]"
        '; caused by illegal_argument_exception: For input string: "x"'
    )
    assert (letter.consumer, letter.signal, letter.seq, letter.time_ns) == ("elasticsearch", "spans", 11, 42)
    assert letter.index == "traces-generic.otel-default"
    assert letter.document == documents().document(4)
    assert json.loads(letter.document.split(b"\n")[0])["create"]["_id"] == letter.doc_id


@pytest.mark.parametrize("status", [403, 429])
def test_a_blocked_index_is_not_the_documents_fault(status: int) -> None:
    block = {"type": "cluster_block_exception", "reason": "index blocked by: [FORBIDDEN/8/index write (api)]"}
    result = classify(documents(), items(*[(status, block)] * 5))
    assert result.settled == []
    assert len(again(result).batches[0]) == 5


def test_a_document_that_an_ingest_pipeline_refuses_holds_up_no_other() -> None:
    """The processor `fail` answers 500, as OpenSearch 3.6 was seen to."""
    refusal = {"type": "fail_processor_exception", "reason": "no thanks"}
    result = classify(documents(), items(*[(201, None)] * 4, (500, refusal)))
    assert result.retry is None
    assert counted(result)[11] == {("spans", "dead_lettered", "fail_processor_exception"): 1}
    missing = {
        "type": "illegal_state_exception",
        "reason": "Pipeline processor configured for non-existent pipeline [x]",
    }
    assert again(classify(documents(), items(*[(500, missing)] * 5))).reason == "item_500"


def test_an_error_that_is_text_only_still_gives_a_letter() -> None:
    result = classify(documents(), items(*[(201, None)] * 4, (400, "no handler")))
    assert counted(result)[11] == {("spans", "dead_lettered", "unknown"): 1}


class TestConflictsToText:
    classify = staticmethod(ResponseClassifier("elasticsearch", lambda: 42, conflicts_to_text=True).classify_response)

    def documents(self, count: int = 3) -> Documents:
        entries = [entry(10, spans_payload(count, n="x", m=1), count)]
        return collect(DECODER.span_lines([entries[0].payload]), entries)

    def test_a_document_comes_again_at_once_with_the_field_as_text(self) -> None:
        result = self.classify(self.documents(), items((201, None), (400, POISON), (409, {"type": "x"})))
        assert counted(result) == {10: {("spans", "delivered", ""): 1, ("spans", "already_there", ""): 1}}
        error = again(result)
        assert (error.immediately, error.reason) == (True, "mapping_conflict")
        (fixed,) = error.batches
        assert len(fixed) == 1
        before, after = self.documents().document(1), fixed.document(0)
        assert after.split(b"\n")[0] == before.split(b"\n")[0]
        assert json.loads(after.split(b"\n")[1])["attributes"] == {"m": 1, KEY: '{"attributes.n":"x"}'}
        done = self.classify(fixed, Reply(200, b'{"errors":false}'))
        assert counted(done) == {10: {("spans", "delivered", CONFLICT_AS_TEXT): 1}}

    def test_refused_again_for_another_reason_it_is_a_dead_letter_as_it_was(self) -> None:
        (fixed,) = again(self.classify(self.documents(1), items((400, POISON)))).batches
        result = self.classify(fixed, items((400, {"type": "some_exception", "reason": "no"})))
        assert result.retry is None
        (letter,) = result.settled[0].dead
        assert letter.document == self.documents(1).document(0)
        assert letter.reason == "some_exception: no"

    def test_what_cannot_be_fixed_is_a_dead_letter_at_once(self) -> None:
        reason = "failed to parse field [@timestamp] of type [date]"
        no_time = {"type": "document_parsing_exception", "reason": reason}
        result = self.classify(self.documents(1), items((400, no_time)))
        assert result.retry is None
        assert counted(result) == {10: {("spans", "dead_lettered", "document_parsing_exception"): 1}}
        assert result.settled[0].dead[0].document == self.documents(1).document(0)

    def test_beside_one_that_has_to_wait_both_wait(self) -> None:
        result = self.classify(self.documents(2), items((400, POISON), (429, BUSY)))
        error = again(result)
        assert (error.immediately, error.reason, error.backpressure) == (False, "item_429", True)
        left, fixed = error.batches
        assert (len(left), len(fixed)) == (1, 1)
        assert not left.before
        assert fixed.before

    def test_cut_in_two_they_are_still_known_as_changed(self) -> None:
        result = self.classify(self.documents(4), items(*[(400, POISON)] * 4))
        (fixed,) = again(result).batches
        for half in again(self.classify(fixed, Reply(413))).batches:
            done = self.classify(half, Reply(200, b'{"errors":false}'))
            assert counted(done) == {10: {("spans", "delivered", CONFLICT_AS_TEXT): 2}}


def test_a_pipeline_that_is_not_there_is_not_the_documents_fault() -> None:
    missing = {"type": "illegal_argument_exception", "reason": "pipeline with id [x] does not exist"}
    result = classify(documents(), items(*[(400, missing)] * 5))
    assert result.settled == []
    assert len(again(result).batches[0]) == 5


@pytest.mark.parametrize("status", [413, 400])
def test_a_request_refused_as_a_whole_is_cut_in_two(status: int) -> None:
    result = classify(documents(), Reply(status, b"{}"))
    first, second = again(result).batches
    assert again(result).immediately
    assert bytes(first.body) + bytes(second.body) == documents().body
    assert (len(first), len(second)) == (2, 3)
    assert second.document(0) == documents().document(2)


def test_a_single_document_that_is_too_large_becomes_a_dead_letter() -> None:
    single = pick(documents(), [4])
    result = classify(single, Reply(413, b""))
    assert result.retry is None
    assert counted(result) == {11: {("spans", "dead_lettered", "request_too_large"): 1}}
    refused = json.dumps({"error": {"type": "x_content_parse_exception", "reason": "[1:2] boom"}, "status": 400})
    (settled,) = classify(single, Reply(400, refused.encode())).settled
    assert settled.dead[0].reason == "x_content_parse_exception: [1:2] boom"


def test_a_large_request_that_met_429_comes_again_in_halves_after_a_back_off() -> None:
    entries = [entry(1, spans_payload(400), 400)]
    large = collect(DECODER.span_lines([entries[0].payload]), entries)
    error = again(classify(large, Reply(429, b"{}", 2.0)))
    assert [len(p) for p in error.batches] == [200, 200]
    assert b"".join(bytes(p.body) for p in error.batches) == large.body
    assert (error.immediately, error.backpressure, error.retry_after) == (False, True, 2.0)
    assert len(again(classify(documents(), Reply(429))).batches) == 1


def test_many_items_that_met_429_come_again_in_halves_too() -> None:
    """As a whole they may be more than the engine can ever take, once the request itself is counted."""
    entries = [entry(1, spans_payload(400), 400)]
    large = collect(DECODER.span_lines([entries[0].payload]), entries)
    error = again(classify(large, items((201, None), *[(429, BUSY)] * 399)))
    assert [len(p) for p in error.batches] == [199, 200]
    assert (error.immediately, error.backpressure, error.reason) == (False, True, "item_429")


@pytest.mark.parametrize(
    ("status", "reason", "slow", "level"),
    [
        (429, "http_429", True, "warning"),
        (408, "http_408", True, "warning"),
        (500, "http_500", True, "warning"),
        (502, "http_502", True, "warning"),
        (503, "http_503", True, "warning"),
        (401, "credentials", False, "error"),
        (403, "credentials", False, "error"),
        (404, "http_404", False, "error"),
        (302, "http_302", False, "error"),
    ],
)
def test_a_request_that_may_succeed_later_is_kept_whole(status: int, reason: str, slow: bool, level: str) -> None:
    error = again(classify(documents(), Reply(status, b'{"error":{"type":"t","reason":"r"}}', 7.0)))
    assert (error.reason, error.backpressure, error.level, error.retry_after) == (reason, slow, level, 7.0)
    assert error.detail == "t: r"
    assert error.batches[0].body is not None
    assert not error.immediately


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>hello</html>",
        b"[]",
        b'{"errors":true}',
        b'{"errors":true,"items":[]}',
        b"{" * 5000,
        b"null",
        b"\xff",
    ],
)
def test_a_reply_that_cannot_be_read_settles_nothing(body: bytes) -> None:
    result = classify(documents(), Reply(200, body))
    assert result.settled == ()
    assert again(result).reason == "unreadable_reply"
    assert len(again(result).batches[0]) == 5


@pytest.mark.parametrize("item", [None, 3, {}, {"create": None}, {"create": {"status": "201"}}, {"create": {}}])
def test_an_item_that_cannot_be_read_is_sent_again_alone(item: Any) -> None:
    rows = [{"create": {"status": 201}}] * 4 + [item]
    result = classify(documents(), Reply(200, json.dumps({"errors": True, "items": rows}).encode()))
    assert len(again(result).batches[0]) == 1
    assert again(result).batches[0].document(0) == documents().document(4)


def test_logs_are_counted_as_logs() -> None:
    entries = [entry(3, logs_payload("a", "b"), 2, signal="logs")]
    run = collect(DECODER.log_lines([entries[0].payload], ["id-3"]), entries)
    assert counted(classify(run, Reply(200, b'{"errors":false}'))) == {3: {("logs", "delivered", ""): 2}}


@given(st.integers(1, 4000), st.integers(1, 6))
def test_cutting_keeps_every_document_once_and_within_the_bounds(max_bytes: int, max_documents: int) -> None:
    whole = documents()
    parts = split(whole, max_bytes, max_documents)
    assert b"".join(bytes(p.body) for p in parts) == whole.body
    assert [p.document(i) for p in parts for i in range(len(p))] == [whole.document(i) for i in range(5)]
    assert all(len(p) <= max_documents and (len(p.body) <= max_bytes or len(p) == 1) for p in parts)


def test_cutting_nothing_gives_nothing_and_a_fitting_run_is_not_copied() -> None:
    whole = documents()
    assert split(pick(whole, []), 100, 100) == []
    assert split(whole, 1 << 20, 100)[0].body is whole.body


@given(st.lists(st.sampled_from([200, 201, 400, 403, 404, 409, 413, 429, 500, 503, 0, 999]), min_size=5, max_size=5))
def test_no_document_is_lost_or_settled_twice(statuses: list[int]) -> None:
    whole = documents()
    result = classify(whole, items(*[(s, {"type": "t", "reason": "r"}) for s in statuses]))
    settled = sum(sum(s.counts.values()) for s in result.settled)
    left = [] if result.retry is None else list(result.retry.batches)
    assert settled + sum(map(len, left)) == 5
    assert len(ids(DECODER.span_lines([spans_payload(2, events=1)]))) == 4
