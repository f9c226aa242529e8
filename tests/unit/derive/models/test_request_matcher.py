"""Halves of exchanges: met in either order, bounded, given up in time, the same after a restart."""

from __future__ import annotations

from sidecar.derive.models.request_matcher import Exchanges, Half

SECOND = 10**9


def half(request: bool = True, received: int = 0, rows: int = 1) -> Half:
    return Half(request, "m", "1", rows, received, received)


def test_halves_meet_in_either_order() -> None:
    store = Exchanges(10, 5 * SECOND)
    for first in (True, False):
        assert store.meet("a", half(first)) is None
        assert store.meet("a", half(not first)) == half(first)
    assert len(store) == 0
    assert store.meet("a", half()) is None
    assert store.meet("b", half(False)) is None, "another exchange"


def test_of_equal_halves_the_later_one_counts() -> None:
    store = Exchanges(10, 5 * SECOND)
    store.meet("a", half(rows=1))
    assert store.meet("a", half(rows=2)) is None
    assert store.meet("a", half(False)) == half(rows=2)


def test_what_waits_too_long_or_is_too_many_is_given_up() -> None:
    store = Exchanges(3, 5 * SECOND)
    for n in range(3):
        store.meet(str(n), half(received=n * SECOND))
    assert store.give_up(4 * SECOND) == []
    assert store.give_up(5 * SECOND) == [half(received=0)]
    for n in range(3, 6):
        store.meet(str(n), half(received=n * SECOND))
    assert store.give_up(5 * SECOND) == [half(received=SECOND), half(received=2 * SECOND)]
    assert len(store) == 3


def test_what_waits_is_kept() -> None:
    store = Exchanges(10, 5 * SECOND)
    state: dict[bytes, bytes] = {}

    def keep() -> None:
        for key, value in store.checkpoint():
            state.pop(key, None) if value is None else state.update({key: value})

    for n, name in enumerate("cab"):
        store.meet(name, half(received=n * SECOND))
    keep()
    store.meet("a", half(False))
    keep()
    assert list(store.checkpoint()) == [], "nothing changed"
    again = Exchanges(10, 5 * SECOND)
    state[b"serving/exchange/odd"] = b"nonsense"
    assert again.restore({**state, b"s/other": b"x"}) == state.keys() - {b"serving/exchange/odd"}
    assert again.give_up(100 * SECOND) == [half(received=0), half(received=2 * SECOND)], (
        "in the order in which they came"
    )
