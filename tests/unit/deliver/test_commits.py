from __future__ import annotations

import threading

from structlog.testing import capture_logs
from support.delivery import FakeConsumer, entry

from sidecar.deliver.commits import Commits
from sidecar.pipeline import Ack


def _commits(failures: int = 0, refusals: int = 0) -> tuple[Commits, FakeConsumer]:
    consumer = FakeConsumer([entry(seq, b"x", 1) for seq in (1, 2)])
    consumer.failures, consumer.refusals = failures, refusals
    return Commits("sink", consumer, threading.Condition()), consumer


def test_what_is_committed_is_idle() -> None:
    commits, consumer = _commits()
    commits.commit([])
    assert (commits.open, commits.idle) == (False, True)
    commits.commit([Ack(1)])
    assert consumer.wait_for(1)
    assert commits.idle


def test_what_failed_is_given_back_once_and_logged_once() -> None:
    commits, consumer = _commits(failures=1, refusals=1)
    with capture_logs() as lines:
        commits.commit([Ack(1)])
        commits.commit([Ack(2)])
    assert [line["event"] for line in lines] == ["delivery_commit_failed"]
    assert (commits.open, commits.idle) == (False, False)
    assert [ack.seq for ack in commits.take_failed()] == [1, 2]
    assert commits.take_failed() == []
    assert commits.idle
    assert not consumer.finished


def test_nothing_is_committed_after_the_end() -> None:
    commits, consumer = _commits()
    commits.close()
    commits.commit([Ack(1)])
    assert not consumer.finished
