"""What a model's outputs mean: classes, values or scores, by their names and types.

Text and whole numbers are classes, other numbers are values. A row of probabilities (its column is named so, or its
numbers add up to one) gives its greatest number as score and, where no label stands beside it, its place as class.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sidecar.decode.otlp.message import Value
from sidecar.decode.predictions import answer_objects
from sidecar.decode.predictions.serving.call import MAX_CLASS_CHARS, MAX_ROWS, Answers

_PROBABILITY = re.compile(r"prob|score|softmax|confidence", re.IGNORECASE)
_LABEL = re.compile(
    r"label|class|predict|target|answer|tag_?name|display_?name|category|sentiment|intent|^y$|^output$", re.IGNORECASE
)
_WORDS = re.compile(
    r"^(?:generated|summary|translation|transcription|completion)|_text$|^text$|^token|^sequence$", re.IGNORECASE
)
"""Outputs that are words of a model, and no classes however short they are (pipelines of Hugging Face)."""
_SUM_IS_ONE = 1e-3
"""Rows of probabilities are rounded on their way into JSON."""

Classes = list[str]
Numbers = list[float]


@dataclass(frozen=True, slots=True)
class Output:
    """One named output: an element for each row, a scalar or an array. Of arrays in arrays nothing is read."""

    name: str
    rows: Sequence[Value]
    real: bool = False
    """Its type is floating point, whatever its numbers look like in JSON."""


@dataclass(frozen=True, slots=True)
class _Column:
    """What one output says."""

    name: str
    classes: Classes
    values: Numbers
    scores: Numbers

    @property
    def sure(self) -> bool:
        """It is named like a label, or its numbers are no probabilities."""
        return bool(self.classes or self.values) and not self.scores


def of_predictions(predictions: Value) -> Answers | None:
    """An array with an answer for each row, a map of arrays by output, or a scalar; None for nothing."""
    match predictions:
        case list():
            return _of_rows(predictions)
        case dict() if is_row(predictions):
            return _of_objects([predictions])
        case dict():
            return of_outputs(predictions)
        case None:
            return None
        case _:
            return of_columns([Output("", [predictions])], 1)


def of_one(predictions: Value) -> Answers | None:
    """The same where there may be one row: labels with their scores, the likeliest first, are its answer then."""
    if isinstance(predictions, list) and answer_objects.is_ranking(predictions):
        return _of_objects([predictions])
    return of_predictions(predictions)


def of_outputs(outputs: Mapping[str, Value]) -> Answers | None:
    """Named outputs, each an array by row; None where no output is."""
    arrays = [Output(name, rows) for name, rows in outputs.items() if isinstance(rows, list)]
    return of_columns(arrays, max(len(output.rows) for output in arrays)) if arrays else None


def is_row(found: Mapping[str, Value]) -> bool:
    """Whether a map is the answer of one row, a label and its score, and none of arrays by output."""
    if any(isinstance(value, list) for value in found.values()) and "sequence" not in found:
        return False
    one = answer_objects.row(found)
    return bool(one.name) and math.isfinite(one.score)


def _of_objects(rows: Sequence[Value]) -> Answers:
    read = [answer_objects.row(row) for row in rows[:MAX_ROWS]]
    classes = Counter(row.name for row in read if row.name)
    values = [row.value for row in read if math.isfinite(row.value)]
    scores = [row.score for row in read if math.isfinite(row.score)]
    return Answers(len(rows), classes, () if classes else values, scores)


def _nests(row: Value) -> bool:
    """Whether a row is one that has more to it than scalars: lists of labels and scores, an object in an object."""
    if isinstance(row, list):
        return answer_objects.is_object(row)
    return isinstance(row, dict) and any(isinstance(value, list | dict) for value in row.values())


def _of_rows(rows: list[Value]) -> Answers:
    first = rows[0] if rows else None
    if answer_objects.is_part(first):  # The boxes or entities of one row.
        return Answers(1)
    if _nests(first):
        return _of_objects(rows)
    if not isinstance(first, dict):
        return of_columns([Output("", rows)], len(rows))
    maps = [row if isinstance(row, dict) else {} for row in rows[:MAX_ROWS]]
    if is_distribution(first):
        best = [max(row.items(), key=_second) for row in maps if is_distribution(row)]
        counted = Counter(name[:MAX_CLASS_CHARS] for name, _ in best)
        return Answers(len(rows), counted, (), [_second(pair) for pair in best])
    return of_columns([Output(name, [row.get(name) for row in maps]) for name in first], len(rows))


def _second(pair: tuple[str, Value]) -> float:
    value = pair[1]
    return float(value) if isinstance(value, int | float) else 0.0


def is_distribution(row: Mapping[str, Value]) -> bool:
    """Whether a map is of labels to probabilities: at least two doubles between 0 and 1, at most 1 together, under
    names that are those of no output."""
    numbers = [value for value in row.values() if isinstance(value, int | float) and not isinstance(value, bool)]
    within = len(numbers) == len(row) >= 2 and all(0 <= n <= 1 for n in numbers)
    if not within or not any(isinstance(n, float) for n in numbers) or sum(numbers) > 1 + _SUM_IS_ONE:
        return False
    return not any(_PROBABILITY.search(name) or _LABEL.search(name) for name in row)


def of_columns(outputs: Sequence[Output], rows: int) -> Answers:
    """What these outputs of a call of so many rows say together: one of them is the answer, by its name or else the
    first; scores may be of another."""
    columns = [_read(output) for output in outputs]
    scores = next((column.scores for column in columns if column.scores), [])
    answers = [column for column in columns if column.sure]
    named = [column for column in answers if _LABEL.search(column.name)]
    place = next((column for column in columns if column.scores and column.classes), None)
    chosen = (named or answers or ([place] if place else []))[:1]
    if not chosen:
        return Answers(rows, {}, (), scores)
    return Answers(rows, _counted(chosen[0].classes, rows), chosen[0].values[:rows], scores[:rows])


def _counted(classes: Classes, rows: int) -> Mapping[str, int]:
    return Counter(classes[:rows])


def _read(output: Output) -> _Column:
    rows = output.rows[:MAX_ROWS]
    first = next((row for row in rows if row is not None), None)
    if isinstance(first, list):
        if len(first) == 1:
            return _scalars(output, [row[0] if isinstance(row, list) and row else None for row in rows])
        return _arrays(output, rows)
    return _scalars(output, rows)


def _scalars(output: Output, rows: Sequence[Value]) -> _Column:
    if output.real or any(isinstance(row, float) for row in rows):
        numbers = [float(row) for row in rows if isinstance(row, int | float) and math.isfinite(row)]
        score = bool(_PROBABILITY.search(output.name)) and all(0 <= n <= 1 for n in numbers)
        return _Column(output.name, [], [] if score else numbers, numbers if score else [])
    if _WORDS.search(output.name):
        return _Column(output.name, [], [], [])
    return _Column(output.name, [name for name in map(_class, rows) if name], [], [])


def _class(row: Value) -> str:
    if isinstance(row, str):
        return row if len(row) <= MAX_CLASS_CHARS else ""
    if isinstance(row, bool):
        return "true" if row else "false"
    return str(row) if isinstance(row, int) else ""


def _arrays(output: Output, rows: Sequence[Value]) -> _Column:
    """Rows of probabilities; other arrays (embeddings, logits, images) say nothing."""
    named = bool(_PROBABILITY.search(output.name))
    classes: Classes = []
    scores: Numbers = []
    for row in rows:
        if not isinstance(row, list) or not row or not _is_probabilities(row, named):
            continue
        best = max(row, key=_number)
        classes.append(str(row.index(best)))
        scores.append(_number(best))
    return _Column(output.name, classes, [], scores)


def _number(value: Value) -> float:
    return float(value) if isinstance(value, int | float) else -math.inf


def _is_probabilities(row: list[Value], named: bool) -> bool:
    """Numbers between 0 and 1; those whose output is not `named` so have to add up to one."""
    total = 0.0
    for value in row:
        if not isinstance(value, int | float) or not 0 <= value <= 1:
            return False
        total += value
    return named or abs(total - 1) <= _SUM_IS_ONE
