from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from support.drift_data import reference

from sidecar.derive.drift.library import CompiledReference
from sidecar.derive.drift.reference import parse
from sidecar.derive.drift.reference_columns import by_column
from sidecar.derive.mounted_files import InvalidFile

MADE = reference({"age": np.arange(90.0), "plan": ["a"] * 30 + ["b"] * 60})
GIVEN: dict[str, Any] = json.loads(MADE.dump())


def with_columns(*columns: dict[str, Any]) -> bytes:
    return json.dumps(GIVEN | {"columns": columns}).encode()


def reordered() -> bytes:
    members = {"columns": GIVEN["columns"]} | {name: value for name, value in GIVEN.items() if name != "columns"}
    return json.dumps(members, indent=2).encode() + b"\r\n\t "


@pytest.mark.parametrize(
    "data",
    [MADE.dump().encode(), reordered(), with_columns(), with_columns(GIVEN["columns"][0] | {"role": "label"})],
    ids=["as it is written", "columns first", "no columns", "a label"],
)
def test_columns_one_by_one_are_those_of_the_whole(data: bytes) -> None:
    whole = parse(data)
    head, columns = by_column(data)
    assert head == whole.model_copy(update={"columns": ()})
    assert tuple(columns) == whole.columns
    read, compiled = CompiledReference.read(data), CompiledReference(whole)
    assert (read.label, read.model, list(read.columns)) == (whole.digest(), compiled.model, list(compiled.columns))
    assert read.limits == compiled.limits


def test_what_only_the_whole_can_read_is_read_as_a_whole() -> None:
    for data in (MADE.dump().encode("utf-16"), b'{"columns": [],' + MADE.dump().encode()[1:]):
        with pytest.raises(ValueError):
            tuple(by_column(data)[1])
        assert CompiledReference.read(data).label == MADE.digest()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b"{1: 2}",
        MADE.dump().encode()[:-3],
        MADE.dump().encode() + b"x",
        json.dumps({**GIVEN, "version": 2}).encode(),
        json.dumps({**GIVEN, "columns": {}}).encode(),
        json.dumps({name: value for name, value in GIVEN.items() if name != "columns"}).encode(),
        json.dumps({**GIVEN, "other": 1}).encode(),
        with_columns(GIVEN["columns"][0], GIVEN["columns"][0]),
        with_columns(GIVEN["columns"][0] | {"count": 1}),
        with_columns(*({**GIVEN["columns"][1], "name": f"c{n}"} for n in range(10_001))),
        b'{"columns": ' + b"[" * 100_000,
    ],
    ids=lambda data: data[:20].decode() + str(len(data)),
)
def test_what_is_wrong_is_what_is_wrong_with_the_whole(data: bytes) -> None:
    with pytest.raises(InvalidFile) as expected:
        parse(data)
    with pytest.raises(InvalidFile) as found:
        CompiledReference.read(data)
    assert str(found.value) == str(expected.value)
