from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from structlog.testing import capture_logs
from support.delivery import FakeConsumer, entry

from sidecar.deliver.options import SinkOptions
from sidecar.deliver.sink import ItemResult, PreparedBatch, Retry, SendResult
from sidecar.deliver.worker import Worker
from sidecar.health import Health
from sidecar.pipeline import DeadLetter, Entry, Signal
from sidecar.telemetry import Telemetry

Send = Callable[[int, int], SendResult[int]]
"""(sequence number, number of this attempt) -> result."""
SLOW = {"retry": {"initial_interval": 60, "max_interval": 60}}
QUICK = {"retry": {"initial_interval": 0.001, "max_interval": 0.002}, "batch_timeout": 0}


def delivered(seq: int) -> SendResult[int]:
    return SendResult([ItemResult(seq, {("spans", "delivered", ""): 1})])


class ScriptedSink:
    """One batch (a sequence number) for each entry; `script` says what becomes of it."""

    name = "scripted"
    signals: frozenset[Signal] = frozenset(("spans",))
    target_batch_bytes = 1000

    def __init__(self, script: Send) -> None:
        self._script = script
        self._lock = threading.Lock()
        self._now = 0
        self.attempts: dict[int, int] = {}
        self.most_at_once = 0
        self.closed = False
        self.prepare_failures = 0

    def prepare(self, entries: Sequence[Entry]) -> PreparedBatch[int]:
        if self.prepare_failures:
            self.prepare_failures -= 1
            raise RuntimeError("a bug")
        return PreparedBatch([e.seq for e in entries if e.items], {e.seq: e.items for e in entries})

    def send(self, batch: int) -> SendResult[int]:
        with self._lock:
            attempt = self.attempts[batch] = self.attempts.get(batch, 0) + 1
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)
        try:
            return self._script(batch, attempt)
        finally:
            with self._lock:
                self._now -= 1

    def status(self) -> Mapping[str, Any]:
        return {"fact": 1}

    def close(self) -> None:
        self.closed = True


def one_each(count: int, first: int = 1) -> list[Entry]:
    return [entry(seq, b"x" * 100, 1) for seq in range(first, first + count)]


@contextmanager
def running(sink: ScriptedSink, consumer: FakeConsumer, **options: Any) -> Iterator[Worker[int]]:
    worker = Worker(sink, consumer, SinkOptions(**(QUICK | options)), Telemetry(), time.time_ns)
    worker.start()
    try:
        yield worker
    finally:
        worker.stop(0)


def test_everything_is_delivered_and_finished_once() -> None:
    sink, consumer = ScriptedSink(lambda seq, _: delivered(seq)), FakeConsumer(one_each(50))
    with running(sink, consumer):
        assert consumer.wait_for(50)
    assert consumer.counts() == {("spans", "delivered", ""): 50}
    assert set(sink.attempts.values()) == {1}


def test_an_entry_without_documents_is_finished_without_a_request() -> None:
    sink, consumer = ScriptedSink(lambda seq, _: delivered(seq)), FakeConsumer([entry(1, b"", 0)])
    with running(sink, consumer):
        assert consumer.wait_for(1)
    assert sink.attempts == {}


def test_a_failure_is_tried_again_until_it_succeeds() -> None:
    def script(seq: int, attempt: int) -> SendResult[int]:
        return delivered(seq) if attempt == 7 else SendResult(retry=Retry([seq], "http_503", backpressure=True))

    sink, consumer = ScriptedSink(script), FakeConsumer(one_each(3))
    with running(sink, consumer):
        assert consumer.wait_for(3)
    assert sink.attempts == {1: 7, 2: 7, 3: 7}
    assert consumer.counts() == {("spans", "delivered", ""): 3}


def test_a_bug_in_a_sink_is_logged_and_loses_nothing() -> None:
    def script(seq: int, attempt: int) -> SendResult[int]:
        if attempt == 1:
            raise RuntimeError("a bug")
        return delivered(seq)

    sink, consumer = ScriptedSink(script), FakeConsumer(one_each(2))
    sink.prepare_failures = 2
    with running(sink, consumer):
        assert consumer.wait_for(2)


