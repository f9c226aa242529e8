"""The native core shapes every payload as the reference does, under every set of rules."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from support.odd_requests import KEYS, TEXTS, Rng, a_log, a_request, a_span, mutated

from sidecar.decode.api import Decoder
from sidecar.decode.otlp import wire
from sidecar.decode.python import ReferenceDecoder
from sidecar.decode.redaction.rules import VALUE_PATTERNS, Action, Filter, KeyRule, Rules, ValueRule, named_rule
from sidecar.decode.select import native_decoder
from sidecar.errors import DecodeError

NATIVE = native_decoder()
REFERENCE = ReferenceDecoder()

pytestmark = pytest.mark.skipif(NATIVE is None, reason="the native core is not installed")
fuzzed = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
randoms = st.integers(0, 2**48).map(random.Random)

ACTIONS: tuple[Action, ...] = ("drop", "hash", "mask")
# Texts of the generator, and what is put in their place: of equal length, so that the messages stay well-formed.
SECRETS = {
    b"0123456789abcdef": [b"4111111111111111", b"card378282246310", b"mail@example.com", b"x 5500005555555 "],
    b"fifteen chars...": [b"AKIAIOSFODNN7EXA", b"\xc3\xa9nn@ex\xc3\xa4mple.de", b"://u:hunter22@h/"],
    b"z" * 40: [
        b"Bearer abcdef0123456789 4111 1111 1111 1",
        b"5500 0055 5555 5559 123, 378282246310005",
        b"a@b.co,c@d.co;e@f.co g@h.co j@k.co <l@m>",
        b"AKIAIOSFODNN7EXAMPLEeyJhbGciOiJI.eyJzdWI",
        b"0.4111111111111111 14111111111111111 1.5",
        b"4111\xc2\xa01111\xc2\xa01111\xc2\xa01111 %204.111E111 111 ",
        b"4.111111111111111E15 004111.1111.1111.11",
        "４１１１　１１１１１１".encode() + b"1111111",
        b"\xf0\x9f\x98\x80xx\xf0\x9f\x98\x80\xc3\xa9\xc3\xa9\xc3\xa9xxx\xe2\x82\xac\xe2\x82\xac tttttttttttttt"[:40],
    ],
    b"x" * 17: [b' {"a": 1, "b": 2}', b"\t[1, 2, 3, 4, 5, ", b"\xc2\xa0[1, 2, 3, 4, 5]"],
    b"q" * 5000: [b"4111111111111111 " * 294 + b"zz", (b"a@b.co " * 715)[:5000], b"5" * 5000],
}
PATTERNS = [
    ".", "x+", "(?i)[^a-z]{2}", "\\bq{3,5}\\b", "^a", "t$", "\\W\\W", "n|predict", "(?:a|ab)(?:c|bcd)?",
    "[x-z]{2,4}?", "GET|POST .*", "(?i)SAY", "\\d{2,}", "[^\\x00-\\x7f]", "\\[[a-z]+\\]", "z{39}", "a+?b?",
    "say \"|quo", "service", "\\s", "@", "q{1,3}(?:q|x)", "\\.", "[.]com", "k",
]  # fmt: skip
GLOBS = [
    "*", "k", "http.*", "*.NAME", "service.name", "model.name", "größe", "in", "*e*e*", "exception.type", "in.in*",
    "k.k", "*.k", "some.1*", "event.name", "", "\ufffd",
]  # fmt: skip
BESIDE = ["k", "model.name", "größe", "_", 'quo"te']
EVENTS = ["ml.prediction", "n" * 1024, "predict", "\ufffd("]


def some_rules(rng: Rng) -> Rules:
    def globs(most: int) -> tuple[str, ...]:
        return tuple(glob for glob in rng.sample(GLOBS, rng.randrange(most + 1)) if glob)

    def key_rule() -> KeyRule:
        beside = tuple(rng.sample(BESIDE, rng.choice([0, 1, 3])))
        events = tuple(rng.sample(EVENTS, rng.choice([0, 0, 1, 2])))
        nested = bool(beside or rng.randrange(3) == 0)
        return KeyRule(globs(4) or ("k",), rng.choice(ACTIONS), events, nested, beside, nested and rng.random() < 0.5)

    keys = tuple(key_rule() for _ in range(rng.choice([0, 0, 1, 3])))
    named = [named_rule(name, rng.choice(ACTIONS)) for name in rng.sample(list(VALUE_PATTERNS), rng.choice([0, 1, 4]))]
    own = [
        ValueRule(f"r{i}", rng.choice(PATTERNS), rng.choice(ACTIONS), rng.randrange(8) == 0)
        for i in range(rng.choice([0, 0, 1, 4]))
    ]
    values = [*named, *own]
    rng.shuffle(values)
    return Rules(
        keys=keys,
        values=tuple(values),
        hash_key=rng.choice([b"key", b"k" * 100]),
        add=tuple((key, "added") for key in dict.fromkeys(rng.sample(["k", "service.name", "pod", "größe"], 2)))
        if rng.randrange(3) == 0
        else (),
        max_field_bytes=rng.choice([0, 0, 64, 65, 66, 67, 1000]),
        filter=some_filter(rng) if rng.randrange(2) else Filter(),
    )


def some_filter(rng: Rng) -> Filter:
    globs = ["unknown_*", "*e*", "größe", "a", "n*"]
    return Filter(
        services=tuple(rng.sample(globs, rng.choice([0, 0, 2]))),
        exclude_services=tuple(rng.sample(globs, rng.choice([0, 0, 1]))),
        min_severity=rng.choice([0, 0, 9, 24]),
        event_names=tuple(rng.sample(["*", "ml.*", "*ö*", "n*"], rng.choice([0, 0, 1]))),
        sampling_ratio=rng.choice([1.0, 1 / 2, 1 / 3, 1 / 1000, 2.0**-32, 0.0]),
        keep_errors=bool(rng.randrange(2)),
        min_duration_ns=rng.choice([0, 1, 10**18]),
        keep_attributes=tuple(rng.sample(["k", "model.name"], rng.choice([0, 1]))),
    )


def with_secrets(rng: Rng, payload: bytes) -> bytes:
    for text, secrets in SECRETS.items():
        pieces = payload.split(text)
        payload = pieces[0] + b"".join(rng.choice([text, *secrets]) + piece for piece in pieces[1:])
    return payload


def outcome(decoder: Decoder, signal: str, rules: Rules, payload: bytes) -> Any:
    try:
        redacted = getattr(decoder.redactor(rules), signal)(payload)
    except DecodeError as error:
        return str(error), error.offset
    ordinals = None if redacted.ordinals is None else (redacted.ordinals.dtype, redacted.ordinals.tolist())
    return redacted.payload, redacted.payload is payload, redacted.items, redacted.events, ordinals, redacted.changed


def assert_same(signal: str, rules: Rules, payload: bytes) -> None:
    assert NATIVE is not None
    assert outcome(NATIVE, signal, rules, payload) == outcome(REFERENCE, signal, rules, payload)


def assert_sound(signal: str, rules: Rules, payload: bytes) -> None:
    """What is left is accepted whole, and document ids stay."""
    assert NATIVE is not None
    redacted = getattr(NATIVE.redactor(rules), signal)(payload)
    check = getattr(NATIVE, f"check_{signal}")
    checked, before = check(redacted.payload), check(payload)
    assert (checked.items, checked.events, checked.rejected) == (redacted.items, redacted.events, 0)
    assert (redacted.ordinals is None) == (redacted.items == before.items)
    if signal == "logs":
        ids = [NATIVE.log_lines([p], ["x"], [o]) for p, o in ((payload, None), (redacted.payload, redacted.ordinals))]
        reference = REFERENCE.log_lines([redacted.payload], ["x"], [redacted.ordinals])
        assert ids[1].body == reference.body
        first = [line.split(b'"_id":')[1] for line in ids[0].body.splitlines()[::2]]
        kept = range(before.items) if redacted.ordinals is None else redacted.ordinals.tolist()
        assert [line.split(b'"_id":')[1] for line in ids[1].body.splitlines()[::2]] == [first[place] for place in kept]


def make(signal: str, rng: Rng, odd: bool) -> bytes:
    return with_secrets(rng, a_request(rng, a_span if signal == "spans" else a_log, odd))


@pytest.mark.parametrize("signal", ["spans", "logs"])
@fuzzed
@given(rng=randoms)
def test_well_formed_requests(signal: str, rng: Rng) -> None:
    payload, rules = make(signal, rng, odd=False), some_rules(rng)
    assert_same(signal, rules, payload)
    assert_sound(signal, rules, payload)


@pytest.mark.parametrize("signal", ["spans", "logs"])
@fuzzed
@given(rng=randoms)
def test_fields_out_of_order_repeated_and_unknown(signal: str, rng: Rng) -> None:
    payload, rules = make(signal, rng, odd=True), some_rules(rng)
    assert_same(signal, rules, payload)
    assert_sound(signal, rules, payload)


@pytest.mark.parametrize("signal", ["spans", "logs"])
@fuzzed
@given(rng=randoms)
def test_mutated_requests(signal: str, rng: Rng) -> None:
    assert_same(signal, some_rules(rng), mutated(rng, make(signal, rng, odd=bool(rng.randrange(2)))))


def log_with(text: bytes) -> bytes:
    record = wire.put_bytes(5, wire.put_bytes(1, text)) + wire.put_bytes(12, text)
    return wire.put_bytes(1, wire.put_bytes(2, wire.put_bytes(2, record)))


pieces = st.sampled_from([
    b"a", b"@", b".", b"com", b"4", b"1", b"5500005555555559", b"4111111111111111", b" ", b"-", b"Bearer ", b"eyJ",
    b"\xc3\xa9", b"\xc3", b"\x80", b"\xf0\x9f\x98\x80", b"x", b"[email]", b"://", b":", b"/", b"AKIA", b"%40", b"\n",
    b"0", b"q", b"-----BEGIN PRIVATE KEY-----", b"ab", b"", b"\x00", b"K", b"\xe2\x84\xaa",
    b"4.111111111111111E15", b"%20", b"%", b"E15", b"+", b"1111", b"4111", b"\xc2\xa0", b"\xe2\x80\x93", b"_", b"00",
    "４１１１".encode(), "٤١١١".encode(), "۱".encode(), "\u3000".encode(), "１".encode(), b"\xef\xbc", b"\xd9",
])  # fmt: skip


@settings(max_examples=800, deadline=None)
@given(
    st.lists(pieces, max_size=40).map(b"".join),
    st.lists(st.sampled_from([*VALUE_PATTERNS, *PATTERNS]), min_size=1, max_size=4),
    st.sampled_from(ACTIONS),
    st.booleans(),
    st.sampled_from([0, 64, 65, 66, 67]),
)
@example(b"5" * 4000, ["card"], "mask", True, 0)
@example(b"\x80\x80\x80\x80\x80x\x80\x80\x80\x80\x80", ["x+"], "mask", False, 0)
@example("😀".encode() * 20, ["k"], "mask", False, 64)
def test_texts(text: bytes, patterns: list[str], action: Action, luhn: bool, limit: int) -> None:
    rules = [
        named_rule(pattern, action) if pattern in VALUE_PATTERNS else ValueRule(f"r{i}", pattern, action, luhn)
        for i, pattern in enumerate(patterns)
    ]
    assert_same("logs", Rules(values=tuple(rules), hash_key=b"h", max_field_bytes=limit), log_with(text))


separators = st.sampled_from([
    "", "", " ", "-", ".", "/", "_", "+", "  ", " - ", "%20", "%2D", "\t", "\u00a0", "\u2007", "–", "\u3000", ":", "x",
])  # fmt: skip
around = st.sampled_from([
    "", " ", "1", "0", "0.", "192.168.100.200 - - [", " 1795256301122834607 ", "e15", "=", "é", "%20", "a4", "\n",
])  # fmt: skip
zeros = st.sampled_from([(0x30,), (0x30,), (0xFF10,), (0x0660,), (0x06F0,), (0x30, 0xFF10)])


@st.composite
def numbers_like_cards(draw: st.DrawFn) -> str:
    """A number of 11 to 20 digits, mostly with a card's check digit, spelled in some way."""
    digits = draw(st.lists(st.integers(0, 9), min_size=10, max_size=19))
    total = sum(sum(divmod(2 * digit, 10)) if place % 2 == 0 else digit for place, digit in enumerate(digits[::-1]))
    digits.append((draw(st.sampled_from([0, 0, 0, 1])) - total) % 10)
    if draw(st.integers(0, 3)) == 0:
        plain = "".join(map(str, digits))
        return f"{plain[0]}.{plain[1:]}{draw(st.sampled_from(['e', 'E', 'e+']))}{draw(st.integers(10, 19))}"
    scripts = draw(zeros)
    text = "".join(chr(draw(st.sampled_from(scripts)) + digit) for digit in digits)
    width = draw(st.sampled_from([3, 4, 4, 4, 6, 20]))
    return draw(separators).join(text[at : at + width] for at in range(0, len(text), width))


