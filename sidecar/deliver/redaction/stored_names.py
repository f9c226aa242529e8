"""Rules by the names that programs write, for what is stored by other names.

Of a JSON log line `error`, `err`, `exception`, `stack` and the like become attributes `exception.*` (see
`decode.logs.fields`). Whoever forbids `error` means what is in it, whatever it is called by then.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sidecar.decode.logs import fields
from sidecar.decode.redaction.redactor import Globs
from sidecar.decode.redaction.rules import Action, KeyRule

_SOURCES: Mapping[str, tuple[str, ...]] = {
    "exception.type": fields.EXCEPTION_TYPE,
    # The message is read from a stack trace, too.
    "exception.message": (*fields.EXCEPTION_MESSAGE, *fields.STACKTRACE),
    "exception.stacktrace": fields.STACKTRACE,
    fields.STRUCTURED_KEPT: (fields.STRUCTURED_EXCEPTION,),
}
"""Attribute -> the members of a line that it is made of."""


def key_rules(keys: Mapping[str, Action]) -> Iterator[KeyRule]:
    """A rule for each key, with the attributes that are made of what it names and that no rule names."""
    named = Globs(tuple(keys))
    left = {name: _given(sources) for name, sources in _SOURCES.items() if not named.match(name.encode())}
    for key, action in keys.items():
        glob = Globs((key,))
        also = [name for name, given in left.items() if any(map(glob.match, given))]
        for name in also:
            del left[name]
        yield KeyRule((key, *also), action)


def _given(sources: tuple[str, ...]) -> list[bytes]:
    """The sources, and the objects that they are members of."""
    objects = (source[:place] for source in sources for place in _points(source))
    return [name.encode() for name in dict.fromkeys((*sources, *(o for o in objects if o in fields.OBJECTS)))]


def _points(text: str) -> Iterator[int]:
    return (place for place, character in enumerate(text) if character == ".")
