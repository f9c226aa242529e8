from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.deliver.retry import LONGEST_RETRY_AFTER, Attempts, Backoff, is_temporary, parse_retry_after


@pytest.mark.parametrize(("attempt", "ceiling"), [(0, 0.5), (1, 1.0), (2, 2.0), (4, 8.0), (5, 10.0), (10_000, 10.0)])
def test_the_bound_doubles_up_to_the_maximum(attempt: int, ceiling: float) -> None:
    backoff = Backoff(0.5, 10.0)
    assert backoff.delay(attempt, 0.0) == 0.0
    assert backoff.delay(attempt, 0.999_999) == pytest.approx(ceiling, rel=1e-5)


def test_jitter_is_full() -> None:
    assert Backoff(1.0, 10.0).delay(2, 0.25) == 1.0


@given(st.integers(0, 5000), st.floats(0, 1, exclude_max=True), st.none() | st.floats(0, 1e9))
def test_delays_are_bounded_and_never_under_retry_after(attempt: int, draw: float, retry_after: float | None) -> None:
    delay = Backoff(0.5, 10.0).delay(attempt, draw, retry_after)
    assert min(retry_after or 0.0, LONGEST_RETRY_AFTER) <= delay <= LONGEST_RETRY_AFTER + 10.0


def test_retry_after_replaces_the_back_off_but_keeps_some_jitter() -> None:
    backoff = Backoff(0.5, 10.0)
    assert backoff.delay(9, 0.0, 3.0) == 3.0
    assert backoff.delay(9, 0.5, 3.0) == 3.25


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("7", 7.0),
        (" 0 ", 0.0),
        ("99999999999999999999", LONGEST_RETRY_AFTER),
        ("soon", None),
        ("-3", None),
        ("", None),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 37.0),
        ("Sun, 06 Nov 1994 08:48:00 GMT", 0.0),
    ],
)
def test_retry_after_header(header: str | None, seconds: float | None) -> None:
    assert parse_retry_after(header, 784_111_740.0) == seconds


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, 599])
def test_a_server_that_is_busy_or_in_trouble_may_answer_otherwise_later(status: int) -> None:
    assert is_temporary(status)


@pytest.mark.parametrize("status", [200, 204, 304, 400, 401, 403, 404, 409, 413, 422, 431])
def test_what_is_wrong_with_a_request_stays_so(status: int) -> None:
    assert not is_temporary(status)


def test_attempts_back_off_until_the_next_would_be_too_late() -> None:
    now = 100.0
    attempts = Attempts(Backoff(1.0, 4.0), lambda: now, lambda: 0.5)
    pauses = []
    while (pause := attempts.pause(deadline=107.0)) is not None:
        pauses.append(pause)
        now += pause
    assert pauses == [0.5, 1.0, 2.0, 2.0]
    assert (now, attempts.failed) == (105.5, 5)


def test_attempts_end_where_the_destination_asks_for_more_time_than_there_is() -> None:
    attempts = Attempts(Backoff(1.0, 4.0), lambda: 0.0, lambda: 0.0)
    assert attempts.pause(10.0, retry_after=10.0) == 10.0
    assert attempts.pause(10.0, retry_after=10.1) is None