def test_what_was_cut_is_sent_at_once_and_in_order() -> None:
    sent: list[int] = []

    def script(batch: int, attempt: int) -> SendResult[int]:
        sent.append(batch)
        if batch == 1:
            return SendResult(retry=Retry([11, 12], "http_413", immediately=True, retry_after=60))
        return SendResult([ItemResult(1, {("spans", "delivered", ""): 1})])

    consumer = FakeConsumer([entry(1, b"x", 2)])
    with running(ScriptedSink(script), consumer, retry={"initial_interval": 60, "max_interval": 60}):
        assert consumer.wait_for(1)
    assert sent == [1, 11, 12]


def test_a_poison_entry_holds_back_nobody_else() -> None:
    def script(seq: int, attempt: int) -> SendResult[int]:
        return SendResult(retry=Retry([seq], "http_500")) if seq == 1 else delivered(seq)

    sink, consumer = ScriptedSink(script), FakeConsumer(one_each(20))
    with running(sink, consumer, max_concurrency=2):
        assert consumer.wait_for(19)
    assert sorted(consumer.finished) == list(range(2, 21))


def test_concurrency_grows_under_load_and_keeps_its_bound() -> None:
    def script(seq: int, attempt: int) -> SendResult[int]:
        time.sleep(0.002)
        return delivered(seq)

    sink, consumer = ScriptedSink(script), FakeConsumer(one_each(200))
    with running(sink, consumer, max_concurrency=4):
        assert consumer.wait_for(200)
    assert 2 <= sink.most_at_once <= 4


