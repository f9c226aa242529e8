"""State that models own, by the keys under which it is committed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sidecar.derive.owned_state import OwnedState
from sidecar.derive.series import pack_labels


class Counts:
    """An owner with a row for each name, of which those in `changed` are committed."""

    def __init__(self, *changed: bytes) -> None:
        self.changed = changed

    def state_keys(self) -> Iterator[bytes]:
        return iter((b"", b"a", b"b"))

    def checkpoint(self) -> Iterator[tuple[bytes, bytes | None]]:
        return ((name, name.upper()) for name in self.changed)


def owned() -> OwnedState:
    return OwnedState(b"x/", 2, "little")


def committed(state: OwnedState, *owners: tuple[tuple[str, str], Counts]) -> dict[bytes, bytes | None]:
    return dict(state.checkpoint(owners))


def test_what_was_committed_is_found_by_its_owner() -> None:
    kept = committed(owned(), (("m", "1"), Counts(b"", b"a")), (("m", ""), Counts(b"b")), (("", ""), Counts(b"a")))
    state = {key: value for key, value in kept.items() if value is not None}
    found = list(owned().owners({b"other": b"", **state}))
    assert [(labels, own) for labels, _, own in found] == [
        (("m", "1"), {b"": b"", b"a": b"A"}),
        (("m", ""), {b"b": b"B"}),
        (("", ""), {b"a": b"A"}),
    ]
    assert {base + key for _, base, own in found for key in own} == state.keys()


@pytest.mark.parametrize(
    "key",
    [
        b"x/",
        b"x/\1",
        b"x/\1\0\0\0a",
        b"x/\xff\xff\xff\xff" + pack_labels(("m", "1"))[:-1],
        b"x/" + len(pack_labels(("m",))).to_bytes(4, "little") + pack_labels(("m",)),
        b"x/" + len(pack_labels(("m", "1", "2"))).to_bytes(4, "little") + pack_labels(("m", "1", "2")),
    ],
)
def test_a_key_that_is_no_owners_is_of_no_use(key: bytes) -> None:
    assert list(owned().owners({key: b""})) == []


def test_the_state_of_an_owner_that_is_gone_is_deleted_once_unless_it_is_back() -> None:
    state, one, two = owned(), ("m", "1"), ("m", "2")
    keys = committed(state, (one, Counts(b"", b"a", b"b"))).keys()
    state.drop(one, Counts())
    assert committed(state) == dict.fromkeys(keys)
    assert committed(state) == {}
    state.drop(one, Counts())
    state.drop(two, Counts())
    state.begin(one, Counts())
    left = committed(state)
    assert len(left) == 3
    assert not keys & left.keys()


def test_the_bytes_of_a_length_have_an_order() -> None:
    big = OwnedState(b"x/", 2, "big")
    ((key, _),) = dict(big.checkpoint([(("m", "1"), Counts(b"a"))])).items()
    assert key == b"x/\0\0\0\x0a" + pack_labels(("m", "1")) + b"a"
    ((key, _),) = committed(owned(), (("m", "1"), Counts(b"a"))).items()
    assert key == b"x/\x0a\0\0\0" + pack_labels(("m", "1")) + b"a"
