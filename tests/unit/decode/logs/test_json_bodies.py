from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.decode.logs.json_bodies import as_lines
from sidecar.decode.python import ReferenceDecoder

RECORDS = [{"message": "a", "n": 1}, {"message": "b", "x": {"y": [1, "é"]}}]


@pytest.mark.parametrize("indent", [None, 2])
def test_an_array_is_a_line_for_each_element(indent: int | None) -> None:
    body = b" \n" + json.dumps(RECORDS, indent=indent).encode()
    assert [json.loads(line) for line in as_lines(body).splitlines()] == RECORDS


def test_one_object_over_several_lines_is_one_line() -> None:
    assert json.loads(as_lines(json.dumps(RECORDS[1], indent=2).encode())) == RECORDS[1]
    assert b"\n" not in as_lines(json.dumps(RECORDS[1], indent=2).encode())


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":1}\n{"a":2}\n',
        b'{"a":1}',
        b"",
        b"plain text",
        b"[not json",
        b"[2026-01-02] a line with a date",
        b'{"a":\n{"b"',
        b'[{"a":1},]',
        b'[{"a":1}] more',
        b'[{"a":1} {"a":2}]',
        b'[{"a":1}',
        b"[" * 100_000,
        b"\xff[1]",
    ],
)
def test_what_is_no_document_stays_as_it_is(body: bytes) -> None:
    assert as_lines(body) == body


def test_elements_that_are_no_objects_are_kept_as_text() -> None:
    check = ReferenceDecoder().json_lines(as_lines(b'["a", 1, null, {"message": "b"}]'), 1).check
    assert check.items == 4


#: Whole numbers beyond these become doubles, in lines as in documents.
INTEGERS = st.integers(-(2**63), 2**63 - 1)
JSON: Any = st.recursive(
    st.none() | st.booleans() | INTEGERS | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=10,
)


@given(
    st.lists(st.dictionaries(st.text(max_size=5), JSON, max_size=4), min_size=1, max_size=5), st.sampled_from([None, 1])
)
def test_every_array_comes_back_whole(records: list[dict[str, Any]], indent: int | None) -> None:
    lines = as_lines(json.dumps(records, indent=indent).encode()).rstrip(b"\n").split(b"\n")
    assert [json.loads(line) for line in lines] == records


@given(st.binary(max_size=50))
def test_any_bytes_give_bytes(body: bytes) -> None:
    assert isinstance(as_lines(body), bytes)
