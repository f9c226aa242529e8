from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from structlog.testing import capture_logs
from support.engines import wait_for
from support.receive_fakes import Counted

from sidecar.derive.families import FamilySnapshot, Points
from sidecar.health import Health
from sidecar.push import pusher as pushing
from sidecar.push.destination import PushResult
from sidecar.push.pusher import Pusher, requests
from sidecar.push.snapshot import Head, Series, Snapshots

ACCEPTED = PushResult("accepted")
FOREVER = 3600.0
QUICK = pushing.Backoff(0.001, 0.001)


class Scripted:
    """A destination that answers by a function of the number of the request, from 1."""

    def __init__(self, answer: Callable[[int], PushResult] = lambda n: ACCEPTED, ends_series: bool = True) -> None:
        self._answer, self.ends_series = answer, ends_series
        self.sent: list[tuple[int, list[tuple[str, Any, bool]]]] = []
        self.closed = False

    def send(self, series: Sequence[Series], time_ms: int) -> PushResult:
        shown = [(dict(one.labels)["a"], one.value, one.stale) for one in series]
        self.sent.append((time_ms, shown))
        return self._answer(len(self.sent))

    def status(self) -> Mapping[str, Any]:
        return {"endpoint": "x"}

    def close(self) -> None:
        self.closed = True


class Source:
    """A source of one counter, which counts how often it was asked."""

    def __init__(self, series: int = 1) -> None:
        self.asked = 0
        self._series = series

    def __call__(self, until: float) -> list[FamilySnapshot]:
        self.asked += 1
        labels = [f'a="{i}"' for i in range(self._series)]
        return [FamilySnapshot("n", "counter", "", "", (Points(labels, [self.asked] * self._series, []),))]


@pytest.fixture
def counted() -> Counted:
    return Counted()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pushing, "BACKOFF", QUICK)


def built(destination: Scripted, source: Any, counted: Counted, interval: float = FOREVER) -> tuple[Pusher, Health]:
    health = Health()
    return Pusher("d", destination, source, Snapshots({}, 0.0), interval, counted.telemetry, health), health


def samples(counted: Counted) -> dict[str, float]:
    return {outcome: n for (_, outcome), n in counted.values("sidecar_push_samples_total").items()}


def test_at_once_then_twice_at_the_end_and_then_that_there_is_no_more(counted: Counted) -> None:
    destination = Scripted()
    pusher, health = built(destination, Source(), counted)
    pusher.start()
    wait_for(lambda: len(destination.sent) == 1, 30, "the first push")
    pusher.drain(30)
    assert [shown for _, shown in destination.sent] == [[("0", 1, False)], [("0", 2, False)]]
    assert pusher.finish(30)
    assert [shown for _, shown in destination.sent[2:]] == [[("0", 3, False)], [("0", 3, True)]]
    times = [time_ms for time_ms, _ in destination.sent]
    assert times == sorted(set(times))
    assert destination.closed
    assert samples(counted) == {"sent": 4}
    assert health.reports()["push.d"].state == "ok"


def test_a_destination_without_an_end_gets_the_last_values(counted: Counted) -> None:
    destination = Scripted(ends_series=False)
    pusher, _ = built(destination, Source(), counted)
    pusher.start()
    wait_for(lambda: destination.sent, 30, "the first push")
    assert pusher.finish(30)
    assert [shown for _, shown in destination.sent] == [[("0", n, False)] for n in (1, 2, 3)]


def test_at_every_interval(counted: Counted) -> None:
    destination = Scripted()
    pusher, _ = built(destination, Source(), counted, interval=0.01)
    pusher.start()
    wait_for(lambda: len(destination.sent) > 3, 30, "further pushes")
    assert pusher.finish(30)


def test_what_fails_is_sent_again_and_the_trouble_is_logged_once(counted: Counted) -> None:
    destination = Scripted(lambda n: PushResult("retry", "http_503", "busy") if n < 4 else ACCEPTED)
    pusher, health = built(destination, Source(), counted)
    with capture_logs() as logs:
        pusher.start()
        wait_for(lambda: len(destination.sent) == 4, 30, "the request to be sent again")
        assert pusher.finish(30)
    assert [shown for _, shown in destination.sent[:4]] == [[("0", 1, False)]] * 4
    assert [(line["event"], line.get("reason")) for line in logs] == [
        ("push_failed", "http_503"),
        ("push_recovered", None),
    ]
    assert health.reports()["push.d"].state == "ok"
    assert samples(counted)["sent"] == sum(len(shown) for _, shown in destination.sent[3:])