@settings(max_examples=800, deadline=None)
@given(
    st.lists(st.tuples(around, numbers_like_cards(), around).map("".join), min_size=1, max_size=4).map(" ".join),
    st.sampled_from(["card", "[0-9][0-9:x]{10,24}", "\\d{4}.{12,20}", "(?:\\d\\s?){11,20}"]),
    st.sampled_from(ACTIONS),
)
def test_numbers_like_cards(text: str, pattern: str, action: Action) -> None:
    rule = named_rule(pattern, action) if pattern in VALUE_PATTERNS else ValueRule("own", pattern, action, luhn=True)
    assert_same("logs", Rules(values=(rule,), hash_key=b"h"), log_with(text.encode()))


atoms = st.sampled_from([
    "a", "b", "[ab]", "[^a]", ".", "\\d", "\\w", "\\W", "\\s", "[a-f0-9]", "\\.", "-", "\\x40", "1",
    "(?:ab|a)", "(?:a|b1)", "\\b", "^", "$",
])  # fmt: skip


@st.composite
def pattern_texts(draw: st.DrawFn) -> str:
    parts = []
    for _ in range(draw(st.integers(1, 5))):
        atom = draw(atoms)
        parts.append(
            atom
            + (
                ""
                if atom in ("^", "$", "\\b")
                else draw(st.sampled_from(["", "", "+", "*", "?", "{2}", "{1,3}", "+?"]))
            )
        )
    joined = draw(st.sampled_from(["", "", "(?i)"])) + "".join(parts)
    return joined + draw(st.sampled_from(["", "", "|b+", "|\\d{3}"]))


