"""The store of rows that wait: found again, forgotten in order, bounded, the same after a restart."""

from __future__ import annotations

import random
import sys

import pytest

from sidecar.derive.outcomes.generation import ROW_BYTES, ROWS, Generation
from sidecar.derive.outcomes.joiner import key_of
from sidecar.derive.outcomes.kinds import MAX_KINDS, Kind, Kinds
from sidecar.derive.outcomes.open_predictions import CHUNK, OpenPredictions

YES, NO = Kind("m", "1", "yes"), Kind("m", "1", "no")
TTL = 1000


def store(rows: int = 10 * CHUNK) -> OpenPredictions:
    return OpenPredictions((ROWS + rows) * ROW_BYTES, TTL)


def numbers(rows: OpenPredictions, key: int, row: int | None = None) -> list[int]:
    return sorted(one.number for record in rows.find(key, row) for one in record)


def saved(rows: OpenPredictions, kept: dict[bytes, bytes]) -> None:
    for key, value in rows.checkpoint():
        if value is None:
            kept.pop(key, None)
        else:
            kept[key] = value


def test_rows_are_found_by_id_and_place() -> None:
    rows = store()
    batch = [(YES, 3 + 4 * n, n / 10) for n in range(5)]
    rows.add(1, batch, 5, 5)
    rows.add(2, [(NO, 0, 0.5)], 5, 5)
    rows.add(1, [(NO, 7, 0.5)], 5, 5)
    assert numbers(rows, 1) == [0, 1, 2, 3, 4, 6]
    assert numbers(rows, 2) == [5]
    assert numbers(rows, 3) == []
    assert [numbers(rows, 1, row) for row in (3, 7, 19, 23, 4, 0)] == [[0], [1, 6], [4], [], [], []]
    ((found,), _) = rows.find(1, 7)
    assert (found.kind, found.value, found.time, found.joined) == (YES, 0.1, 5, False)


def test_rows_that_are_not_evenly_spaced() -> None:
    rows = store()
    places = [0, 2, 3, 4, 9, 11, 12]
    rows.add(1, [(YES, place, 0.5) for place in places], 5, 5)
    assert [numbers(rows, 1, place) for place in range(13)] == [
        [places.index(place)] if place in places else [] for place in range(13)
    ]


def test_the_oldest_go_for_the_newest() -> None:
    rows = store(3 * CHUNK)
    evicted = 0
    for n in range(5 * CHUNK):
        _, gone = rows.add(n, [(YES, 0, 0.5)], 5, 5)
        evicted += sum(gone.values())
        if n % 2:
            rows.join(n)
        assert len(rows) <= 3 * CHUNK
    assert numbers(rows, 0) == []
    assert numbers(rows, 5 * CHUNK - 1) == [5 * CHUNK - 1]
    assert evicted == CHUNK  # Of the two chunks that went half of the rows had their labels.


def test_rows_are_forgotten_in_time() -> None:
    rows = store()
    for n in range(3000):
        rows.advance(n)
        rows.add(n, [(YES, 0, 0.5)], n, n)
    assert numbers(rows, 500) == []
    assert numbers(rows, 999) == [999]
    assert len(rows) == 3000
    rows.advance(10_000)
    assert len(rows) == 0
    rows.add(1, [(NO, 0, 0.5)], 10_000, 10_000)
    assert len(numbers(rows, 1)) == 1


