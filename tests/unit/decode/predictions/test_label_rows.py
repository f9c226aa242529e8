"""Records from bytes read piece by piece: places, bounds, and damage that stays where it is."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.decode.predictions.label_record import Label
from sidecar.decode.predictions.label_rows import MAX_COLUMNS, MAX_RECORD_BYTES, Row, csv_rows, documents, json_lines
from sidecar.errors import DecodeError


def of_csv(text: str | bytes) -> list[Row]:
    return list(csv_rows(io.BytesIO(text.encode() if isinstance(text, str) else text).readline))


def of_lines(text: str | bytes) -> list[Row]:
    return list(json_lines(io.BytesIO(text.encode() if isinstance(text, str) else text).readline))


def of_documents(text: str | bytes, piece: int = 1 << 20) -> list[Row]:
    source = io.BytesIO(text.encode() if isinstance(text, str) else text)
    return list(documents(lambda size: source.read(min(size, piece))))


def reported(rows: list[Row]) -> list[tuple[str, Any]]:
    return [(row.place, row.refusal if row.label is None else (row.label.prediction, row.label.value)) for row in rows]


def test_csv_with_everything_that_the_rfc_allows() -> None:
    text = (
        '\ufeffid,"label","comment, long"\r\n'
        "1,cat,\r\n"
        '2,"a ""big"" dog","two\r\nlines"\r\n'
        "\r\n"
        '3,"x,y",z\r\n'
        "4, 0.5 ,last line has no end"
    )
    assert reported(of_csv(text)) == [
        ("line 2", ("1", "cat")),
        ("line 3", ("2", 'a "big" dog')),
        ("line 6", ("3", "x,y")),
        ("line 7", ("4", 0.5)),
    ]
    assert of_csv(text)[1].text == '2,"a ""big"" dog","two\nlines"'


def test_bad_rows_are_refused_alone() -> None:
    rows = of_csv('id,label,time\n1,cat,\n,cat,\n3,,\n4,cat\n5,cat,,x\n6,cat,soon\n7,"a"b,\n8,cat,\n')
    assert [(place, why if isinstance(why, tuple) else why[:20]) for place, why in reported(rows)] == [
        ("line 2", ("1", "cat")),
        ("line 3", "no prediction id (an"),
        ("line 4", "no truth (any of ml."),
        ("line 5", "2 columns, the heade"),
        ("line 6", "4 columns, the heade"),
        ("line 7", "time: 'soon' is no t"),
        ("line 8", "not a row of CSV: ',"),
        ("line 9", ("8", "cat")),
    ]
    assert rows[1].text == ",cat,"


def test_a_quote_that_is_never_closed_spoils_its_line_only() -> None:
    rows = of_csv('id,label\n1,"cat\n2,dog\n3,"x"\n4,19" rack\n5,dog\n6,21" rack\n7,"two\nlines"\n8,dog\n')
    assert [(place, why[0] if isinstance(why, tuple) else why[:16]) for place, why in reported(rows)] == [
        ("line 2", "not a row of CSV"),
        ("line 3", "2"),
        ("line 4", "3"),
        ("line 5", "4"),
        ("line 6", "5"),
        ("line 7", "6"),
        ("line 8", "7"),
        ("line 10", "8"),
    ]


def test_a_quoted_cell_is_bounded() -> None:
    lines = "x" * 99 + "\n"
    rows = of_csv('id,label,note\n1,cat,"' + lines * 700 + '"\n2,dog,\n')
    assert rows[0].refusal.startswith("not a row of CSV")
    assert rows[-1].label == Label("2", "dog")
    assert of_csv('id,label,note\n1,cat,"' + lines * 600 + '"\n')[0].label == Label("1", "cat")


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("", "no column for the prediction id (any of ml.prediction.id, "),
        ("label,score", "no column for the prediction id"),
        ("id,score", "no column for the truth (any of ml.label.value, "),
        ("id;label", "in the header 'id;label'; the first line must name the columns, with commas between them"),
        ("id,label,id", "the column 'id' is there twice"),
        ("id,label" + ",x" * MAX_COLUMNS, "258 columns, at most 256"),
        ('id,"label', "line 1: not a row of CSV"),
        ("id,label," + "x" * MAX_RECORD_BYTES, "line 1: longer than"),
    ],
)
def test_a_header_that_will_not_do(header: str, message: str) -> None:
    with pytest.raises(DecodeError, match="line 1") as caught:
        of_csv(header + "\n1,cat\n")
    assert message in str(caught.value)


def test_not_utf8_and_too_long_lines_are_refused_alone() -> None:
    long = b"1," + b"x" * MAX_RECORD_BYTES + b"\n"
    rows = of_csv(b"id,label\n\xff\xfe,cat\n" + long + b"3,cat\n")
    assert reported(rows) == [
        ("line 2", "not UTF-8"),
        ("line 3", f"longer than {MAX_RECORD_BYTES} bytes"),
        ("line 4", ("3", "cat")),
    ]


def test_lines_of_json() -> None:
    text = '\ufeff{"id":1,"label":"cat"}\r\n\n  \n{"id":2}\nnot json\n[1]\n"text"\n{"id":3,"label":NaN}\n'
    text += '{"id":4,"label":0}'
    rows = of_lines(text)
    assert [(place, why if isinstance(why, tuple) else why[:17]) for place, why in reported(rows)] == [
        ("line 1", ("1", "cat")),
        ("line 4", "no truth (any of "),
        ("line 5", "not a JSON object"),
        ("line 6", "not a JSON object"),
        ("line 7", "not a JSON object"),
        ("line 8", "label: nan is no "),
        ("line 9", ("4", 0)),
    ]
    deep = '{"id":1,"label":1,"x":' + "[" * 20_000
    assert reported(of_lines(deep)) == [("line 1", "not a JSON object")]


@pytest.mark.parametrize("piece", [1, 7, 1 << 20])
@pytest.mark.parametrize(
    "text",
    [
        '[{"id":"é1","label":"cat"}, 12345, "x", null, {"id":2} , {"id":3,"label":1.5}]',
        '\ufeff {"id":"é1","label":"cat"} 12345\n"x" null{"id":2}\n\n{"id":3,"label":1.5} ',
    ],
)
def test_documents(text: str, piece: int) -> None:
    expected = [
        ("record 1", ("é1", "cat")),
        ("record 2", "not a JSON object"),
        ("record 3", "not a JSON object"),
        ("record 4", "not a JSON object"),
        ("record 6", ("3", 1.5)),
    ]
    rows = of_documents(text, piece)
    assert rows.pop(4).refusal.startswith("no truth")
    assert reported(rows) == expected
    assert rows[0].text == '{"id":"é1","label":"cat"}'


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ('[{"id":1,"label":1}', 20, "a comma or the end of the array must stand here"),
        ('[{"id":1,"label":1} {"id":2}]', 21, "a comma or the end of the array"),
        ('[{"id":1,"label":1},]', 21, "not JSON, or cut off"),
        ('[{"id":1,"label":1}] x', 22, "the array has ended before here"),
        ('{"id":1,"label":1} {"id":', 20, "not JSON, or cut off"),
        ("id,label", 1, "not JSON"),
        ("[" * 100_000, 2, "nested too deep"),
        ('{"id":"' + "x" * 200_000, 1, f"not JSON, or a record longer than {MAX_RECORD_BYTES} bytes"),
        (b'{"id":1}\xff', 1, "not UTF-8"),
    ],
)
def test_what_is_no_json(text: str | bytes, place: int, message: str) -> None:
    with pytest.raises(DecodeError) as caught:
        of_documents(text)
    assert str(caught.value).startswith(f"character {place}: ")
    assert message in str(caught.value)


def test_what_came_before_the_damage_is_given() -> None:
    rows: Iterator[Row] = documents(io.BytesIO(b'[{"id":1,"label":1},{"id":2,"label":2},oops').read)
    assert [next(rows).place, next(rows).place] == ["record 1", "record 2"]
    with pytest.raises(DecodeError):
        next(rows)


def test_a_long_element_is_refused_alone() -> None:
    long = {"id": 1, "label": 1, "x": "y" * MAX_RECORD_BYTES}
    assert reported(of_documents(json.dumps([long, {"id": 2, "label": 2}]))) == [
        ("record 1", f"longer than {MAX_RECORD_BYTES} bytes"),
        ("record 2", ("2", 2)),
    ]


@pytest.mark.parametrize("read", [of_lines, of_documents])
def test_nothing_is_nothing(read: Callable[[str], list[Row]]) -> None:
    assert read("") == read(" \n ") == []
    assert of_documents("[]") == of_documents(" [ ] ") == []


CELL = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\0"), max_size=12)


@given(st.lists(st.tuples(st.integers(0, 10**6), CELL), max_size=8), st.sampled_from(["\n", "\r\n"]))
def test_what_a_csv_writer_wrote_is_read_back(rows: list[tuple[int, str]], end: str) -> None:
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator=end)
    writer.writerow(["id", "label", "note"])
    writer.writerows([[number, f"class {number}", note] for number, note in rows])
    assert [row.label for row in of_csv(out.getvalue())] == [Label(str(n), f"class {n}") for n, _ in rows]