def test_overload_makes_for_fewer_requests_at_once() -> None:
    limits: list[int] = []
    overloaded = 1_000_000

    def script(seq: int, attempt: int) -> SendResult[int]:
        if seq != overloaded:
            return delivered(seq)
        limits.append(worker.status()["concurrency"])
        return delivered(seq) if attempt == 3 else SendResult(retry=Retry([seq], "http_429", backpressure=True))

    sink, consumer, first = ScriptedSink(script), FakeConsumer(one_each(10)), 1
    with running(sink, consumer, max_concurrency=4) as worker:
        while worker.status()["concurrency"] < 2:  # It also falls where the machine is slow.
            first += 10
            consumer.feed(*one_each(10, first))
            assert consumer.wait_for(first + 9)
        consumer.feed(*one_each(1, overloaded))
        assert consumer.wait_for(first + 10)
    assert limits == [limits[0], limits[0] // 2, 1]


@pytest.mark.parametrize("how", ["failures", "refusals"])
def test_a_commit_that_failed_is_made_again(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sidecar.deliver.worker.RECOMMIT_SECONDS", 0.001)
    sink, consumer = ScriptedSink(lambda seq, _: delivered(seq)), FakeConsumer(one_each(1))
    setattr(consumer, how, 2)
    with running(sink, consumer):
        assert consumer.wait_for(1)
    assert sink.attempts == {1: 1}


def test_stop_delivers_what_waits_and_closes_the_sink() -> None:
    sink, consumer = ScriptedSink(lambda seq, _: delivered(seq)), FakeConsumer(one_each(300))
    worker = Worker(sink, consumer, SinkOptions(**QUICK), Telemetry(), time.time_ns)
    worker.start()
    assert worker.stop(20)
    assert len(consumer.finished) == 300
    assert sink.closed


def test_stop_gives_up_at_the_deadline_and_finishes_nothing_it_did_not_deliver() -> None:
    sink, consumer = (
        ScriptedSink(lambda seq, _: SendResult(retry=Retry([seq], "unreachable"))),
        FakeConsumer(one_each(3)),
    )
    worker = Worker(
        sink,
        consumer,
        SinkOptions.model_validate(QUICK | SLOW),
        Telemetry(),
        int,
    )
    worker.start()
    began = time.monotonic()
    assert not worker.stop(0.2)
    assert time.monotonic() - began < 5
    assert consumer.finished == {}
    assert sink.closed


def test_the_end_of_an_outage_ends_the_waiting_of_all() -> None:
    up, waiting = threading.Event(), threading.Lock()

    def script(seq: int, attempt: int) -> SendResult[int]:
        return delivered(seq) if up.is_set() else SendResult(retry=Retry([seq], "unreachable"))

    def delay(attempt: int, draw: float, retry_after: float | None) -> float:
        """After some failures each, the first of the two waits for a minute; the other one finds the outage over."""
        if attempt < 5:
            return 0.001
        if waiting.acquire(blocking=False):
            return 60.0
        up.set()
        return 0.0

    consumer = FakeConsumer(one_each(3))
    options = SinkOptions(**(QUICK | {"max_concurrency": 2}))
    worker = Worker(ScriptedSink(script), consumer, options, Telemetry(), int, delay=delay)
    worker.start()
    assert consumer.wait_for(3, timeout=30)
    worker.stop(0)


def test_success_of_others_does_not_hurry_a_batch_that_fails_for_reasons_of_its_own() -> None:
    def script(seq: int, attempt: int) -> SendResult[int]:
        return SendResult(retry=Retry([seq], "item_500")) if seq == 1 else delivered(seq)

    sink, consumer = ScriptedSink(script), FakeConsumer(one_each(200))
    with running(sink, consumer, max_concurrency=2, retry={"initial_interval": 60, "max_interval": 60}):
        assert consumer.wait_for(199)
    assert sink.attempts[1] <= 3


def test_it_reports_trouble_and_recovery() -> None:
    health, seen = Health(), []

    def script(seq: int, attempt: int) -> SendResult[int]:
        seen.append(health.reports()["deliver.scripted"].state)
        return (
            delivered(seq)
            if attempt == 3
            else SendResult(retry=Retry([seq], "credentials", "who are you", level="error"))
        )

    consumer = FakeConsumer(one_each(1))
    worker = Worker(ScriptedSink(script), consumer, SinkOptions(**QUICK), Telemetry(), lambda: 99, health)
    worker.start()
    assert consumer.wait_for(1)
    assert worker.stop(5)
    assert seen == ["ok", "degraded", "degraded"]
    assert health.reports()["deliver.scripted"].state == "ok"
    status = worker.status()
    assert status["trouble"] is None
    assert status["last_success_unix_ns"] == 99
    assert status["fact"] == 1


def test_small_loads_gather_and_a_full_one_does_not_nor_does_the_end() -> None:
    sink, consumer = ScriptedSink(lambda seq, _: delivered(seq)), FakeConsumer(one_each(1))
    with running(sink, consumer, batch_timeout=60) as worker:
        assert not consumer.wait_for(1, timeout=0.3)
        consumer.feed(entry(2, b"x" * 900, 1))
        assert consumer.wait_for(2)
        consumer.feed(*one_each(1, first=3))
        assert not consumer.wait_for(3, timeout=0.3)
        assert worker.stop(5)
        assert consumer.wait_for(3, timeout=0)


def test_rejected_documents_are_logged_once_in_a_while_with_the_reason() -> None:
    def script(seq: int, _: int) -> SendResult[int]:
        letter = DeadLetter("scripted", str(seq), "spans", "traces-x", "mapper: no", b"{}", seq, 0)
        return SendResult([ItemResult(seq, {("spans", "dead_lettered", "mapper"): 1}, [letter])])

    sink, consumer = ScriptedSink(script), FakeConsumer(one_each(20))
    with capture_logs() as logs, running(sink, consumer):
        assert consumer.wait_for(20)
    logged = [line for line in logs if line["event"] == "documents_rejected"]
    assert [(line["log_level"], line["index"], line["reason"]) for line in logged] == [
        ("error", "traces-x", "mapper: no")
    ]
