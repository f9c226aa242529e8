"""What may leave, and how: rules that drop, hash, mask, cut and filter records before they are delivered.

`engine` is the reference that applies them and says what a redacted payload looks like; `native` has the fast one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from sidecar.decode.api import U32
from sidecar.decode.redaction.patterns import Pattern, compile_pattern

Action = Literal["drop", "hash", "mask"]

MAX_RULES = 100
"""Key rules, and value rules."""
MAX_GLOBS = 1000
"""Globs (keys, services, event names) of all rules together."""
MAX_GLOB_BYTES = 256
MAX_ABOVE_BYTES = 256
"""Of the keys above a nested entry the last so many bytes count: a long one would be looked at again for each entry."""
MAX_NAME_CHARS = 32
MAX_ADDED = 64
MIN_FIELD_BYTES = 64
"""A smaller limit would cut what the rules themselves put in."""
MAX_SEARCHES = 1024
"""Places in one text at which a value rule looks at a match; behind that many the rest of the text counts as one."""
MAX_SEVERITY = 24
MASKED = b"[masked]"
"""What a key rule that masks puts in a value's place."""
CUT = "…[cut]".encode()
"""What a text that was cut ends in."""
HASH_DIGITS = 16
"""Hexadecimal digits of HMAC-SHA256 that stand for a hashed value."""
_MAX_HASH = (1 << 64) - 1
_LEAST_RATIO = 2.0**-52
"""Below this the inverse is no whole number that a double can tell."""
SAMPLING_SEED = 0x6D6F64656C
"""Seed of the xxh3-64 of a trace id that decides about `Filter.sampling_ratio`."""


@dataclass(frozen=True, slots=True)
class KeyRule:
    """Values by their key: attributes of resource, scope, record, event and link, and entries of the maps nested in
    them or in a structured body. The first rule that names a key counts."""

    keys: tuple[str, ...]
    """Globs: `*` is any run of characters; upper and lower case (ASCII) are the same. An entry of a nested map is
    looked up by its own key and by the keys above it joined with points."""
    action: Action
    """drop: the entry is left out. hash: its value becomes 16 hexadecimal digits of the HMAC-SHA256 of the value's text
    (as in labels). mask: its value becomes `[masked]`."""
    events: tuple[str, ...] = ()
    """Only in log records and span events of one of these names; () = everywhere. A rule with events leaves resource,
    scope and the attributes of spans alone."""
    nested: bool = False
    """Only where the value is an array or a map."""
    beside: tuple[str, ...] = ()
    """Only where one of these keys stands in the same map, or among the same attributes; () = everywhere. A rule with
    these has to be for nested values."""
    json_texts: bool = False
    """Of a rule for nested values: also where the value is a text that begins as an array or a map in JSON does."""

    def __post_init__(self) -> None:
        _check_action(self.action)
        for glob in self.keys:
            _check_glob(glob)
        for key in self.beside:
            _check_key(key)
        if not self.keys:
            raise ValueError("a key rule without keys")
        if self.beside and not self.nested:
            raise ValueError("a key rule that looks at keys beside an entry is for nested values")
        if self.json_texts and not self.nested:
            raise ValueError("a key rule for texts of JSON is for nested values")


@dataclass(frozen=True, slots=True)
class ValueRule:
    """Texts by what is in them: every attribute value and key, nested ones too, every body, name, message and other
    text field of a request, and bytes values. Rules are applied in their order, each to what the one before left."""

    name: str
    """Letters, digits, `_`, `-` and `.`; it stands in the texts that were changed."""
    pattern: str
    """See `patterns`."""
    action: Action
    """mask: the match becomes `[name]`. hash: it becomes `[name:` + 16 hexadecimal digits of its HMAC-SHA256 + `]`.
    drop: the whole value goes: the entry, the array's element, the body, the field."""
    luhn: bool = False
    """The match is a payment card's number: see `redactor.card_end`. Integers are checked too, and become text."""

    def __post_init__(self) -> None:
        _check_action(self.action)
        if not self.name or len(self.name) > MAX_NAME_CHARS or not set(self.name) <= _NAME_CHARACTERS:
            raise ValueError(f"name {self.name!r}: 1 to {MAX_NAME_CHARS} letters, digits, `_`, `-` and `.`")
        self.compiled()

    def compiled(self) -> Pattern:
        """Raises ValueError where the pattern is not of the syntax that `patterns` takes."""
        try:
            return compile_pattern(self.pattern, any_byte=self.luhn)
        except ValueError as error:
            raise ValueError(f"pattern of {self.name}: {error}") from None


