"""What an answer that is an object, or a list of labels with their scores, means: the answer of one row.

The shapes are those that libraries and services give: pipelines of Hugging Face (`label`, `score`; lists of them, the
likeliest first; `labels`, `scores` of zero-shot), Vertex AI (`displayNames`, `confidences`; `classes`, `scores`),
SageMaker (`predicted_label`, `score`), Azure (`tagName`, `probability`; `sentiment`, `confidenceScores`), and maps of
labels to probabilities. Boxes of detected objects and entities in a text are parts of an answer: they name no class.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from sidecar.decode.otlp.message import Value
from sidecar.decode.predictions.failures import is_error
from sidecar.decode.predictions.serving.call import MAX_CLASS_CHARS

_LABELS = (
    "label", "predicted_label", "predictedLabel", "predicted_class", "predictedClass", "class", "class_name",
    "className", "class_label", "category", "tagName", "displayName", "sentiment", "top_class", "prediction_label",
    "prediction", "predicted", "result", "output", "y", "classes", "class_ids",
)  # fmt: skip
_SCORES = (
    "score", "probability", "confidence", "prob", "proba", "confidenceScore", "probabilities", "probas",
    "confidenceScores", "scores", "confidences", "prediction_score", "predicted_probability", "class_probabilities",
)  # fmt: skip
_VALUES = ("value", "predicted_value", "predictedValue", "prediction_value", "predicted")
_LISTS = ("labels", "displayNames", "classes", "class_names", "names", "label", "predicted_labels")
_PARTS = frozenset(
    {"box", "bbox", "bounding_box", "boundingBox", "boundingPoly", "mask", "entity", "entity_group", "word"}
)
"""One of these is in each part of an answer: a box, a token."""
_SUM_IS_ONE = 1e-3
_DEEP = 3


@dataclass(frozen=True, slots=True)
class Row:
    """The answer of one row."""

    name: str = ""
    """The class; empty where there is none that could be one."""
    value: float = math.nan
    score: float = math.nan
    failed: bool = False


def is_object(found: Value) -> bool:
    """Whether `row` is for this: an object, or a list of objects."""
    return isinstance(found, dict) or (isinstance(found, list) and bool(found) and isinstance(found[0], dict))


def row(found: Value | Mapping[str, Value], depth: int = 0) -> Row:
    """The answer that an object, or a list of labels with scores, is."""
    if isinstance(found, list):
        return _best(found)
    if not isinstance(found, dict) or depth >= _DEEP:
        return Row()
    if is_error(found):
        return Row(failed=True)
    if _PARTS & found.keys():
        return Row()
    return _of_lists(found) or _of_members(found, depth) or _of_map(found) or Row()


def is_ranking(found: Sequence[Value]) -> bool:
    """Whether a list of labels with scores is of one row: other labels each, the likeliest first, scores that add up
    to one at most. Rows of their own seldom look so: the scores of two classes are above a half."""
    pairs = [_pair(one) for one in found]
    if len(pairs) < 2 or not all(name and 0 <= score <= 1 for name, score in pairs):
        return False
    scores = [score for _, score in pairs]
    falls = all(a >= b for a, b in pairwise(scores))
    return falls and len({name for name, _ in pairs}) == len(pairs) and sum(scores) <= 1 + _SUM_IS_ONE


def is_part(found: Value) -> bool:
    """Whether an object is a part of an answer."""
    return isinstance(found, dict) and bool(_PARTS & found.keys())


def _best(found: Sequence[Value]) -> Row:
    if any(is_part(one) for one in found):
        return Row()
    name, score = max(map(_pair, found), key=lambda pair: pair[1] if pair[0] else -math.inf, default=("", math.nan))
    return Row(name, score=score) if name else Row()


def _pair(found: Value) -> tuple[str, float]:
    """(label, score) of an object; no label where it has not both."""
    if not isinstance(found, dict) or is_part(found):
        return "", math.nan
    name = next((text for key in _LABELS if (text := _name(found.get(key)))), "")
    score = next((n for key in _SCORES if math.isfinite(n := _number(found.get(key)))), math.nan)
    return (name, score) if math.isfinite(score) else ("", math.nan)


def _of_lists(found: Mapping[str, Value]) -> Row | None:
    """Labels and scores as two lists of one length."""
    for names in _LISTS:
        for scores in _SCORES:
            labels, numbers = found.get(names), found.get(scores)
            if isinstance(labels, list) and isinstance(numbers, list) and len(labels) == len(numbers) > 0:
                own = _explicit(found)
                best = max(range(len(numbers)), key=lambda at: _least(numbers[at]))
                return Row(own or _name(labels[best]), score=_finite(_number(numbers[best])))
    return None


def _explicit(found: Mapping[str, Value]) -> str:
    return next((text for key in _LABELS if (text := _name(found.get(key)))), "")


def _of_members(found: Mapping[str, Value], depth: int) -> Row | None:
    score = next((n for key in _SCORES if math.isfinite(n := _score(found.get(key)))), math.nan)
    for key in _LABELS:
        inner = found.get(key)
        if isinstance(inner, dict) or (isinstance(inner, list) and is_object(inner)):
            one = row(inner, depth + 1)
            return Row(one.name, one.value, score if math.isnan(one.score) else one.score, one.failed)
        if isinstance(inner, float):
            return Row(value=_finite(inner), score=score)
        if isinstance(inner, str | int):
            return Row(_name(inner), score=score)
        if isinstance(inner, list) and len(inner) == 1 and _name(inner[0]):
            return Row(_name(inner[0]), score=score)
    value = next((n for key in _VALUES if math.isfinite(n := _number(found.get(key)))), math.nan)
    if math.isfinite(value):
        return Row(value=value, score=score)
    if math.isnan(score):
        return None
    alone = _number(found.get("score"))  # A regression's `score` (SageMaker) is a value; so is one that is no share.
    return Row(value=alone) if math.isfinite(alone) and not 0 <= alone <= 1 else Row(_top(found), score=score)


def _top(found: Mapping[str, Value]) -> str:
    """The label of the greatest of a map of scores."""
    for key in _SCORES:
        scores = found.get(key)
        if isinstance(scores, dict) and scores:
            return _name(max(scores, key=lambda name: _least(scores[name])))
    return ""


def _of_map(found: Mapping[str, Value]) -> Row | None:
    """A map of labels to probabilities: at least two doubles between 0 and 1, at most 1 together."""
    numbers = [_number(value) for value in found.values()]
    shares = len(numbers) >= 2 and all(0 <= n <= 1 for n in numbers) and sum(numbers) <= 1 + _SUM_IS_ONE
    if not shares or not any(isinstance(value, float) for value in found.values()):
        return None
    best = max(found, key=lambda name: _number(found[name]))
    return Row(_name(best), score=_number(found[best]))


def _score(value: Value) -> float:
    """A number, or the greatest of those in a list or map."""
    if isinstance(value, list | dict):
        inner = list(value.values()) if isinstance(value, dict) else value
        return _finite(max((_least(one) for one in inner), default=math.nan))
    return _number(value)


def _least(value: Value) -> float:
    number = _number(value)
    return -math.inf if math.isnan(number) else number


def _finite(number: float) -> float:
    return number if math.isfinite(number) else math.nan


def _number(value: Value) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan


def _name(value: Value) -> str:
    """A class: a short text, a whole number or a bool."""
    if isinstance(value, str):
        return value if len(value) <= MAX_CLASS_CHARS else ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else ""
