"""Which calls are one prediction: by the data, whichever object, thread or order it comes in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from model_sidecar_instrumentation.fingerprint import fingerprint
from model_sidecar_instrumentation.repeats import WINDOW, Repeats
from scipy import sparse
from support.engines.cache import ROOT
from support.frameworks import run

ROWS = (1, 42)


def _mark(data: Any) -> int | None:
    return fingerprint(data, lambda _: None)


def _counted(repeats: Repeats, calls: list[tuple[int, str, float]]) -> list[bool]:
    return [not repeats.ask(ROWS, trace, method, now)[1] for trace, method, now in calls]


@pytest.mark.parametrize(
    ("calls", "counted"),
    [
        ([(7, "proba", 0), (7, "predict", 900)], [True, False]),
        ([(0, "proba", 0), (0, "predict", WINDOW)], [True, False]),
        ([(0, "proba", 0), (0, "predict", WINDOW + 1)], [True, True]),
        ([(7, "proba", 0), (8, "predict", 0)], [True, True]),
        ([(7, "proba", 0), (0, "predict", 1)], [True, False]),
        ([(0, "proba", 0), (7, "predict", 1)], [True, False]),
        ([(7, "predict", 0), (7, "predict", 0), (7, "predict", 0)], [True, True, True]),
        ([(0, "a", 0), (0, "a", 0), (0, "b", 0), (0, "b", 0), (0, "b", 0)], [True, True, False, False, True]),
        ([(7, "a", 0), (7, "b", 0), (7, "c", 0), (7, "b", 0)], [True, False, False, True]),
    ],
)
def test_calls_of_several_methods_are_as_many_predictions_as_the_most_frequent_of_them(
    calls: list[tuple[int, str, float]], counted: list[bool]
) -> None:
    assert _counted(Repeats(), calls) == counted


def test_a_method_that_failed_answered_nothing() -> None:
    repeats = Repeats()
    failed, _ = repeats.ask(ROWS, 7, "proba", 0)
    repeats.take_back(failed, "proba")
    assert not repeats.ask(ROWS, 7, "predict", 0)[1]
    assert repeats.ask(ROWS, 7, "proba", 0)[1]


def test_what_is_remembered_is_bounded() -> None:
    repeats = Repeats()
    for number in range(5000):
        repeats.ask((1, number), number + 1, "predict", 0)
        repeats.ask(ROWS, 0, "predict", 0)
    assert len(repeats._groups) <= 1024
    assert len(repeats._latest) <= 1024
    assert max(map(len, repeats._groups.values())) <= 32


@given(st.lists(st.lists(st.floats() | st.integers(-9, 9), min_size=3, max_size=3), min_size=1, max_size=20))
def test_the_same_rows_have_the_same_number_in_lists_and_arrays(rows: list[list[float]]) -> None:
    array = np.array(rows, dtype=float)
    assert _mark(rows) == _mark([list(row) for row in rows]) == _mark(array) == _mark(np.asfortranarray(array))


@pytest.mark.parametrize("shape", [(1, 3), (100, 4), (2000, 30), (3, 200, 4)])
@pytest.mark.parametrize("kind", ["f8", "f4", "i4", "u1", "f2"])
def test_one_value_that_differs_anywhere_makes_other_rows(shape: tuple[int, ...], kind: str) -> None:
    array = (np.random.default_rng(1).random(shape) * 100).astype(kind)
    for order in ("C", "F"):
        other = np.array(array, order=order)
        assert _mark(other) == _mark(array)
        other.reshape(-1)[array.size * 2 // 3 :][:1] += 1 if order == "C" else 0
        assert (_mark(other) != _mark(array)) is (order == "C")
    assert _mark(array[::-1][::-1]) == _mark(array)


def test_rows_of_other_shapes_and_values_are_other_rows() -> None:
    given = [
        [[1, 2], [3, 4]],
        [[1, 2, 3, 4]],
        [1, 2, 3, 4],
        [{"a": 1, "b": 2}],
        [{"a": 1, "b": 3}],
        ["one text", "another"],
        ["one text", "another one"],
        {"x": np.zeros((2, 2)), "y": np.ones((2, 2))},
        {"x": np.zeros((2, 2)), "y": np.zeros((2, 2))},
        np.array([["a", "b"]], dtype=object),
        np.array([["a", "c"]], dtype=object),
    ]
    assert len({_mark(data) for data in given}) == len(given)
    assert _mark(object()) is None


FRAMES = """
import json, pandas
from model_sidecar_instrumentation.fingerprint import fingerprint

mixed = pandas.DataFrame({"n": [1.0, None], "t": ["a", "b"]})
others = [mixed.assign(t=["a", "c"]), mixed.assign(n=[1.0, 2.0]), mixed[["n"]], mixed[:1]]
same = [mixed.copy(), pandas.DataFrame({"n": mixed["n"], "t": mixed["t"]})]
print(json.dumps([[fingerprint(data, lambda _: None) for data in group] for group in ([mixed], same, others)]))
"""


def test_frames(frameworks: Path) -> None:
    path = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT / "instrumentation")}
    (mark,), same, others = json.loads(run(frameworks, ["-c", FRAMES], path))
    assert set(same) == {mark} != {None}
    assert len({mark, *others}) == 1 + len(others)


def test_sparse_matrices() -> None:
    matrix = sparse.csr_matrix([[0, 1.5], [2.5, 0]])
    assert _mark(matrix) == _mark(matrix.copy()) != _mark(matrix * 2)
