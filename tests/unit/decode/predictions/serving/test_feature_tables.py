"""Feature columns."""

from __future__ import annotations

from sidecar.decode.predictions.serving.call import MAX_CELLS, MAX_COLUMNS, CutColumns
from sidecar.decode.predictions.serving.feature_tables import of_columns, of_rows


def test_rows() -> None:
    assert of_rows([{"a": 1, "b": "x"}, {"a": 2}]) == {"a": [1, 2], "b": ["x", None]}
    assert of_rows([[1, 2.5], [3, 4.5]]) == {"f0": [1, 3], "f1": [2.5, 4.5]}
    assert of_rows([[1, 2.5], [3, 4.5]], ["x", "y"]) == {"x": [1, 3], "y": [2.5, 4.5]}
    assert of_rows([[1, 2.5], [3], "odd"], ["x"]) == {"f0": [1], "f1": [2.5]}
    assert of_rows([1, 2]) == {"f0": [1, 2]}
    assert of_rows([]) == {}


def test_nested_cells_are_left_out() -> None:
    assert of_rows([{"a": [1, 2], "b": 3}]) == {"b": [3]}
    assert of_rows([[[1, 2], [3, 4]]]) == {}
    assert of_columns({"a": [[1, 2], [3, 4]], "b": [5, 6], "c": 7}) == {"a.0": [1, 3], "a.1": [2, 4], "b": [5, 6]}
    assert of_columns({"a": [[1], [2]]}) == {"a": [1, 2]}


def test_what_is_left_out_is_named_and_counted() -> None:
    wide = of_rows([list(range(5000))] * 2)
    assert isinstance(wide, CutColumns)
    assert (wide.left_out, wide.names_left_out[:2], len(wide.names_left_out)) == (
        5000 - MAX_COLUMNS,
        ["f256", "f257"],
        10,
    )
    named = of_rows([{f"f{n}": n for n in range(300)}])
    assert isinstance(named, CutColumns)
    assert (named.left_out, named.names_left_out[0]) == (44, "f256")
    nested = of_rows([{"a": [1, 2], "b": 3}])
    assert isinstance(nested, CutColumns)
    assert (nested.left_out, nested.names_left_out) == (1, ["a"])
    image = of_columns({"pixels": [[0] * 150_000], "age": [1]})
    assert isinstance(image, CutColumns)
    assert (image.left_out, image.names_left_out[0]) == (150_000 - MAX_COLUMNS + 1, "pixels.256")
    assert not isinstance(of_rows([{"a": 1}]), CutColumns)


def test_caps() -> None:
    wide = of_rows([list(range(5000))] * 100)
    assert len(wide) == MAX_COLUMNS
    assert {len(values) for values in wide.values()} == {MAX_CELLS // MAX_COLUMNS}
    assert len(of_rows([{str(n): n for n in range(5000)}])) == MAX_COLUMNS
    assert len(of_columns({"a": [[0] * 5000], "b": [1]})) == MAX_COLUMNS
    assert len(of_rows(list(range(100_000)))["f0"]) == MAX_CELLS