@dataclass(frozen=True, slots=True)
class Filter:
    """Which records one sink takes; empty = all. A record must satisfy every part that concerns its signal."""

    services: tuple[str, ...] = ()
    """Globs of service names; a resource without one is `unknown_service`."""
    exclude_services: tuple[str, ...] = ()
    min_severity: int = 0
    """Logs: severity number, 1 to 24; of a record without one, that of its severity text. Records that have
    neither pass."""
    event_names: tuple[str, ...] = ()
    """Logs: globs of event names; () = all. A record without event name has the empty one."""
    sampling_ratio: float = 1.0
    """Spans: the share of traces to keep, 0 to 1, decided by a hash of the trace id, so that every sink and pod agrees,
    whatever sampler was at work before. A trace that is kept at a ratio is kept at every larger one."""
    keep_errors: bool = False
    """Spans: a trace of which a span in this payload has error status is kept whole whatever `sampling_ratio` says."""
    min_duration_ns: int = 0
    """The same for a trace with a span that took as long; 0 = off."""
    keep_attributes: tuple[str, ...] = ()
    """The same for a trace with a span that has one of these attributes set to true (or the text `true`)."""

    def __post_init__(self) -> None:
        for glob in (*self.services, *self.exclude_services, *self.event_names):
            _check_glob(glob)
        for name in self.keep_attributes:
            _check_key(name)
        if not 0 <= self.min_severity <= MAX_SEVERITY:
            raise ValueError(f"min_severity {self.min_severity}: 0 to {MAX_SEVERITY}")
        if not 0 <= self.sampling_ratio <= 1:
            raise ValueError(f"invalid sampling_ratio: {self.sampling_ratio}; expected 0 to 1")
        if not 0 <= self.min_duration_ns < 1 << 64:
            raise ValueError(f"invalid min_duration_ns: {self.min_duration_ns}; expected a duration in nanoseconds")

    @property
    def keep_below(self) -> int | None:
        """Traces whose hash (64 bits) is below this are kept; None keeps all. For a ratio of 1/N it is where "one trace
        in N" was split, so that other instances with that older option keep the same traces."""
        if self.sampling_ratio == 1:
            return None
        count = round(1 / self.sampling_ratio) if self.sampling_ratio > _LEAST_RATIO else 0
        if count and self.sampling_ratio == 1 / count:
            return _MAX_HASH // count + 1
        return int(self.sampling_ratio * (_MAX_HASH + 1))


@dataclass(frozen=True, slots=True)
class Rules:
    """All that happens to a payload on its way to one sink."""

    keys: tuple[KeyRule, ...] = ()
    values: tuple[ValueRule, ...] = ()
    hash_key: bytes = b""
    """Key of every HMAC; must not be empty where a rule hashes."""
    add: tuple[tuple[str, str], ...] = ()
    """Resource attributes put on every resource that lacks them (constants, Kubernetes identity). Rules leave them."""
    max_field_bytes: int = 0
    """Texts and bytes longer than this are cut at a character border and end in `…[cut]`; 0 = no limit."""
    filter: Filter = Filter()

    def __post_init__(self) -> None:
        if max(len(self.keys), len(self.values)) > MAX_RULES:
            raise ValueError(f"at most {MAX_RULES} key rules and {MAX_RULES} value rules")
        globs = sum(len(rule.keys) + len(rule.events) for rule in self.keys)
        globs += len(self.filter.services) + len(self.filter.exclude_services) + len(self.filter.event_names)
        if globs > MAX_GLOBS:
            raise ValueError(f"{globs} keys, services and event names, at most {MAX_GLOBS}")
        if not self.hash_key and "hash" in [rule.action for rule in self.keys] + [rule.action for rule in self.values]:
            raise ValueError("a rule hashes, and there is no hash key: set one, the same in every pod")
        if len(self.add) > MAX_ADDED:
            raise ValueError(f"{len(self.add)} attributes to add, at most {MAX_ADDED}")
        for key, _ in self.add:
            _check_key(key)
        if len(dict(self.add)) < len(self.add):
            raise ValueError("an attribute to add is given twice")
        if self.max_field_bytes and self.max_field_bytes < MIN_FIELD_BYTES:
            raise ValueError(f"max_field_bytes {self.max_field_bytes}: at least {MIN_FIELD_BYTES}, or 0 for no limit")

    @property
    def scrubs(self) -> bool:
        """There are key or value rules: what cannot be looked into may not pass."""
        return bool(self.keys or self.values)


