from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.deliver.retry import LONGEST_RETRY_AFTER, Backoff, parse_retry_after


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
