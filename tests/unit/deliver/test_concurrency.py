from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from sidecar.deliver.concurrency import Concurrency


def test_it_grows_by_one_a_round_while_it_is_used_in_full() -> None:
    concurrency = Concurrency(8)
    seen = []
    for _ in range(40):
        concurrency.succeeded(0.01, concurrency.limit)
        seen.append(concurrency.limit)
    assert seen[0] == 2
    assert seen[-1] == 8
    assert all(b - a in (0, 1) for a, b in itertools.pairwise(seen))


def test_it_stays_where_nothing_tests_it() -> None:
    concurrency = Concurrency(8, start=3)
    for _ in range(50):
        concurrency.succeeded(0.01, 1)
    assert concurrency.limit == 3


def test_overload_halves_once_for_requests_sent_together() -> None:
    concurrency = Concurrency(16, start=16)
    sent_at = concurrency.generation
    for _ in range(5):
        concurrency.overloaded(sent_at)
    assert concurrency.limit == 8
    concurrency.overloaded(concurrency.generation)
    assert concurrency.limit == 4


def test_growing_latency_eases_off() -> None:
    concurrency = Concurrency(16, start=16)
    for _ in range(30):
        concurrency.succeeded(0.010, 1)
    for latency in (0.03, 0.09, 0.27):
        concurrency.succeeded(latency, 16)
    assert concurrency.limit < 16


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 100), st.integers(1, 20)), max_size=200))
def test_the_limit_stays_within_its_bounds(history: list[tuple[bool, float, int]]) -> None:
    concurrency = Concurrency(10, start=4)
    for good, latency, in_flight in history:
        if good:
            concurrency.succeeded(latency, in_flight)
        else:
            concurrency.overloaded(concurrency.generation)
        assert 1 <= concurrency.limit <= 10