@settings(max_examples=800, deadline=None)
@given(pattern_texts(), st.text(alphabet="abAB1 .-@é\n_", max_size=30))
def test_generated_patterns(pattern: str, text: str) -> None:
    try:
        rule = ValueRule("r", pattern, "mask")
    except ValueError:
        return
    assert_same("logs", Rules(values=(rule,)), log_with(text.encode()))


@fuzzed
@given(
    st.integers(-(2**63), 2**63 - 1) | st.sampled_from([4111111111111111, 378282246310005, 10**12, 5500005555555559])
)
@example(4111111111111111)
def test_integers(number: int) -> None:
    value = wire.put_uint(3, number & (2**64 - 1))
    pair = wire.put_bytes(6, wire.put_bytes(1, b"n") + wire.put_bytes(2, value))
    payload = wire.put_bytes(1, wire.put_bytes(2, wire.put_bytes(2, pair + wire.put_bytes(5, value))))
    for action in ACTIONS:
        assert_same("logs", Rules(values=(named_rule("card", action),), hash_key=b"h"), payload)


def test_ordinals_must_fit() -> None:
    assert NATIVE is not None
    for decoder in (NATIVE, REFERENCE):
        for count in (0, 2):
            with pytest.raises(ValueError):
                decoder.log_lines([log_with(b"x")], ["p"], [np.arange(count, dtype=np.uint32)])


def test_the_generator_has_something_to_find() -> None:
    assert NATIVE is not None
    assert {len(text) for text in SECRETS} <= {len(text.encode()) for text in TEXTS}
    assert all(len(secret) == len(text) for text, secrets in SECRETS.items() for secret in secrets)
    assert "k" in KEYS
    rules = Rules(values=tuple(named_rule(name, "mask") for name in VALUE_PATTERNS))
    payloads = (make("logs", random.Random(seed), odd=False) for seed in range(100))
    assert sum(NATIVE.redactor(rules).logs(payload).changed > 0 for payload in payloads) > 20
