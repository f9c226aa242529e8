"""What the attributes of records say of predictions, by the table of names."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sidecar.decode.api import F64, U32, U64
from sidecar.decode.otlp.limits import MAX_LABEL_CHARS
from sidecar.decode.predictions import answer_objects
from sidecar.decode.predictions.answer_objects import Row
from sidecar.decode.predictions.attribute_names import ALIASES, FRAMEWORK, STAGES
from sidecar.derive.fixed_point import NOT_NUMBER, number
from sidecar.derive.models.prediction_columns import Classes, NumericColumn, PredictionColumns
from sidecar.derive.series import MAX_WEIGHT, Labels

MAX_BATCH = 10_000
"""Elements that are read of an attribute with an array of predictions."""

_NUMERIC = ("score", "value", "rows", "seconds", "milliseconds")
_EITHER = "prediction"
_INTEGER_CHARS = frozenset("0123456789-")
_DECODER = json.JSONDecoder()


@dataclass(frozen=True, slots=True)
class Answered:
    """The rows that a text holds: classes or values, one of the two is empty."""

    classes: Sequence[str] = ()
    values: Sequence[float] = ()
    scores: Sequence[float] = ()
    failed: bool = False


Aliases = Mapping[str, Sequence[str]]
"""Concept -> attributes, the first that is there counts (`decode.predictions.names.aliases`)."""


def text_names(aliases: Aliases) -> tuple[str, ...]:
    """Attributes that a decoder is asked for as text."""
    return (*(name for concept, names in aliases.items() if concept not in _NUMERIC for name in names), FRAMEWORK)


def number_names(aliases: Aliases) -> tuple[str, ...]:
    """Attributes that it is asked for as numbers."""
    return tuple(name for concept in (*_NUMERIC, _EITHER) for name in aliases[concept])


def measure_names(aliases: Aliases) -> tuple[str, ...]:
    """Attributes that it is asked for both ways: a double is a number only, so that not each makes a group."""
    return tuple(aliases[_EITHER])


@dataclass(frozen=True, slots=True)
class NumericAttributes:
    """The numbers of n records; NaN where one has none."""

    score: F64
    value: F64
    rows: F64
    seconds: F64
    answer: F64
    """The prediction where it is a number, whatever its type; the group's text says whether it is a class."""

    @classmethod
    def of(cls, aliases: Aliases, numbers: Sequence[F64]) -> NumericAttributes:
        """`numbers`: a column for each of `number_names`."""
        columns = dict(zip(number_names(aliases), numbers, strict=True))
        concepts = (*_NUMERIC, _EITHER)
        first = {concept: _first_finite([columns[name] for name in aliases[concept]]) for concept in concepts}
        seconds = _first_finite([first["seconds"], first["milliseconds"] / 1000])
        sane = np.where(seconds >= 0, seconds, np.nan)
        rows = np.where((first["rows"] >= 1) & (first["rows"] < MAX_WEIGHT), np.floor(first["rows"]), np.nan)
        return cls(first["score"], first["value"], rows, sane, first[_EITHER])


def _first_finite(columns: Sequence[F64]) -> F64:
    found = columns[0]
    for column in columns[1:]:
        found = np.where(np.isnan(found), column, found)
    return found


class Group:
    """Records with the same texts."""

    def __init__(
        self,
        texts: Mapping[str, str],
        aliases: Aliases,
        failed: bool,
        stage: str = "",
        stages: bool = False,
        service: str = "",
    ) -> None:
        """`texts`: of `text_names`, empty where a record has none. `stage`: of the record, where no attribute says one.
        `stages`: it counts even without a prediction."""
        found = {
            concept: next((texts[name] for name in names if texts.get(name)), "") for concept, names in aliases.items()
        }
        self.model = found["model"]
        stage = found["stage"] or stage
        nested = _of_objects(found["class"])
        answered = nested or Answered() if found["class"] else _answered(found["prediction"])
        self.failed = answered.failed
        """What stands where the answer should be is an error."""
        status = "error" if failed or found["error"] or answered.failed else "ok"
        self.key: Labels = (service, self.model, found["version"], status, stage or "inference")
        self.only_stage = bool(stages and self.model and stage in STAGES)
        self.named = found["class"] if nested is None else ""
        self.names = _set_of(self.named)
        """Classes of the row; several of a set."""
        self.silent = not found["class"] and not found["prediction"]
        """A number is all that can tell of a prediction."""
        self.classes, self.values, self.scores = answered.classes, answered.values, answered.scores

    @property
    def answers(self) -> bool:
        """The texts tell of a prediction."""
        return bool(self.named or self.classes or self.values or self.failed)


