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
from sidecar.lookup.store import Condition, Needs, Pieces, Term, Window

Mask = npt.NDArray[np.bool_]
_HEAD = 4
"""Texts of a group before its dimensions: service, name, kind, status."""
_HEX = frozenset("0123456789abcdef")
_WORDS = frozenset(("true", "false", "null"))
_COLUMN = {"service": 0, "name": 1}


def attribute_names(needs: Sequence[Needs], also: Term | None = None) -> list[str]:
    """The attributes that have to be columns of text, that of `also` last."""
    conditions = [c for need in needs for c in need.every if c.values or c.pieces]
    names = [c.term.name for c in conditions if c.term.scope in ("", "span")]
    found = dict.fromkeys(names)
    if also is not None:
        found.pop(also.name, None)
        found[also.name] = None
    return list(found)


def number_names(needs: Sequence[Needs]) -> list[str]:
    """The attributes that have to be columns of numbers."""
    conditions = [c for need in needs for c in need.every if not c.values and not c.pieces]
    return list(dict.fromkeys(c.term.name for c in conditions if c.term.scope in ("", "span")))


def must_hold(needs: Sequence[Needs]) -> list[bytes]:
    """A payload without any of these has no span that meets a need; [] where that cannot be said."""
    found: list[bytes] = []
    for need in needs:
        texts = next(filter(None, map(_as_sent, need.every)), [])
        if not texts:
            return []
        found += texts
    return found


def _as_sent(condition: Condition) -> list[bytes]:
    """Texts of which a payload has one, as they are, where a span in it meets the condition: no digits of hex, which
    may stand for bytes; no service, which may be one that was not named; no kind and status, which are numbers."""
    if condition.term.scope == "intrinsic" and condition.term.name != "name":
        return []
    if condition.pieces:
        texts: Sequence[object] = [max(condition.pieces.texts, key=len)]
    else:
        # What does not begin as a word may be how Jaeger writes a number, an array or a map.
        texts = [t if isinstance(t, str) and t[:1].isalpha() and t not in _WORDS else None for t in condition.values]
    plain = [t for t in texts if isinstance(t, str) and set(t) - _HEX and "\ufffd" not in t]
    return [text.encode() for text in plain] if len(plain) == len(texts) else []


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
    if not condition.values and not condition.pieces:
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
        column = _HEAD + list(names).index(name)
        if condition.pieces:
            fits = _fits(condition.pieces)
            return lambda group: fits(group[column])
        wanted = _shown(values)
        return lambda group: group[column] in wanted or group[column].startswith("[")
    if name == "kind":
        return lambda group: kind_word(group[2]) in values
    if name == "status":
        return lambda group: group[3].removeprefix("STATUS_CODE_").lower() in values
    at, cut = _COLUMN[name], {str(v)[:MAX_LABEL_CHARS] for v in values}
    if condition.pieces:
        fits = _fits(condition.pieces)
        return lambda group: fits(group[at])
    return lambda group: group[at] in cut


def _of_resources(batch: SpanBatch, condition: Condition) -> Mask:
    if condition.pieces:
        fits = _fits(condition.pieces)
    elif condition.values:
        wanted = _shown(condition.values)
        fits = lambda text: text in wanted or text.startswith("[")  # noqa: E731
    else:
        return _yes(batch)
    found = [any(key == condition.term.name and fits(text) for key, text in pairs) for pairs in batch.resources]
    return np.array(found, bool)[batch.resource]


def _fits(pieces: Pieces) -> Callable[[str], bool]:
    """Whether a text of a column may be one with the pieces: it is, or it was cut, or it shows something else than what
    documents have (an array; bytes)."""

    in_hex = not any(set(text) - _HEX for text in pieces.texts)

    def fits(text: str) -> bool:
        if pieces.fit(text) or text.startswith("[") or len(text) >= MAX_LABEL_CHARS:
            return True
        return in_hex and pieces.fit(_hex(text))

    return fits


def _hex(text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).hex()
    except ValueError:
        return text


def _shown(values: Sequence[object]) -> set[str]:
    """The values as columns show them: cut, and bytes (which documents show in hex) in base64."""
    found = {text for value in values for text in texts(value)}  # type: ignore[arg-type]
    for text in list(found):
        try:
            found.add(base64.b64encode(bytes.fromhex(text)).decode())
        except ValueError:
            continue
    return {text[:MAX_LABEL_CHARS] for text in found}
