"""What a model answers, as columns of the event: classes, scores, values (see `event.py`)."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from typing import Any

from model_sidecar_instrumentation.sample import Sample
from model_sidecar_instrumentation.settings import CaptureSettings
from model_sidecar_instrumentation.values import labels, plain_list, text, to_numpy

_CELLS = 1_000_000
"""Lists and sparse matrices of more values are not read."""
_MANY = 10_000
"""Integer labels from 0 up to this are counted in one pass without sorting."""


def as_array(result: Any) -> Any | None:
    """A numpy array of a result, of lists of plain values and sparse matrices too; None of anything else. A generator
    is the app's to read."""
    if isinstance(result, (list, tuple)):
        return _of_list(result)
    if hasattr(result, "toarray") and hasattr(result, "nnz"):
        return result.toarray() if result.shape[0] * result.shape[1] <= _CELLS else None
    return to_numpy(result)


def _of_list(result: Sequence[Any]) -> Any | None:
    """Of values, or of rows of equal length; a list of other things has no array."""
    numpy = sys.modules.get("numpy")
    if numpy is None or not result or len(result) > _CELLS:
        return None
    flat = not isinstance(result[0], (list, tuple)) and getattr(result[0], "ndim", 0) != 1
    rows: Sequence[Any] = [result] if flat else result
    widths = {len(row) if hasattr(row, "__len__") and not isinstance(row, (str, bytes)) else -1 for row in rows}
    if len(widths) != 1 or widths == {-1} or any(not _is_scalar(cell) for row in rows for cell in row):
        return None
    given = [cell for row in rows for cell in row]
    texts = any(isinstance(cell, str) for cell in given)
    array = numpy.array(given, dtype=object if texts or any(cell is None for cell in given) else None)
    return array if flat else array.reshape(len(rows), -1)


def _is_scalar(value: Any) -> bool:
    return value is None or isinstance(value, (str, bytes, int, float)) or getattr(value, "shape", None) == ()


def kept(array: Any, sample: Sample) -> Any:
    return array if sample.whole else array[sample.first :: sample.one_in]


def predicted(result: Any, classes: Sequence[Any] | None, sample: Sample, settings: CaptureSettings) -> dict[str, Any]:
    """The result of a `predict`: labels where the model has `classes`, or where they are text, truth values or whole
    numbers; else numbers. More than one column: outputs."""
    array = as_array(result)
    if array is None or array.ndim == 0:
        return by_name(result, sample, settings) if isinstance(result, dict) else {}
    if array.ndim == 2 and array.shape[1] == 1:
        array = array.reshape(-1)
    if array.ndim != 1:
        return outputs(array, sample, settings)
    if classes is not None or array.dtype.kind in "OUSbiu":
        return classified(array, sample, settings, classes)
    return {"value": plain_list(kept(array, sample), settings.text)}


def classified(
    array: Any, sample: Sample, settings: CaptureSettings, classes: Sequence[Any] | None = None
) -> dict[str, Any]:
    """An array of labels, shape (rows,); `classes` in ascending order, where they are known."""
    part = kept(array, sample)
    limit = settings.text
    numbered = array.dtype.kind in "iu"
    named = list(map(str, part.tolist())) if numbered else labels(plain_list(part, limit), limit)
    made: dict[str, Any] = {"class": named}
    if len(named) == 1 == sample.rows:
        made["class_counts"] = {named[0]: 1}
        return made
    counts: dict[Any, int]
    if sample.whole:
        counts = Counter(named)
    else:
        counts = dict(zip(labels((found := _counted(array, classes)), limit), found.values()))
    if len(counts) <= settings.classes:
        made["class_counts"] = dict(counts)
    return made


def _counted(array: Any, classes: Sequence[Any] | None) -> dict[Any, int]:
    if array.dtype.kind in "iu" and array.size:
        if classes is not None and len(classes) and isinstance(classes[0], int):
            low, high = classes[0], classes[-1]
        else:
            low, high = int(array.min()), int(array.max())
        if 0 <= low <= high < _MANY:
            counts = sys.modules["numpy"].bincount(array).tolist()
            return {label: count for label, count in enumerate(counts) if count}
    return Counter(array.tolist())


def numbers(result: Any, sample: Sample, settings: CaptureSettings) -> dict[str, Any]:
    """One number for each row, such as a density."""
    array = as_array(result)
    return {} if array is None or array.ndim != 1 else {"value": plain_list(kept(array, sample), settings.text)}


def of_several(
    results: Sequence[Any], classes: Sequence[Any], sample: Sample, settings: CaptureSettings
) -> dict[str, Any]:
    """Probabilities of several targets, an array of shape (rows, classes) for each: columns "target.class"."""
    made: dict[str, Any] = {}
    for number, result in enumerate(results):
        array = to_numpy(result)
        if array is None or array.ndim != 2 or len(array) != sample.rows or len(made) >= settings.columns:
            continue
        own = classes[number] if number < len(classes) else ()
        given = own if hasattr(own, "__len__") and len(own) == array.shape[1] else range(array.shape[1])
        names = [f"{number}.{name}" for name in labels(given, settings.text)]
        made.update(outputs(array, sample, settings, names).get("outputs", {}))
    return {"outputs": dict(list(made.items())[: settings.columns])} if made else {}


def by_name(result: Any, sample: Sample, settings: CaptureSettings) -> dict[str, Any]:
    """A dict of columns, each with a value for each row."""
    made: dict[str, Any] = {}
    for name, value in list(result.items())[: settings.columns]:
        array = as_array(value)
        if array is not None and array.shape == (sample.rows,):
            made[text(str(name), settings.text)] = plain_list(kept(array, sample), settings.text)
    return {"outputs": made} if made else {}