def of_attributes(
    group: U32, groups: Sequence[Group | None], numbers: NumericAttributes, time: U64, weight: F64
) -> PredictionColumns:
    """The records that tell of a prediction (or of a stage), `payload` being each one's place among the n records.

    `groups`: None for records that are left out; `time`: Unix ns; `weight`: how many records each stands for.
    """
    models = np.array([known is not None and bool(known.model) for known in groups], np.bool_)
    answers = np.array([known is not None and known.answers for known in groups])
    stages = np.array([known is not None and known.only_stage for known in groups], np.bool_)
    silent = np.array([known is not None and known.silent for known in groups], np.bool_)
    reported = np.where(np.isnan(numbers.value) & silent[group], numbers.answer, numbers.value)
    numeric = np.isfinite(numbers.score) | np.isfinite(reported)
    predicts = models[group] & (answers.astype(np.bool_)[group] | numeric)
    picked = np.flatnonzero(predicts | stages[group])
    nobody = Group({}, ALIASES, False)
    kept = [known or nobody for known in groups]
    code, value = group[picked], reported[picked]
    # A class or a number of its own beats what `prediction` says.
    beaten = np.array([bool(known.named) for known in kept], np.bool_)[code] | np.isfinite(value)
    classes = _spread(np.where(beaten, len(kept), code), [*(known.classes for known in kept), []])
    values = _spread(np.where(beaten, len(kept), code), [*(known.values for known in kept), []])
    own = _spread(code, [known.names for known in kept])
    scores = _spread(np.where(np.isfinite(numbers.score[picked]), len(kept), code), [*(k.scores for k in kept), []])
    answered = np.maximum(np.bincount(classes[0], minlength=len(picked)), np.bincount(values[0], minlength=len(picked)))
    rows = np.where(np.isnan(numbers.rows[picked]), np.maximum(answered, 1), numbers.rows[picked])
    rows = np.where(predicts[picked], rows, 0.0)
    factor = weight[picked]
    return PredictionColumns(
        payload=picked.astype(np.uint32),
        time=time[picked],
        group=code,
        groups=[known.key for known in kept],
        rows=rows * factor,
        weight=factor,
        seconds=numbers.seconds[picked],
        batch=rows,
        loaded=np.zeros(len(picked), np.bool_),
        classes=_classes([own, classes], factor),
        scores=_joined(_finite(numbers.score[picked], factor), scores, factor),
        values=_joined(_finite(value, factor), values, factor),
    )


def _spread(
    code: npt.NDArray[np.integer], lists: Sequence[Sequence[object]]
) -> tuple[npt.NDArray[np.intp], list[object]]:
    """(record, element) for the elements of each record's list; a record's list is that of its code."""
    lengths = np.array([len(each) for each in lists], np.intp)
    if not lengths.any():
        return np.zeros(0, np.intp), []
    telling = np.flatnonzero(lengths[code])
    elements = [element for at in code[telling].tolist() for element in lists[at]]
    return np.repeat(telling, lengths[code[telling]]), elements


def _classes(spreads: Sequence[tuple[npt.NDArray[np.intp], list[object]]], factor: F64) -> Classes:
    names: dict[str, int] = {}
    of = np.concatenate([of for of, _ in spreads])
    codes = [names.setdefault(str(name), len(names)) for _, found in spreads for name in found]
    return Classes(of.astype(np.uint32), np.array(codes, np.uint32), list(names), factor[of])


def _finite(numbers: F64, factor: F64) -> NumericColumn:
    of = np.flatnonzero(np.isfinite(numbers))
    return NumericColumn(of.astype(np.uint32), numbers[of], factor[of])


def _joined(column: NumericColumn, spread: tuple[npt.NDArray[np.intp], list[object]], factor: F64) -> NumericColumn:
    of, found = spread
    return NumericColumn(
        np.concatenate([column.of, of.astype(np.uint32)]),
        np.concatenate([column.number, np.array(found, np.float64)]),
        np.concatenate([column.weight, factor[of]]),
    )


