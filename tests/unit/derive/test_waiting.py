"""What waits for its counterpart: bounded by number and time, the same after a restart."""

from __future__ import annotations

from dataclasses import astuple, dataclass

from sidecar.derive.waiting import Stored, Waiting


@dataclass(frozen=True, slots=True)
class Early:
    key: int
    received: int
    text: str = ""


STORED: Stored[Early] = Stored(b"early/", astuple, lambda fields: Early(*fields))


def waiting(most: int = 10, ttl: float = 60) -> Waiting[Early]:
    return Waiting(STORED, most, ttl)


def test_the_oldest_goes_for_a_new_one() -> None:
    them = waiting(most=2)
    first, second, third = (Early(key, key) for key in (1, 2, 3))
    assert [*them.add(first), *them.add(second)] == []
    assert list(them.add(third)) == [first]
    assert (len(them), them.of(1), [item for _, item in them.of(3)]) == (2, [], [third])


def test_items_of_one_key_are_in_order_of_arrival_and_leave_one_by_one() -> None:
    them = waiting()
    for text in "abc":
        list(them.add(Early(7, 0, text)))
    (first, _), (second, _), _ = them.of(7)
    them.remove(second)
    assert [item.text for _, item in them.of(7)] == ["a", "c"]
    them.remove(first)
    assert [item.text for _, item in them.of(7)] == ["c"]


def test_time_is_up_at_the_ttl_and_not_before() -> None:
    them = waiting(ttl=2)
    early, late = Early(1, 10**9), Early(2, 2 * 10**9)
    list(them.add(early))
    list(them.add(late))
    assert list(them.expired(3 * 10**9 - 1)) == []
    assert list(them.expired(3 * 10**9)) == [early]
    assert len(them) == 1


def test_a_checkpoint_has_what_changed_and_gives_it_back() -> None:
    them, state = waiting(), dict[bytes, bytes]()
    for key in (1, 2, 3):
        list(them.add(Early(key, key, "x" * key)))
    first = dict(them.checkpoint())
    state.update((key, value) for key, value in first.items() if value is not None)
    assert len(state) == 3
    assert dict(them.checkpoint()) == {}
    them.remove(them.of(2)[0][0])
    list(them.add(Early(4, 4)))
    them.remove(them.of(4)[0][0])
    gone = dict(them.checkpoint())
    assert list(gone.values()) == [None], "what came and went between two checkpoints was never stored"
    del state[next(iter(gone))]

    again = waiting()
    broken = {b"early/" + bytes(8): b"not JSON", b"other/1": b"[]"}
    assert again.restore({**broken, **state}) == set(state)
    assert [item for key in (1, 2, 3) for _, item in again.of(key)] == [Early(1, 1, "x"), Early(3, 3, "xxx")]
    list(again.add(Early(9, 9)))
    assert again.of(9)[0][0] > again.of(3)[0][0], "numbers go on"
