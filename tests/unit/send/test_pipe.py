from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from sidecar.decode.otlp.limits import MAX_LINE_BYTES
from sidecar.errors import Retryable
from sidecar.send.http_sender import Reply
from sidecar.send.pipe import Ended, LineQueue, Records

OK = Reply(200, b"{}", None)
TROUBLE = (Retryable("refused"), Reply(503, b"", None), Reply(429, b"", None))


def answer(answers: Iterator[Reply | Retryable]) -> Reply:
    found = next(answers)
    if isinstance(found, Retryable):
        raise found
    return found


def test_lines_are_sent_in_order_through_trouble() -> None:
    answers = iter([*TROUBLE, *[OK] * 5])
    sent: list[bytes] = []

    def post(lines: bytes, key: str) -> Reply:
        reply = answer(answers)
        if reply == OK:
            sent.append(lines)
        return reply

    queue = LineQueue(post, 1000, sleep=lambda _: None)
    for n in range(4):
        queue.put(b"line %d\n" % n)
    assert queue.finish(30) == Ended(0, 0)
    assert b"".join(sent) == b"line 0\nline 1\nline 2\nline 3\n"


def test_a_batch_that_is_sent_again_is_the_same_under_the_same_key() -> None:
    """Whatever has come in meanwhile: the sidecar knows it by that."""
    posts: list[tuple[bytes, str]] = []
    trouble = iter(TROUBLE)

    def post(lines: bytes, key: str) -> Reply:
        posts.append((lines, key))
        if len(posts) < 4:
            queue.put(b"equal\n")
            return answer(trouble)
        return OK

    queue = LineQueue(post, 1000, sleep=lambda _: None)
    queue.put(b"equal\n")
    assert queue.finish(30) == Ended(0, 0)
    assert len(set(posts[:4])) == 1
    assert posts[0][0] == b"equal\n"
    assert b"".join(lines for lines, _ in posts[3:]) == b"equal\n" * 4
    assert len({key for _, key in posts[3:]}) == len(posts[3:]), "equal batches have keys of their own"


@pytest.mark.parametrize("status", [400, 500])
def test_what_does_not_fit_or_is_rejected_is_counted(status: int) -> None:
    gate = threading.Event()

    def post(lines: bytes, key: str) -> Reply:
        gate.wait(30)
        return Reply(status, b'{"message": "no lines"}', None)

    queue = LineQueue(post, 20)
    for _ in range(5):
        queue.put(b"12345\n")
    gate.set()
    assert queue.finish(30) == Ended(2, 3, f"the sidecar answers {status}: no lines")


def test_lines_of_an_accepted_request_may_be_rejected() -> None:
    partial = b'{"partialSuccess":{"rejectedLogRecords":"1","errorMessage":"line 2: too long"}}'
    queue = LineQueue(lambda lines, key: Reply(200, partial, None), 1000)
    queue.put(b"1\n2\n3\n")
    assert queue.finish(30) == Ended(0, 1, "the sidecar answers 200: line 2: too long")


def test_what_is_left_at_the_deadline_is_counted_with_the_reason() -> None:
    def post(lines: bytes, key: str) -> Reply:
        raise Retryable("connection refused")

    queue = LineQueue(post, 1000)
    queue.put(b"1\n2\n3\n")
    assert queue.finish(0) == Ended(3, 0, "the sidecar does not answer: connection refused")


def test_the_end_of_the_input_cuts_a_pause_short() -> None:
    """The sidecar asks for an hour; it is back before."""
    answers = iter([Reply(503, b"", 3600.0), OK])
    paused = threading.Event()

    def post(lines: bytes, key: str) -> Reply:
        paused.set()
        return next(answers)

    queue = LineQueue(post, 1000)
    queue.put(b"1\n")
    assert paused.wait(30)
    assert queue.finish(30) == Ended(0, 0)


def test_traces_are_joined_and_long_lines_cut() -> None:
    records = Records()
    assert records.feed(b'a\nTraceback (most recent call last):\n  File "x"\n') == b"a\n"
    assert records.waiting
    body = records.feed(b"ValueError: bad\nINFO b\n")
    assert [b"ValueError" in part for part in body.splitlines()] == [True, False]
    assert records.feed(b"x" * (MAX_LINE_BYTES // 2)) == b""
    assert len(records.feed(b"x" * MAX_LINE_BYTES)) == MAX_LINE_BYTES + 5
    assert records.feed(b"xxx") == b""
    assert records.feed(b"xxx\nnext\nlast") == b"next\n"
    assert records.finish() == b"last\n"
    assert Records().finish() == b""


def test_lines_before_a_trace_say_whether_those_behind_it_are_part_of_it() -> None:
    trace = b'Traceback (most recent call last):\n  File "x"\nValueError: bad\nrequest 1\nrequest 2\n'
    for before, count in ((b"loading\n" * 2000, 3), (b"INFO loading\n" * 2000, 1), (b"x" * 5000 + b"\n", 1)):
        records = Records()
        assert records.feed(before) == before
        assert records.feed(trace, final=True).count(b"\n") == count