def _answered(text: str) -> Answered:
    """The rows that an attribute `prediction` holds. Numbers of which one is not whole are all values; a row that holds
    neither text, number nor bool has the class without a name. A text and a share are one row's label and score."""
    nested = _of_objects(text)
    if nested is not None:
        return nested
    elements = _elements(text)
    if not any(isinstance(e, float) for e in elements):
        return Answered([str(e) for e in elements])
    values = [_value(e) for e in elements]
    if not any(e and math.isnan(value) for e, value in zip(elements, values, strict=True)):
        return Answered(values=[value for value in values if math.isfinite(value)])
    match elements:
        case [str(name), float(score)] if 0 <= score <= 1:
            return Answered([name], scores=[score])
    return Answered(["" if isinstance(e, float) else e for e in elements])  # A class for each number would have no end.


def _set_of(text: str) -> list[str]:
    """The classes that an attribute of a class holds: one, or of an array of classes each."""
    found = _array(text)[:MAX_BATCH] if text.startswith("[") else []
    if found and all(isinstance(one, str | int) and one != "" for one in found):
        return list(dict.fromkeys(_text(one) if isinstance(one, str) else json.dumps(one) for one in found))
    return [] if text in ("", "[]") else [text]


def _of_objects(text: str) -> Answered | None:
    """The same of an object, or of an array with some: labels and scores inside count. None where it is neither."""
    rows = _rows_of(text)
    if rows is None:
        return None
    if rows and all(row.failed for row in rows):
        return Answered(failed=True)
    values = [row.value for row in rows if math.isfinite(row.value)]
    named = len(values) < len(rows)
    scores = [row.score for row in rows if math.isfinite(row.score)]
    return Answered([_text(row.name) for row in rows] if named else [], [] if named else values, scores)


def _rows_of(text: str) -> list[Row] | None:
    if text.startswith("{"):
        try:
            found = json.loads(text)
        except RecursionError:
            return [Row()]
        except ValueError:
            return [Row()] if len(text) == MAX_LABEL_CHARS else None
        return [answer_objects.row(found)]
    array: Any = _array(text)[:MAX_BATCH] if text.startswith("[") else []
    if answer_objects.is_object(array):
        one = answer_objects.is_part(array[0]) or answer_objects.is_ranking(array)
        return [answer_objects.row(array)] if one else [answer_objects.row(element) for element in array]
    return [answer_objects.row(element) for element in array] if array and answer_objects.is_object(array[0]) else None


def _text(name: str) -> str:
    return name.encode("utf-8", "replace").decode()  # An escape can be half of a surrogate pair.


def _value(element: str | float) -> float:
    if isinstance(element, float):
        return element
    return number(element) if _INTEGER_CHARS.issuperset(element) else NOT_NUMBER


def _elements(text: str) -> list[str | float]:
    """A prediction by its type: text and whole numbers are classes, other numbers are values, an array is a batch."""
    if not text:
        return []
    if text.startswith("["):
        flat = [e[0] if isinstance(e, list) and len(e) == 1 else e for e in _array(text)[:MAX_BATCH]]
        return [_of_json(e) for e in flat if e != ""]
    return [_element(text)]


def _array(text: str) -> list[object]:
    """The elements of an array; none where it is no JSON. Of one that a decoder has cut those that are whole."""
    try:
        found: list[object] = json.loads(text)
    except RecursionError:
        return []
    except ValueError:
        return _whole_elements(text) if len(text) == MAX_LABEL_CHARS else []
    return found


def _whole_elements(text: str) -> list[object]:
    found: list[object] = []
    rest = text[1:].lstrip()
    try:
        while True:
            element, end = _DECODER.raw_decode(rest)
            between, comma, rest = rest[end:].partition(",")
            if not comma or between.strip():  # Of the last one more may have been cut away.
                return found
            found.append(element)
            rest = rest.lstrip()
    except (ValueError, RecursionError):
        return found


def _of_json(found: object) -> str | float:
    """An array's element. A row of probabilities, say, names no class: as one it would be a series of its own."""
    if found is None or isinstance(found, list | dict):
        return ""
    # An escape can be half of a surrogate pair, which is no text and could not be kept.
    text = found.encode("utf-8", "replace").decode() if isinstance(found, str) else json.dumps(found)
    return _element(text)


def _element(text: str) -> str | float:
    if _INTEGER_CHARS.issuperset(text):
        return text
    value = number(text) if text not in ("true", "false") else NOT_NUMBER
    return value if math.isfinite(value) else text
