from __future__ import annotations

from sidecar.derive.drift.sub_windows import SubWindows


def test_the_oldest_are_forgotten_and_the_others_stay_in_their_order() -> None:
    kept = SubWindows()
    given = [(number, bytes(range(number % 7))) for number in range(-2, 40, 3)]
    for number, counts in given:
        kept.push(number, counts)
    assert list(kept) == given
    assert kept.pop_before(13) == given[:5]
    assert kept.pop_before(13) == []
    assert list(kept) == given[5:]
    assert kept.pop_before(100) == given[5:]
    assert list(kept) == []