def test_what_is_kept_is_the_same() -> None:
    rng = random.Random(3)
    rows, kept = store(6 * CHUNK), {}
    joined = set()
    for key in range(4000):
        rows.advance(key // 4)
        batch = [(rng.choice([YES, NO]), n, rng.random()) for n in range(rng.choice([1, 1, 1, 9]))]
        taken, _ = rows.add(key, batch, key // 4, key // 4)
        if rng.random() < 0.3:
            number = rng.choice(taken)
            rows.join(number)
            joined.add(number)
        if rng.random() < 0.02:
            saved(rows, kept)
    saved(rows, kept)
    again = store(6 * CHUNK)
    assert again.restore(kept) == kept.keys()
    assert len(again) == len(rows)
    for key in range(4000):
        found = [one for record in rows.find(key, None) for one in record]
        assert [one for record in again.find(key, None) for one in record] == found
        assert all(one.joined == (one.number in joined) for one in found)
    assert dict(again.checkpoint()) == {}


def test_a_checkpoint_is_small() -> None:
    rows, kept = store(), {}
    for n in range(8 * CHUNK):
        rows.add(n, [(YES, 0, 0.5)], 5, 5)
    saved(rows, kept)
    rows.add(n + 1, [(YES, 0, 0.5)], 5, 5)
    rows.join(3)
    changed = dict(rows.checkpoint())
    assert len(changed) == 2
    assert sum(map(len, changed.values())) < 300


@pytest.mark.parametrize("damage", [lambda value: value[:-5], lambda value: b"", lambda value: b"\xff" * 40])
def test_what_is_damaged_is_left(damage: object) -> None:
    rows, kept = store(), {}
    for n in range(2 * CHUNK):
        rows.add(n, [(YES, 0, 0.5)], 5, 5)
    saved(rows, kept)
    key = max(key for key in kept if key.startswith(b"outcomes/o/"))
    kept[key] = damage(kept[key])  # type: ignore[operator]
    again = store()
    assert again.restore(kept) == set()
    assert len(again) == 0
    again.add(1, [(NO, 0, 0.5)], 5, 5)
    assert len(numbers(again, 1)) == 1


def test_more_than_one_generation() -> None:
    rows = store(3 * ROWS)
    for n in range(ROWS - 3):
        rows.add(n, [(YES, 0, 0.5)], 5, 5)
    rows.add(7_000_000, [(NO, n, 0.5) for n in range(10)], 5, 5)
    assert numbers(rows, 7_000_000) == list(range(ROWS - 3, ROWS + 7))
    assert [len(numbers(rows, 7_000_000, n)) for n in (0, 2, 3, 9, 10)] == [1, 1, 1, 1, 0]
    kept: dict[bytes, bytes] = {}
    saved(rows, kept)
    again = store(3 * ROWS)
    assert again.restore(kept) == kept.keys()
    assert numbers(again, 7_000_000) == numbers(rows, 7_000_000)


def test_a_row_takes_what_is_said() -> None:
    """The bound of memory is computed from it."""
    rows = store(ROWS)
    for key in range(ROWS):
        rows.add(key_of(str(key)), [(YES, 0, 0.5)], 5, 5)
    (generation,) = rows._generations.values()
    columns = [sys.getsizeof(column) for column in vars(generation).values()]
    assert sum(columns) <= ROWS * ROW_BYTES


def test_kinds_are_numbered_again() -> None:
    kinds = Kinds()
    first, second = kinds.take(YES), kinds.take(NO)
    assert kinds.take(YES) == first
    kinds.give_back(first, 2)
    assert kinds.take(Kind("m", "2", None)) == first
    assert kinds[second] == NO
    assert kinds.has_room({Kind("m", "3", str(n)) for n in range(MAX_KINDS - 2)})
    assert not kinds.has_room({Kind("m", "3", str(n)) for n in range(MAX_KINDS - 1)})


def test_an_index_made_at_once_finds_what_one_made_row_by_row_finds() -> None:
    """Keys for the last slots go on at the first ones."""
    generation = Generation(0)
    keys = [255 + 256 * n for n in range(90)] + [256 * n + n % 7 for n in range(1, 30)]
    for place, key in enumerate(keys):
        generation.append(key, 1, 1, 0, place, 0.5, True)
    for _ in range(2):
        assert [list(generation.starts(key)) for key in keys] == [[place] for place in range(len(keys))]
        assert list(generation.starts(255 + 256 * 1000)) == []
        generation.index()