@dataclass(frozen=True, slots=True)
class Redacted:
    """A payload as one sink gets it. It holds accepted records only."""

    payload: bytes
    """The very same object where nothing changed."""
    items: int
    """Records that are left."""
    events: int
    """Span events in them."""
    ordinals: U32 | None
    """Ordinal among the accepted records of the payload that came in, of each record that is left; None where all are
    left."""
    changed: int
    """Values dropped, hashed, masked or cut."""


class Redactor(Protocol):
    """One set of rules made ready. Thread-safe."""

    def spans(self, payload: bytes) -> Redacted:
        """Raises DecodeError if the payload is malformed."""
        ...

    def logs(self, payload: bytes) -> Redacted: ...


@dataclass(frozen=True, slots=True)
class NamedPattern:
    """What the program knows to look for by name."""

    pattern: str
    luhn: bool = False


_ADDRESS = r"""[^\s@%<>()\[\]\\,;:"'/=&?|{}`]"""
_LABEL = r"""[^\s@%<>()\[\]\\,;:"'/=&?|{}`.!*]"""

# Bytes of digits in ASCII, full width, Arabic and Persian; and what people and programs put between groups of digits:
# blanks (also those that do not break), hyphens, dashes, points, underscores, slashes, and encoded blanks of URLs.
_FIRST = r"(?:[2-6]|\xef\xbc[\x92-\x96]|\xd9[\xa2-\xa6]|\xdb[\xb2-\xb6])"
_DIGIT = r"(?:[0-9]|\xef\xbc[\x90-\x99]|[\xd9\xdb][\xa0-\xb9])"
_SEPARATOR = r"(?:[ \t._/+-]{1,3}|%2[0Dd]|\xc2\xa0|\xe2[\x80\x88][\x87-\x95\xaf]|\xe3\x80\x80)"

# Upper and lower case as programs write them: of `(?i)` too many literals would have to be looked for.
_SECRET = (
    r"[Pp]ass(?:w(?:or)?d|phrase)|PASS(?:W(?:OR)?D|PHRASE)|[Pp]wd|PWD|[Tt]oken|TOKEN|[Aa]uthorization|AUTHORIZATION"
    r"|[Ss]ecret(?:(?:[_-]?[Aa]ccess)?[_-]?[Kk]ey)?|SECRET(?:(?:[_-]?ACCESS)?[_-]?KEY)?"
    r"|[Aa]pi[Kk]ey|[Aa]pi[_-][Kk]ey|API[Kk]ey|API[_-]?K(?:EY|ey)|[Aa]ccess[_-]?[Kk]ey|ACCESS[_-]?KEY"
)
_QUOTED = r"""[A-Za-z]{0,2}(?:\\{1,7}["'][^"'\\]+|"(?:[^"\\]|\\.)+|'(?:[^'\\]|\\.)+)"""
_BARE = r"""(?:(?:[Bb]asic|[Bb]earer|[Dd]igest|[Nn]egotiate|[Tt]oken|[Aa]pi[Kk]ey) {1,2})?[^\s"'\\&,;]+"""

