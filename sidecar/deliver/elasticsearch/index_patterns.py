"""Where documents go when not to a data stream that they name themselves: an index whose name follows from a pattern.

The name is made of the document's own time, not of the clock's: a document that is sent again after midnight must meet
itself there.
"""

from __future__ import annotations

import re
import time

import numpy as np

from sidecar.decode.api import Lines

TYPE = "{type}"
"""In a pattern: `logs` or `traces`."""
_DIRECTIVES = "YmdH"
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
_HEAD = re.compile(rb'\{"create":\{"_index":"([a-z]+)-[^"\n]*"(,"_id":"[^"\n]*"\}\}\n)\{"@timestamp":"(\d+)\.')
_ID = re.compile(rb'^(\{"create":\{"_index":"[^"\n]*"),"_id":"[^"\n]*"(?=\}\}$)', re.MULTILINE)
_HOUR_MS = 3_600_000


def problem(pattern: str) -> str | None:
    """What is wrong with the pattern of an index; None if nothing."""
    bare = re.sub(f"%[{_DIRECTIVES}]", "0", pattern.replace(TYPE, "t"))
    if "%" in bare or "{" in bare:
        return f"{pattern!r} may have %Y, %m, %d, %H and {TYPE} in it, and no other % or {{"
    if pattern[0] == "%" or name_problem(bare):
        return _not_a_name(pattern)
    return None


def name_problem(name: str) -> str | None:
    """What is wrong with the name of one index; None if nothing."""
    return None if _NAME.fullmatch(name) and len(name) <= 200 else _not_a_name(name)


def _not_a_name(text: str) -> str:
    return f"{text!r} is no name of an index: lower-case a to z, digits, dots, hyphens and underscores"


def wildcard(pattern: str, kind: str) -> str:
    """The index pattern that covers every name of it; `kind` is `logs` or `traces`."""
    return re.sub(r"\*(?:[._-]?\*)*", "*", re.sub(f"%[{_DIRECTIVES}]", "*", pattern.replace(TYPE, kind)))


class Namer:
    """Names of indices by pattern; each is worked out once an hour of documents' time."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._names: dict[tuple[bytes, int], bytes] = {}

    def retarget(self, lines: Lines) -> Lines:
        """The same documents for the pattern's indices."""
        body, begin, total = lines.body, 0, 0
        parts: list[bytes] = []
        ends: list[int] = []
        for end in lines.ends.tolist():
            head = _HEAD.match(body, begin)
            if head is None:  # Not a document of ours: it keeps its target.
                pair = body[begin:end]
            else:
                name = self._name(head[1], int(head[3]) // _HOUR_MS)
                pair = b'{"create":{"_index":"' + name + b'"' + body[head.start(2) : end]
            parts.append(pair)
            total += len(pair)
            ends.append(total)
            begin = end
        return Lines(b"".join(parts), np.array(ends, np.uint32), lines.event, lines.docs)

    def _name(self, kind: bytes, hour: int) -> bytes:
        name = self._names.get((kind, hour))
        if name is None:
            if len(self._names) > 1000:  # Documents from all times: their senders' clocks are wrong.
                self._names.clear()
            moment = time.gmtime(min(hour * 3600, 253_402_300_799))
            pattern = self._pattern.replace(TYPE, kind.decode("ascii"))
            name = self._names[kind, hour] = time.strftime(pattern, moment).encode("ascii")
        return name


def without_ids(body: bytes) -> bytes:
    """The line pairs without `_id`: the engine gives each document one of its own."""
    return _ID.sub(rb"\1", body)
