"""One push by a program that ends then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from sidecar.derive.families import FamilySnapshot, Points
from sidecar.push.destination import PushResult
from sidecar.push.once import send
from sidecar.push.snapshot import Series, Snapshots
from sidecar.serve.exposition import merge

OK = PushResult("accepted")


class To:
    """A destination that answers as given, and then takes everything."""

    ends_series = True

    def __init__(self, *answers: PushResult) -> None:
        self.answers, self.sent = list(answers), list[Sequence[Series]]()

    def send(self, series: Sequence[Series], time_ms: int) -> PushResult:
        self.sent.append(series)
        return self.answers.pop(0) if self.answers else OK

    def status(self) -> Mapping[str, Any]:
        return {}

    def close(self) -> None: ...


def series(n: int) -> Sequence[Series]:
    points = Points([f'n="{i}"' for i in range(n)], [1.0] * n)
    family = FamilySnapshot("model_accuracy", "gauge", "", "", (points,))
    return Snapshots({"job": "j"}, 100).take(merge([family]), 100).series


class Time:
    now = 0.0

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += max(seconds, 0.01)


def push(to: To, n: int = 3, timeout: float = 30) -> str:
    time = Time()
    return send(to, series(n), 1, timeout, time.clock, time.sleep)


def test_everything_is_sent_once_and_nothing_is_stale() -> None:
    to = To()
    assert push(to, 4500) == ""
    assert [len(part) for part in to.sent] == [2000, 2000, 500]
    assert not any(one.stale for part in to.sent for one in part)


def test_what_may_succeed_later_is_sent_again() -> None:
    to = To(PushResult("retry", "http_503", "busy"), PushResult("retry", "timeout", "late", retry_after=2))
    assert push(to) == ""
    assert len(to.sent) == 3


def test_a_request_that_is_too_large_is_cut() -> None:
    to = To(PushResult("rejected", "http_413", "large", too_large=True))
    assert push(to, 8) == ""
    assert [len(part) for part in to.sent] == [8, 4, 4]


@pytest.mark.parametrize(
    "answers",
    [
        [PushResult("retry", "unreachable", "refused")] * 10_000,
        [PushResult("blocked", "unreachable", "refused")],
        [PushResult("rejected", "unreachable", "refused")],
        [PushResult("accepted", "unreachable", "refused", rejected=1)],
    ],
)
def test_what_was_not_taken_is_said(answers: list[PushResult]) -> None:
    assert push(To(*answers)) == "unreachable: refused"
