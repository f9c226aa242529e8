"""The store of units: numbers, bounds, what is found after a restart."""

from __future__ import annotations

import random
from typing import Any

import pytest

from sidecar.derive.experiments.units import CHUNK, CONVERTED, LABELLED, Unit, Units


def rows(key: int, n: int) -> list[Unit]:
    return [Unit(key, 256 | n % 3, row, row + 1, 7, 11) for row in range(n)]


def checkpoint(units: Units, kept: dict[bytes, bytes]) -> None:
    for key, value in units.checkpoint():
        if value is None:
            kept.pop(key, None)
        else:
            kept[key] = value


def everything(units: Units, keys: int) -> list[Any]:
    """All that can be asked, by key."""
    columns = (units.cell, units.row, units.name, units.model, units.link)
    return [
        [
            (*(column(n) for column in columns), units.has(n, CONVERTED), units.has(n, LABELLED), units.age(n, 10_000))
            for n in units.find(key)
        ]
        for key in range(keys)
    ]


def test_rows_of_a_record_follow_each_other() -> None:
    units = Units(b"u/", 10_000, 60)
    units.add(rows(1, 3), 5)
    units.add(rows(2, 2), 6)
    assert [units.row(n) for n in units.find(1)] == [0, 1, 2]
    assert [units.row(n) for n in units.find(2)] == [0, 1]
    assert list(units.find(3)) == []
    number = units.find(2)[1]
    units.mark(number, CONVERTED)
    assert units.add_value(number, 2.5) == (0, 2.5)
    assert units.add_value(number, 1.0) == (2.5, 3.5)
    assert units.has(number, CONVERTED)
    assert not units.has(number, LABELLED)
    assert units.age(number, 10) == 4


@pytest.mark.parametrize("seed", range(2))
def test_a_store_that_is_restarted_is_as_one_that_is_not(seed: int) -> None:
    chosen = random.Random(seed)
    whole = Units(b"u/", 4 * CHUNK, 500)
    other, kept = Units(b"u/", 4 * CHUNK, 500), dict[bytes, bytes]()
    for now in range(0, 1_500, 10):
        key, n = chosen.randrange(300), chosen.randrange(1, 40)
        for units in (whole, other):
            units.advance(now)
            if not units.find(key):
                units.add(rows(key, n), now)
        found = whole.find(chosen.randrange(300))
        if found:
            at = found[chosen.randrange(len(found))]
            for units in (whole, other):
                units.mark(at, chosen.choice([CONVERTED, CONVERTED]))
                units.add_value(at, 0.1)
                units.complete(at, 99, 98)
        if chosen.random() < 0.2:
            checkpoint(other, kept)
            other = Units(b"u/", 4 * CHUNK, 500)
            assert other.restore(kept) == kept.keys()
            assert everything(other, 300) == everything(whole, 300)
        assert len(other) == len(whole) <= 4 * CHUNK


def test_rows_beyond_a_forgotten_chunk_are_found_still() -> None:
    units, kept = Units(b"u/", 2 * CHUNK, 60), dict[bytes, bytes]()
    units.add(rows(1, CHUNK + 20), 0)
    evicted = units.add(rows(2, CHUNK), 1)
    assert sum(evicted.values()) == CHUNK
    assert [units.row(n) for n in units.find(1)] == list(range(CHUNK, CHUNK + 20))
    checkpoint(units, kept)
    again = Units(b"u/", 2 * CHUNK, 60)
    again.restore(kept)
    assert everything(again, 3) == everything(units, 3)


def test_what_converted_is_not_evicted() -> None:
    units = Units(b"u/", 1, 60)
    units.add(rows(1, CHUNK), 0)
    for n in units.find(1):
        units.mark(n, CONVERTED)
    assert not units.add(rows(2, CHUNK + 1), 0)
    assert len(units.find(1)) == 0


@pytest.mark.parametrize("damage", [b"", b"x", b"x\x9c\x03\x00\x00\x00\x00\x01"])
def test_damaged_state_is_left(damage: bytes) -> None:
    units, kept = Units(b"u/", 10_000, 60), dict[bytes, bytes]()
    units.add(rows(1, CHUNK + 3), 0)
    checkpoint(units, kept)
    kept[max(kept)] = damage
    again = Units(b"u/", 10_000, 60)
    assert again.restore(kept) == set()
    assert len(again) == 0
    again.add(rows(1, 3), 0)
    assert len(again.find(1)) == 3