def test_values_that_could_not_be_pushed_are_superseded_by_later_ones(counted: Counted) -> None:
    source = Source()
    destination = Scripted(lambda n: ACCEPTED if source.asked > 2 else PushResult("retry", "timeout"))
    pusher, _ = built(destination, source, counted, interval=0.05)
    pusher.start()
    wait_for(lambda: samples(counted).get("sent"), 30, "a push that gets through")
    assert pusher.finish(30)
    assert samples(counted)["dropped"] == 2
    accepted = [shown for _, shown in destination.sent if shown[0][1] > 2]
    assert accepted[0] == [("0", 3, False)]


def test_what_is_refused_is_counted_and_not_sent_again(counted: Counted) -> None:
    answers = [PushResult("rejected", "http_422", "no"), PushResult("accepted", "http_400", "old", rejected=1)]
    destination = Scripted(lambda n: answers[n - 1] if n <= 2 else ACCEPTED)
    pusher, _ = built(destination, Source(3), counted)
    with capture_logs() as logs:
        pusher.start()
        wait_for(lambda: len(destination.sent) == 1, 30, "the first push")
        assert pusher.finish(30)
    assert samples(counted) == {"rejected": 4, "sent": 2 + 3 + 3}
    assert [(line["event"], line["samples"], line["detail"]) for line in logs] == [("push_rejected", 3, "no")]


def test_a_request_that_is_too_large_is_cut(counted: Counted) -> None:
    too_large = PushResult("rejected", "http_413", too_large=True)
    destination = Scripted(lambda n: too_large if len(destination.sent[-1][1]) > 1 else ACCEPTED)
    pusher, _ = built(destination, Source(3), counted)
    pusher.start()
    wait_for(lambda: samples(counted).get("sent") == 3, 30, "the pieces to be sent")
    assert [[name for name, _, _ in shown] for _, shown in destination.sent[:5]] == [
        ["0", "1", "2"],
        ["0"],
        ["1", "2"],
        ["1"],
        ["2"],
    ]
    assert pusher.finish(30)


def test_the_end_does_not_wait_longer_than_it_may_and_says_what_is_missing(counted: Counted) -> None:
    destination = Scripted(lambda n: PushResult("blocked", "credentials", "HTTP 401"))
    pusher, health = built(destination, Source(2), counted)
    with capture_logs() as logs:
        pusher.start()
        wait_for(lambda: destination.sent, 30, "the first push")
        pusher.drain(0.02)
        assert pusher.finish(0.02) or wait_for(lambda: destination.closed, 30, "the thread to end")
    assert health.reports()["push.d"].state == "degraded"
    lost = [line for line in logs if line["event"] == "push_incomplete"]
    assert [(line["samples"], line["reason"]) for line in lost] == [(2, "credentials")]
    assert "sent" not in samples(counted)


def test_a_hanging_receiver_does_not_hold_up_the_end(counted: Counted) -> None:
    release = threading.Event()

    def hang(number: int) -> PushResult:
        release.wait(60)
        return ACCEPTED

    destination = Scripted(hang)
    pusher, _ = built(destination, Source(), counted)
    pusher.start()
    wait_for(lambda: destination.sent, 30, "the first push")
    pusher.drain(0.01)
    assert not pusher.finish(0.01)
    release.set()
    wait_for(lambda: destination.closed, 30, "the thread to end")


def test_nothing_is_pushed_while_counters_are_restored(counted: Counted) -> None:
    destination = Scripted()
    pusher, _ = built(destination, lambda until: None, counted)
    pusher.start()
    assert pusher.finish(30)
    assert destination.sent == []


def test_a_fault_of_the_program_is_reported(counted: Counted) -> None:
    def broken(until: float) -> Any:
        raise ZeroDivisionError

    pusher, health = built(Scripted(), broken, counted)
    with capture_logs() as logs:
        pusher.start()
        wait_for(lambda: health.reports()["push.d"].state == "failed", 30, "the report")
        pusher.drain(30)
        assert pusher.finish(30)
    assert [line["event"] for line in logs] == ["push_thread_failed"]


def test_requests_are_bounded_and_targets_come_first() -> None:
    target, calls = Head("target", "info", "", ""), Head("calls", "counter", "", "")
    series = [Series(calls, (("a", str(i)),), i) for i in range(4500)] + [Series(target, (("job", "x"),), 1)]
    parts = list(requests(series))
    assert [len(part) for part in parts] == [2000, 2000, 501]
    assert parts[0][0].is_target_info
    assert sorted(one.key for part in parts for one in part) == sorted(one.key for one in series)