VALUE_PATTERNS: Mapping[str, NamedPattern] = {
    # The last part of a domain has letters, which distinguishes an address from a package's version (name@1.2.3).
    "email": NamedPattern(
        rf"(?i){_ADDRESS}{{1,64}}(?:@|%40){_LABEL}{{1,63}}(?:\.{_LABEL}{{1,63}}){{0,4}}\.[a-z]{{2,24}}"
    ),
    # Major industry identifiers of payment cards, so that times in milli- or nanoseconds (which begin with 1) are none.
    # Blanks and hyphens anywhere; other separators only where the groups are those of cards; doubles with exponent.
    "card": NamedPattern(
        rf"{_FIRST}(?:\.[0-9]{{8,24}}[eE]\+?1[2-8]|(?:[ -]?{_DIGIT}){{12,18}}|{_DIGIT}{{3}}{_SEPARATOR}"
        rf"(?:{_DIGIT}{{6}}{_SEPARATOR}{_DIGIT}{{4,5}}|"
        rf"(?:{_DIGIT}{{4}}{_SEPARATOR}){{2}}{_DIGIT}{{1,4}}(?:{_SEPARATOR}{_DIGIT}{{1,3}})?))",
        luhn=True,
    ),
    "bearer": NamedPattern(r"(?i)bearer(?:[\s:=+]|%20){1,8}[a-z0-9._~+/=-]{8,}"),
    # Cut off tokens count too; and a pattern that cannot fail late has no texts on which the reference is slow.
    "jwt": NamedPattern(r"eyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]+)?(?:\.[A-Za-z0-9_-]+)?"),
    "url_password": NamedPattern(r"://[^\s/:@?#]{0,128}:[^\s/@?#]{1,256}@"),
    # Headers of encrypted keys have hyphens (`AES-256-CBC`, `4,ENCRYPTED`): only five in a row end the key.
    "private_key": NamedPattern(
        r"-----BEGIN [A-Z ]{0,32}PRIVATE KEY(?: BLOCK)?-----(?:-{0,4}[^-])+"
        r"(?:-----END [A-Z ]{0,32}PRIVATE KEY(?: BLOCK)?-----)?"
    ),
    "aws_key": NamedPattern(r"(?:AKIA|ASIA|AROA|AIDA)[A-Z0-9]{16}"),
    # What key rules see only where it is structure: JSON and dicts in a text, key=value, queries, headers, tuples.
    "credential": NamedPattern(
        rf"""(?:{_SECRET})(?:(?:\\{{0,7}}["'])?[ \t]{{0,4}}(?:=>|[=:]|%3[Dd])[ \t]{{0,4}}\[?(?:{_QUOTED}|{_BARE})"""
        rf"""|["'], ?{_QUOTED})"""
    ),
}


def named_rule(name: str, action: Action) -> ValueRule:
    """The rule of a pattern that ships. Raises ValueError, naming those there are."""
    found = VALUE_PATTERNS.get(name)
    if found is None:
        raise ValueError(f"no pattern is called {name!r}; there are {', '.join(VALUE_PATTERNS)}")
    return ValueRule(name, found.pattern, action, found.luhn)


_NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")


def _check_action(action: str) -> None:
    if action not in ("drop", "hash", "mask"):
        raise ValueError(f"action {action!r}: drop, hash or mask")


def _check_glob(glob: str) -> None:
    if not 1 <= len(glob.encode()) <= MAX_GLOB_BYTES:
        raise ValueError(f"{glob!r}: 1 to {MAX_GLOB_BYTES} bytes")


def _check_key(key: str) -> None:
    _check_glob(key)
    if "\ufffd" in key:
        raise ValueError(f"{key!r}: U+FFFD stands for what is not text")


def sure_literals(rules: Rules) -> tuple[bytes, ...]:
    """Texts of which at least one stands, in any ASCII case, in every payload that the rules change; () where they may
    change any payload, or no such text is known.

    A key may be spread over nested maps (`ml` > `features`), so it stands whole only up to the end of some part of it.
    """
    if rules.values or rules.add or rules.max_field_bytes or rules.filter != Filter():
        return ()
    sure: set[bytes] = set()
    for rule in rules.keys:
        for glob in rule.events or rule.keys:
            found = _long_enough(glob) if rule.events else _standing(glob)
            if not found:
                return ()
            sure |= found
    return tuple(sorted(sure))


def _standing(glob: str) -> set[bytes]:
    """Texts of which one stands wherever a key, spread or not, matches the glob; none where no good one is known."""
    first, point, rest = glob.partition(".")
    second = re.split(r"[*.]", rest)[0]
    if first and bool(point) == bool(second) and "*" not in first and len(first.encode()) < _ONE_BYTE_LENGTH:
        # Both parts in one key; or the first is a whole key, with its length before it, which may be written in more
        # bytes than it needs: the last of those is 0.
        name = first.encode()
        whole = {bytes([len(name)]) + name, b"\0" + name}
        return {*whole, f"{first}.{second}".encode()} if second else whole
    return _long_enough(max(re.split(r"[*.]", glob), key=len))


def _long_enough(text: str) -> set[bytes]:
    return {text.encode()} if len(text) >= _SHORTEST_SURE else set()


_ONE_BYTE_LENGTH = 128
_SHORTEST_SURE = 4
"""Shorter texts stand in most payloads anyway."""
