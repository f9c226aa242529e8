"""Which spans of a block may be what a search is about, from the block's columns. Pure.

What the columns do not show counts as a yes: who asks judges the documents. A column of an attribute has the
span's own value, else the resource's, as text.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from sidecar.decode.api import SpanBatch
from sidecar.decode.otlp.limits import MAX_LABEL_CHARS
from sidecar.decode.otlp.terms import texts
from sidecar.deliver.store.block_summary import kind_word
from sidecar.lookup.store import Condition, Needs, Term, Window

Mask = npt.NDArray[np.bool_]
_HEAD = 4
"""Texts of a group before its dimensions: service, name, kind, status."""
_COLUMN = {"service": 0, "name": 1}


def attribute_names(needs: Sequence[Needs], also: Term | None = None) -> list[str]:
    """The attributes that have to be columns of text, that of `also` last."""
    names = [c.term.name for need in needs for c in need.every if c.values and c.term.scope in ("", "span")]
    found = dict.fromkeys(names)
    if also is not None:
        found.pop(also.name, None)
        found[also.name] = None
    return list(found)


def number_names(needs: Sequence[Needs]) -> list[str]:
    """The attributes that have to be columns of numbers."""
    conditions = [c for need in needs for c in need.every if not c.values]
    return list(dict.fromkeys(c.term.name for c in conditions if c.term.scope in ("", "span")))


def matching_rows(
    batch: SpanBatch, needs: Sequence[Needs], window: Window, names: Sequence[str], numbers: Sequence[str]
) -> npt.NDArray[np.int64]:
    """The spans that began in the window and may meet one of the needs, in order."""
    # A span without a start is shown at its end, which only its document has.
    mask: Mask = (batch.start == 0) | ((batch.start >= window.start_ns) & (batch.start <= window.end_ns))
    if needs and mask.any():
        either = np.zeros(len(batch), bool)
        for need in needs:
            every = np.ones(len(batch), bool)
            for condition in need.every:
                every &= _meets(batch, condition, names, numbers)
            either |= every
        mask &= either
    return np.flatnonzero(mask)


def _meets(batch: SpanBatch, condition: Condition, names: Sequence[str], numbers: Sequence[str]) -> Mask:
    scope, name = condition.term.scope, condition.term.name
    if scope == "intrinsic" and name == "duration":
        return _between(batch.duration, condition)
    if scope == "resource":
        return _of_resources(batch, condition)
    if not condition.values:
        return _between(batch.numbers[numbers.index(name)], condition) if name in numbers else _yes(batch)
    judge = _judge(condition, names)
    return np.array([judge(group) for group in batch.groups], bool)[batch.group] if judge else _yes(batch)


def _yes(batch: SpanBatch) -> Mask:
    return np.ones(len(batch), bool)


def _between(column: npt.NDArray[np.generic], condition: Condition) -> Mask:
    if condition.values:
        return np.isin(column, np.array([v for v in condition.values if isinstance(v, (int, float))], np.float64))
    mask: Mask = np.ones(len(column), bool)
    if condition.low is not None:
        mask &= column >= condition.low  # type: ignore[operator]  # numbers, whichever
    if condition.high is not None:
        mask &= column <= condition.high  # type: ignore[operator]
    return mask


def _judge(condition: Condition, names: Sequence[str]) -> Callable[[tuple[str, ...]], bool] | None:
    name, values = condition.term.name, condition.values
    if condition.term.scope != "intrinsic":
        if name not in names:
            return None
        column, wanted = _HEAD + list(names).index(name), _shown(values)
        return lambda group: group[column] in wanted or group[column].startswith("[")
    if name == "kind":
        return lambda group: kind_word(group[2]) in values
    if name == "status":
        return lambda group: group[3].removeprefix("STATUS_CODE_").lower() in values
    at, cut = _COLUMN[name], {str(v)[:MAX_LABEL_CHARS] for v in values}
    return lambda group: group[at] in cut


def _of_resources(batch: SpanBatch, condition: Condition) -> Mask:
    if not condition.values:
        return _yes(batch)
    wanted = _shown(condition.values)
    found = [
        any(key == condition.term.name and (text in wanted or text.startswith("[")) for key, text in pairs)
        for pairs in batch.resources
    ]
    return np.array(found, bool)[batch.resource]


def _shown(values: Sequence[object]) -> set[str]:
    """The values as columns show them: cut, and bytes (which documents show in hex) in base64."""
    found = {text for value in values for text in texts(value)}  # type: ignore[arg-type]
    for text in list(found):
        try:
            found.add(base64.b64encode(bytes.fromhex(text)).decode())
        except ValueError:
            continue
    return {text[:MAX_LABEL_CHARS] for text in found}
