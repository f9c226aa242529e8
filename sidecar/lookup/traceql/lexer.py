"""TraceQL as tokens."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from sidecar.errors import SidecarError


class QueryError(SidecarError):
    """A query that cannot be read or answered. `position`: index of the character at fault, -1 where it is none."""

    def __init__(self, message: str, position: int = -1) -> None:
        super().__init__(message if position < 0 else f"{message} (at character {position + 1})")
        self.position = position


@dataclass(frozen=True, slots=True)
class Token:
    """`kind`: text, number, duration, attribute, word, or the operator itself; `end` at the end."""

    kind: str
    text: str
    position: int
    value: float | str = 0.0


_UNITS = {"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_NUMBER = r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)"
_UNIT = r"(?:ns|us|µs|ms|s|m|h)"
_PART = re.compile(f"({_NUMBER})({_UNIT})")
_TOKEN = re.compile(
    rf"""\s*(?:
      (?P<duration>{_NUMBER}{_UNIT}(?:{_NUMBER}{_UNIT})*(?![\w.]))
    | (?P<number>{_NUMBER}(?:[eE][+-]?[0-9]+)?(?![\w.]))
    | (?P<attribute>(?:span|resource|event|link|instrumentation|parent)?\.(?:"(?:[^"\\]|\\.)*"|[^\s{{}}()=~!<>&|^,"`])+)
    | (?P<word>(?:trace|span|event|link|instrumentation):[A-Za-z]+|[A-Za-z_][A-Za-z0-9_]*)
    | (?P<text>"(?:[^"\\]|\\.)*"|`[^`]*`)
    | (?P<operator>&>>|&<<|!>>|!<<|&>|&<|&~|!>|!<|>>|<<|&&|\|\||=~|!~|!=|>=|<=|[{{}}()|,=<>~!+\-*/%^])
    )""",
    re.VERBOSE,
)
_PIECE = re.compile(r'"((?:[^"\\]|\\.)*)"|([^"]+)')
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}


def tokens(text: str) -> Iterator[Token]:
    """The tokens of a query and `end`. Raises `QueryError`."""
    position, end = 0, len(text.rstrip())
    while position < end:
        found = _TOKEN.match(text, position)
        if found is None or found.lastgroup is None:
            at = position + len(text[position:]) - len(text[position:].lstrip())
            what = "text without an end" if text[at] in '"`' else f"unexpected {text[at]!r}"
            raise QueryError(f"invalid query: {what}", at)
        yield _token(found.lastgroup, found[found.lastgroup], found.start(found.lastgroup))
        position = found.end()
    yield Token("end", "", end)


def _token(kind: str, text: str, position: int) -> Token:
    match kind:
        case "operator":
            return Token(text, text, position)
        case "number":
            return Token(kind, text, position, float(text) if re.search(r"[.eE]", text) else int(text))
        case "duration":
            return Token(kind, text, position, sum(float(n) * _UNITS[unit] for n, unit in _PART.findall(text)))
        case "text":
            return Token(kind, text, position, text[1:-1] if text[0] == "`" else _unescape(text[1:-1]))
        case _:
            return Token(kind, text, position, text)


def attribute_name(text: str) -> tuple[str, str]:
    """(scope, name) of an attribute token: parts in quotes may have any characters."""
    scope, _, rest = text.partition(".")
    pieces = [plain or _unescape(quoted) for quoted, plain in _PIECE.findall(rest)]
    return scope, "".join(pieces)


def _unescape(text: str) -> str:
    return re.sub(r"\\(.)", lambda found: _ESCAPES.get(found[1], found[1]), text, flags=re.DOTALL)
