from __future__ import annotations

import threading

from sidecar.decode.otlp.limits import MAX_LINE_BYTES
from sidecar.send.pipe import Ended, Lines, Sender


def test_lines_are_sent_in_order_through_trouble() -> None:
    answers = [None, 503, 429, 200, 200, 200, 200, 200]
    sent: list[bytes] = []

    def post(lines: bytes, key: str) -> int | None:
        status = answers.pop(0)
        if status == 200:
            sent.append(lines)
        return status

    sender = Sender(post, 1000, sleep=lambda _: None)
    for n in range(4):
        sender.put(b"line %d\n" % n)
    assert sender.finish(30) == Ended(0, 0)
    assert b"".join(sent) == b"line 0\nline 1\nline 2\nline 3\n"


def test_a_batch_that_is_sent_again_is_the_same_under_the_same_key() -> None:
    """Whatever has come in meanwhile: the sidecar knows it by that."""
    posts: list[tuple[bytes, str]] = []

    def post(lines: bytes, key: str) -> int | None:
        posts.append((lines, key))
        if len(posts) < 4:
            sender.put(b"equal\n")
            return (None, 503, 429)[len(posts) - 1]
        return 200

    sender = Sender(post, 1000, sleep=lambda _: None)
    sender.put(b"equal\n")
    assert sender.finish(30) == Ended(0, 0)
    assert len(set(posts[:4])) == 1
    assert posts[0][0] == b"equal\n"
    assert b"".join(lines for lines, _ in posts[3:]) == b"equal\n" * 4
    assert len({key for _, key in posts[3:]}) == len(posts[3:]), "equal batches have keys of their own"


def test_what_does_not_fit_or_is_refused_is_counted() -> None:
    gate = threading.Event()

    def post(lines: bytes, key: str) -> int:
        gate.wait(30)
        return 400

    sender = Sender(post, 20)
    for _ in range(5):
        sender.put(b"12345\n")
    gate.set()
    ended = sender.finish(30)
    assert (ended.dropped, ended.refused) == (2, 3)


def test_what_is_left_at_the_deadline_is_counted() -> None:
    sender = Sender(lambda lines, key: None, 1000)
    sender.put(b"1\n2\n3\n")
    assert sender.finish(0.05) == Ended(3, 0)


def test_traces_are_joined_and_long_lines_cut() -> None:
    lines = Lines()
    assert lines.feed(b'a\nTraceback (most recent call last):\n  File "x"\n') == b"a\n"
    assert lines.waiting
    body = lines.feed(b"ValueError: bad\nINFO b\n")
    assert [b"ValueError" in part for part in body.splitlines()] == [True, False]
    assert lines.feed(b"x" * (MAX_LINE_BYTES // 2)) == b""
    assert len(lines.feed(b"x" * MAX_LINE_BYTES)) == MAX_LINE_BYTES + 5
    assert lines.feed(b"xxx") == b""
    assert lines.feed(b"xxx\nnext\nlast") == b"next\n"
    assert lines.finish() == b"last\n"
    assert Lines().finish() == b""


def test_lines_before_a_trace_say_whether_those_behind_it_are_part_of_it() -> None:
    trace = b'Traceback (most recent call last):\n  File "x"\nValueError: bad\nrequest 1\nrequest 2\n'
    for before, records in ((b"loading\n" * 2000, 3), (b"INFO loading\n" * 2000, 1), (b"x" * 5000 + b"\n", 1)):
        lines = Lines()
        assert lines.feed(before) == before
        assert lines.feed(trace, final=True).count(b"\n") == records