def probabilities(
    result: Any, classes: Sequence[Any] | None, sample: Sample, settings: CaptureSettings
) -> dict[str, Any]:
    """Shape (rows, classes), or (rows,) or (rows, 1) of the second of two. The class is the most probable."""
    array = as_array(result)
    if array is None or array.ndim not in (1, 2):
        return {}
    numpy = sys.modules["numpy"]
    if array.ndim == 1 or array.shape[1] == 1:
        second = array.reshape(-1)
        array = numpy.stack([1 - second, second], axis=1)
    if array.shape[1] == 0:
        return {}
    given = range(array.shape[1]) if classes is None or len(classes) != array.shape[1] else classes
    names = labels(given, settings.text)
    best = array.argmax(axis=1)
    counts = numpy.bincount(best, minlength=len(names)).tolist()
    part, chosen = kept(array, sample), kept(best, sample).tolist()
    columns = plain_list(part.T, settings.text)
    made: dict[str, Any] = {
        "class": [names[i] for i in chosen],
        "score": [columns[i][row] for row, i in enumerate(chosen)],
    }
    present = {name: count for name, count in zip(names, counts) if count}
    if len(present) <= settings.classes:
        made["class_counts"] = present
    if len(names) <= settings.classes // 10:
        made["scores"] = dict(zip(names, columns))
    return made


def margins(result: Any, classes: Sequence[Any] | None, sample: Sample, settings: CaptureSettings) -> dict[str, Any]:
    """A `decision_function`: (rows,) of two classes or of none, (rows, classes) of several; other shapes, such as one
    column for each pair of classes, are outputs."""
    array = to_numpy(result)
    if array is None or array.ndim not in (1, 2):
        return {}
    numpy = sys.modules["numpy"]
    if array.ndim == 2:
        if classes is None or len(classes) != array.shape[1]:
            return outputs(array, sample, settings)
        return classified(numpy.asarray(labels(classes, settings.text))[array.argmax(axis=1)], sample, settings)
    made: dict[str, Any] = {"decision": plain_list(kept(array, sample), settings.text)}
    if classes is not None and len(classes) == 2:
        names = numpy.asarray(labels(classes, settings.text))
        made.update(classified(names[(array > 0).astype("int64")], sample, settings))
    return made


def votes(result: Any, classes: Sequence[Any] | None, sample: Sample, settings: CaptureSettings) -> dict[str, Any]:
    """Margins of one class against another, a column for each pair (0 1, 0 2, ..., 1 2, ...). The class is the first
    that wins most pairs."""
    array = to_numpy(result)
    if array is None or array.ndim != 2 or classes is None:
        return margins(result, classes, sample, settings)
    many = len(classes)
    pairs = [(i, j) for i in range(many) for j in range(i + 1, many)]
    if len(pairs) != array.shape[1]:
        return outputs(array, sample, settings)
    numpy = sys.modules["numpy"]
    won = numpy.zeros((len(array), many), dtype="int64")
    for column, (first, second) in zip((array > 0).T, pairs):
        won[:, first] += column
        won[:, second] += ~column
    return classified(numpy.asarray(labels(classes, settings.text))[won.argmax(axis=1)], sample, settings)


def outliers(result: Any, sample: Sample, settings: CaptureSettings) -> dict[str, Any]:
    """Margins of a detector, shape (rows,): below zero is an outlier, -1."""
    array = to_numpy(result)
    if array is None or array.ndim != 1:
        return {}
    numpy = sys.modules["numpy"]
    made = classified(numpy.where(array < 0, -1, 1), sample, settings)
    return {"decision": plain_list(kept(array, sample), settings.text), **made}


def network(result: Any, sample: Sample, settings: CaptureSettings) -> dict[str, Any]:
    """The output of a neural network, which does not say what it is: labels if whole numbers or text; numbers if one
    column; with `settings.class_names` for every column logits or probabilities; probabilities if every row adds up to
    one; else outputs."""
    array = to_numpy(result)
    if array is None or array.ndim == 0:
        return {}
    if array.ndim == 1 or (array.ndim == 2 and array.shape[1] == 1) or array.dtype.kind in "iuOUSb":
        return predicted(array, None, sample, settings)
    if array.ndim != 2:
        return {}
    numpy = sys.modules["numpy"]
    array = array.astype("float64")
    sums = bool((array >= 0).all() and numpy.allclose(array.sum(axis=1), 1, atol=1e-3))
    names = settings.class_names if len(settings.class_names) == array.shape[1] else None
    if sums:
        return probabilities(array, names, sample, settings)
    if names is None:
        return outputs(array, sample, settings)
    powers = numpy.exp(array - array.max(axis=1, keepdims=True))
    return probabilities(powers / powers.sum(axis=1, keepdims=True), names, sample, settings)


def outputs(
    array: Any, sample: Sample, settings: CaptureSettings, names: Sequence[str] | None = None
) -> dict[str, Any]:
    """Columns whose meaning cannot be known, shape (rows, outputs), by number or name."""
    if array.ndim != 2:
        return {}
    width = min(array.shape[1], settings.columns, max(1, settings.cells // max(1, sample.kept)))
    columns = plain_list(kept(array, sample)[:, :width].T, settings.text)
    given = [str(i) for i in range(width)] if names is None else [text(name, settings.text) for name in names]
    return {"outputs": dict(zip(given, columns))}
