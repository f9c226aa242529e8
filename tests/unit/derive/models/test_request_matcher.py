"""Requests and responses: matched in either order, bounded, expired in time, the same after a restart."""

from __future__ import annotations

from sidecar.derive.models.request_matcher import Pending, RequestResponseMatcher

SECOND = 10**9


def pending(request: bool = True, received: int = 0, rows: int = 1) -> Pending:
    return Pending(request, "m", "1", rows, received, received)


def test_requests_and_responses_match_in_either_order() -> None:
    store = RequestResponseMatcher(10, 5 * SECOND)
    for first in (True, False):
        assert store.match("a", pending(first)) is None
        assert store.match("a", pending(not first)) == pending(first)
    assert len(store) == 0
    assert store.match("a", pending()) is None
    assert store.match("b", pending(False)) is None, "another exchange"


def test_of_equal_ones_the_later_one_counts() -> None:
    store = RequestResponseMatcher(10, 5 * SECOND)
    store.match("a", pending(rows=1))
    assert store.match("a", pending(rows=2)) is None
    assert store.match("a", pending(False)) == pending(rows=2)


def test_what_waits_too_long_or_is_too_many_expires() -> None:
    store = RequestResponseMatcher(3, 5 * SECOND)
    for n in range(3):
        store.match(str(n), pending(received=n * SECOND))
    assert store.expire(4 * SECOND) == []
    assert store.expire(5 * SECOND) == [pending(received=0)]
    for n in range(3, 6):
        store.match(str(n), pending(received=n * SECOND))
    assert store.expire(5 * SECOND) == [pending(received=SECOND), pending(received=2 * SECOND)]
    assert len(store) == 3


def test_what_waits_is_kept() -> None:
    store = RequestResponseMatcher(10, 5 * SECOND)
    state: dict[bytes, bytes] = {}

    def keep() -> None:
        for key, value in store.checkpoint():
            state.pop(key, None) if value is None else state.update({key: value})

    for n, name in enumerate("cab"):
        store.match(name, pending(received=n * SECOND))
    keep()
    store.match("a", pending(False))
    keep()
    assert list(store.checkpoint()) == [], "nothing changed"
    again = RequestResponseMatcher(10, 5 * SECOND)
    state[b"serving/exchange/odd"] = b"invalid"
    assert again.restore({**state, b"s/other": b"x"}) == state.keys() - {b"serving/exchange/odd"}
    assert again.expire(100 * SECOND) == [pending(received=0), pending(received=2 * SECOND)], (
        "in the order in which they came"
    )
