"""The native core makes of JSON log lines, byte for byte, what the reference makes of them."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sidecar.decode.logs import fields as names
from sidecar.decode.otlp.limits import MAX_ATTRIBUTES, MAX_DEPTH, MAX_LINE_BYTES
from sidecar.decode.python import ReferenceDecoder
from sidecar.decode.select import native_decoder

NATIVE = native_decoder()
REFERENCE = ReferenceDecoder()

pytestmark = pytest.mark.skipif(NATIVE is None, reason="the native core is not installed")
fuzzed = settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
randoms = st.integers(0, 2**48).map(random.Random)

OBSERVED = 1_795_256_301_122_834_607

ALIASES = [
    *names.BODY, *names.TIME, *(name for name, _ in names.LEVEL), *names.TRACE_ID, *names.SPAN_ID, names.TRACEPARENT,
    *names.SERVICE, *names.EXCEPTION_TYPE, *names.EXCEPTION_MESSAGE, *names.STACKTRACE, names.STRUCTURED_KEPT,
]  # fmt: skip
KEYS = [
    *ALIASES, *names.OBJECTS, *ALIASES, "", "a", "b", "größe", "log.unparsed", "type", "kind", "stack", "id", "\x7f",
]  # fmt: skip
TIMES = [
    "2026-11-21T10:00:00Z", "2026-11-21 10:00:00,123", "2026/11/21t10:00:60.1234567891+0130", "2026-11-21T10:00 GMT",
    "2026-02-29T00:00:00Z", "2024-02-29T23:59:59-23:59", "1970-01-01T00:00:00Z", "2262-04-11T23:47:16.854775807Z",
    "2262-04-11T23:47:16.854775808Z", "0000-01-01T00:00:00Z", "0001-01-01T00:00:00+23", "2026-13-01T00:00:00Z",
    "2026-11-21T24:00:00Z", "2026-11-21T10:00:00+01:", "2026-11-21T10:00:00.", "2026-11-21T10:00:00  UTC",
    "2026-11/21T10:00:00", "1795256301", "1795256301.122834607", "1795256301122", "99999999", "100000000.",
    "12345678901234567890", "9999999999999999999", "1795256301122834607.9", "2026-11-21T10:00:00 +01:00",
    "2026-11-21T10:00Z ", "２０２６-11-21T10:00Z", "Sat, 21 Nov 2026 10:00:00 +0000", "21/Nov/2026:10:00:00 -0130",
    "[21/Nov/2026:10:00:00.25 +0000]", "1 feb 2026 10:00 (UTC)", "Sat 21-NOV-2026 10:00:60,5 GMT (x)", "[1]",
]  # fmt: skip
NUMBERS = [
    "0", "-0", "-0.0", "0.0", "1", "7", "8", "30", "35", "99", "100", "5", "-5", "24", "25", "1e2", "1E+2", "1.5e-7",
    "01", "1.", ".5", "+1", "1e", "-", "1e400", "-1e400", "1e-400", "9223372036854775807", "9223372036854775808",
    "-9223372036854775808", "-9223372036854775809", "123456789012345678901234567890", "1795256301",
    "1795256301.1228346", "1795256301122", "1795256301122.5", "1795256301122834", "1795256301122834607",
    "1.795256301122834607e18", "1e17", "1e14", "100000000", "99999999.9", "18446744073709551615", "9" * 400, "5e-324",
    "2.5e15", "1234567890123456", "NaN", "Infinity", "-Infinity", "0x1", "1_0",
]  # fmt: skip
TRACEBACKS = [
    'Traceback (most recent call last):\n  File "a.py", line 1, in <module>\nValueError: bad\nmore',
    "x\nTraceback (most recent call last):\n  a\nKeyError\r\n\nTraceback (most recent call last):\n\n | x\nb.C: d: e",
    "Traceback (most recent call last):\n  a", 'Exception in thread "main" java.lang.Error: no\n\tat a.b(C.java:1)',
    'So: Exception in thread "x\ty" E\n at  a\n at a', "Uncaught TypeError: x is not\n    at f (a.js:1:2)",
    "Error\n  at ", "9Error: x\n at y", "panic: out of range\n\ngoroutine 1",
    "thread 'main' panicked at src/main.rs:2:5:\nno", "thread 'a' (12) panicked at b", "thread 'a' () panicked at b",
    "a.rb:3:in `f': no: way (KeyError)\n\tfrom a.rb", "a:1:in :2:in x: y: z (A::B)", "a:1:in : x (A)",
    "goroutine 1 [running]:\nmain.main()\n\t/a/b.go:12 +0x1d", "x\n\t:12", "x\n\ta:12 +0x", "x\n\ta:1:2",
    "no trace\nat all",
]  # fmt: skip
TEXTS = [
    "", "x", "INFO", " warn ", "30", "5", "0", "99", "007", "fatal", "Informational", "checkout", "größe 😀", "\u2028",
    "a-b", "4bf92f3577b34da6a3ce929d0e0e4736", "4BF92F3577B34DA6A3CE929D0E0E4736", "00f067aa0ba902b7", "0" * 32,
    "0" * 16, "1234567890123456789", "18446744073709551615", "18446744073709551616", "1234567890123456",
    "0123456789012345678901", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
    "fF-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-ff",
    "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
    "0g-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", *TIMES, *TRACEBACKS,
]  # fmt: skip
STRINGS = [
    r'"\u00e9"', r'"\ud83d\ude00"', r'"\ud83d"', r'"\ude00"', r'"\ud83dx"', r'"\ud83d\u0041"', r'"\ud83d\ud83d\ude00"',
    r'"\x"', r'"\u12"', r'"\u12g4"', r'"\"\\\/\b\f\n\r\t"', '"\t"', '"\x1f"', '"\x7f"', '"open', r'"\ud83d\u"',
    r'"\u0000"', '"\\', r'"\ud83d\\"',
]  # fmt: skip
WORDS = [
    "true", "false", "null", "True", "nul", "truefalse", "[]", "{}", "[1,]", "{,}", "[", "]", '{"a"}', '{"a":1,}',
    "\ufeff1",
]  # fmt: skip


def blanks(rng: random.Random) -> str:
    return rng.choice(["", "", "", " ", "\t", "\r", "  \t"])


def a_text(rng: random.Random) -> str:
    return json.dumps(rng.choice(TEXTS), ensure_ascii=bool(rng.randrange(2)))


def a_value(rng: random.Random, hostile: int, depth: int = 1) -> str:
    if rng.randrange(100) < hostile:
        return rng.choice([*NUMBERS, *STRINGS, *WORDS])
    match rng.randrange(12 if depth < 4 else 8):
        case 0:
            return rng.choice(["true", "false", "null"])
        case 1 | 2:
            return rng.choice([number for number in NUMBERS if _is_json(number)])
        case 8:
            return "[" + ",".join(a_value(rng, hostile, depth + 1) for _ in range(rng.randrange(4))) + "]"
        case 9 | 10:
            return an_object(rng, hostile, depth + 1)
        case 11:
            kind, message = (rng.choice([a_text(rng), "1"]) for _ in range(2))
            both = f'[{{"exc_type":{kind},"exc_value":{message}}},2]'
            return rng.choice([both, f'[{{"exc_type":{kind}}}]', "[{}]", "[[]]"])
        case _:
            return a_text(rng)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return text.lstrip("-")[:1] not in ("N", "I") and text != "9" * 400 and abs(float(text)) != float("inf")


def an_object(rng: random.Random, hostile: int, depth: int = 1) -> str:
    members = []
    for _ in range(rng.choice([0, 1, 2, 4, 8])):
        key = json.dumps(rng.choice(KEYS), ensure_ascii=bool(rng.randrange(2)))
        members.append(f"{blanks(rng)}{key}{blanks(rng)}:{blanks(rng)}{a_value(rng, hostile, depth)}{blanks(rng)}")
    return "{" + ",".join(members) + "}"


def a_line(rng: random.Random, hostile: int) -> bytes:
    line = (blanks(rng) + an_object(rng, hostile) + blanks(rng)).encode()
    if rng.randrange(8) == 0:
        line = b"\xef\xbb\xbf" + line
    if rng.randrange(100) < hostile:
        data = bytearray(line)
        place = rng.randrange(len(data))
        data[place : place + rng.randrange(2)] = rng.choice(
            [b"", b"\xff", b"\xc3", b"\xed\xa0\x80", b"\\", b'"', b"\x00", b","]
        )
        line = bytes(data)
    return line


def same(body: bytes, observed: int = OBSERVED) -> None:
    assert NATIVE is not None
    native, reference = NATIVE.json_lines(body, observed), REFERENCE.json_lines(body, observed)
    assert native == reference  # The lines of several records too.
    assert NATIVE.check_logs(native.payload) == REFERENCE.check_logs(reference.payload)


@fuzzed
@given(randoms)
def test_well_formed_lines(rng: random.Random) -> None:
    lines = [a_line(rng, hostile=0) for _ in range(rng.choice([1, 2, 5]))]
    same(b"\n".join(lines))


@fuzzed
@given(randoms)
def test_hostile_lines(rng: random.Random) -> None:
    lines = [a_line(rng, hostile=rng.choice([3, 10, 40])) for _ in range(rng.choice([1, 2, 5]))]
    same(rng.choice([b"\n", b"\r\n", b"\n\n \n"]).join(lines), rng.choice([0, OBSERVED, 2**64 - 1]))


def like_the_one_before(rng: random.Random, keys: list[str], gaps: list[str]) -> bytes:
    """A line with these keys in this order, or with a few changes to that."""
    keys, gaps = keys.copy(), gaps.copy()
    for _ in range(rng.choice([0, 0, 0, 1, 2])):
        place = rng.randrange(len(keys) + 1)
        match rng.randrange(6):
            case 0:
                keys.insert(place, rng.choice([*KEYS, *keys]))
            case 1:
                del keys[place:]
            case 2:
                del keys[place : place + 1]
            case 3:
                keys[place : place + 2] = keys[place : place + 2][::-1]
            case 4:
                keys[place : place + 1] = ["\\u0061"]
            case _:
                gaps[rng.randrange(len(gaps))] = blanks(rng)
    before, between, behind = gaps
    members = [f'{before}"{key}"{between}:{behind}{a_value(rng, rng.choice([0, 1]))}' for key in keys]
    return ("{" + ",".join(members) + "}").encode()


@fuzzed
@given(randoms)
def test_lines_of_one_program(rng: random.Random) -> None:
    keys = [rng.choice([*KEYS, f"k{n}"]) for n in range(rng.choice([1, 3, 5, 8, 34]))]
    gaps = rng.choice([["", "", ""], ["", "", " "], [" ", " ", "\t"]])
    lines = [like_the_one_before(rng, keys, gaps) for _ in range(rng.choice([2, 4, 12]))]
    same(rng.choice([b"\n", b",", b" "]).join(lines))


@pytest.mark.parametrize("name", sorted({*ALIASES, *names.OBJECTS, "nothing.known"}))
def test_each_name_with_each_kind_of_value(name: str) -> None:
    values = [
        *(json.dumps(text) for text in TEXTS),
        *NUMBERS,
        *WORDS,
        '[{"exc_type":"E","exc_value":"m"}]',
        '{"type":"E"}',
    ]
    key = json.dumps(name)
    same("\n".join(f'{{{key}:{value},"z":1}}' for value in values).encode())


@pytest.mark.parametrize(
    "inner", ["level", "id", "type", "message", "stack", "stack_trace", "kind", "name", "trace_id", "x"]
)
def test_members_of_well_known_objects(inner: str) -> None:
    lines = [
        f'{{"{outer}":{{"{inner}":{json.dumps(text)},"x":2}},"{outer}.{inner}":"later","x":1}}'
        for outer in sorted({*names.OBJECTS, "other"})
        for text in TEXTS[::7]
    ]
    same("\n".join(lines).encode())


@fuzzed
@given(st.lists(st.sampled_from([*NUMBERS, *STRINGS, *WORDS, "{", "}", ":", ",", '"a"', '"log"', " "]), max_size=8))
def test_tokens(tokens: list[str]) -> None:
    same("".join(tokens).encode() + b"\n" + ('{"a":' + "".join(tokens) + "}").encode())


@fuzzed
@given(st.binary(max_size=60))
@example(b"\n\r\n \t\n")
@example(b"")
def test_random_bytes(body: bytes) -> None:
    same(body)
    same(b'{"a":"' + body + b'"}')


@fuzzed
@given(st.floats(allow_nan=False, allow_infinity=False), st.integers())
def test_numbers(double: float, integer: int) -> None:
    same(f'{{"a":{double!r},"b":{integer},"ts":{double!r}}}\n{{"time":{integer}}}\n{{"time":"{double!r}"}}'.encode())


@fuzzed
@given(
    st.sampled_from(["", " ", "\t"]),
    st.datetimes().map(str),
    st.lists(
        st.sampled_from(["", "Z", "+01:00", "-2359", "+05", " UTC", "+24:00", "+01:60", " ", "[UTC]", "[]", "[", "]"]),
        max_size=4,
    ).map("".join),
)
def test_times(before: str, time: str, zone: str) -> None:
    same(json.dumps({"time": before + time + zone}).encode())


@fuzzed
@given(
    st.tuples(
        st.sampled_from(["", " ", "[", "Sat, ", "sat ", "Sa, ", "Sat,", "[Sat, "]),
        st.sampled_from(["1", "01", "21", "31", "001", ""]),
        st.sampled_from(["/", " ", "-", "//", ""]),
        st.sampled_from(["Nov", "feb", "SEP", "Now", "No"]),
        st.sampled_from(["/", " ", "-"]),
        st.sampled_from(["2026", "26", "1969", "2262", "9999"]),
        st.sampled_from([":", " ", "  ", "", "T"]),
        st.sampled_from(["10:00:00", "10:00", "24:00:00", "1:00", "10:00:60.5", "10:00:00,1234567891", "10:00:00."]),
        st.lists(
            st.sampled_from(
                ["", " ", "+0130", "-23:59", "+24", "+0160", "UT", "UTC", "GMT", "z", "EST", "(UTC)", "()", "]"]
            ),
            max_size=4,
        ).map("".join),
    ).map("".join)
)
@example("Sat, 21 Nov 2026 10:00:00 +0130 (CEST)")
@example("[21/Nov/2026:10:00:00 +0000]")
@example("[21/Nov/2026:10:00:00 +0000 ]")
def test_times_with_the_name_of_the_month(time: str) -> None:
    same(json.dumps({"time": time}).encode())


PAIRS = ["epochSecond", "nanoOfSecond", "seconds", "nanos", "sec", "nsec", "$date", "$numberLong", "other"]
PARTS: st.SearchStrategy[object] = st.sampled_from(
    [0, 5, -5, 999_999_999, 10**9, 10**8, 1_795_256_301, 1_795_256_301_122, 2**63 - 1, 1.5, True, None, "", "1", "x"]
) | st.sampled_from(["1795256301", "1795256301122", "9" * 20, "2026-11-21T10:00:00Z", "21 Nov 2026 10:00:00 GMT", {}])


@fuzzed
@given(
    st.dictionaries(
        st.sampled_from(PAIRS), PARTS | st.dictionaries(st.sampled_from(PAIRS), PARTS, max_size=2), max_size=3
    ),
    PARTS,
    PARTS,
)
@example({"$date": {"$numberLong": "1795256301122"}}, None, None)
@example({}, "1795256301", 5)
def test_times_in_parts(time: dict[str, object], seconds: object, nanoseconds: object) -> None:
    same(json.dumps({"time": time, "m": 1}).encode())
    same(json.dumps({"timestampSeconds": seconds, "timestampNanos": nanoseconds, "message": "x"}).encode())


@fuzzed
@given(
    st.lists(
        st.lists(
            st.sampled_from(['{"a":1}', '{"b":"[{}]"}', "{}", '{"c":NaN}', *",[]\x1e \t1x\ufeff"]),
            max_size=7,
        ).map("".join),
        max_size=4,
    ).map("\n".join)
)
def test_rows_of_objects(body: str) -> None:
    same(body.encode())


@pytest.mark.parametrize("count", [31, 32, 33, 64, 65, MAX_ATTRIBUTES, MAX_ATTRIBUTES + 1])
def test_many_members(count: int) -> None:
    members = [f'"k{i}":{i}' for i in range(count)]
    twice = [f'"k{i}":"again"' for i in range(0, count, 7)]
    for taken in ([], ['"message":"m"', '"level":"info"'], ['"exception":"panic: x"']):
        same(("{" + ",".join(members + twice + taken) + "}").encode())
        same(('{"log":{' + ",".join(members + twice + taken) + '},"log.k3":1}').encode())


@pytest.mark.parametrize("depth", [MAX_DEPTH - 1, MAX_DEPTH, MAX_DEPTH + 1, 300, 5000])
def test_deep_values(depth: int) -> None:
    for opening, closing in (("[", "]"), ('{"a":', "}")):
        for core in ("1", "[]", '"\\ud800"'):
            same(f'{{"v":{opening * (depth - 1)}{core}{closing * (depth - 1)}}}'.encode())
    same(f'{{"v":{"[" * (MAX_DEPTH + 5)}{"]" * (MAX_DEPTH + 5)},"v":1}}'.encode())


@pytest.mark.parametrize("over", [-1, 0, 1, 2, 3, 4, 5])
def test_long_lines(over: int) -> None:
    for tail in ("", "é", "😀", "\ufeff"):
        text = ("x" * (MAX_LINE_BYTES + over - len(tail.encode()) - 8) + tail).encode()
        same(b'{"m":"' + text + b'"}')
        same(text + b"12345678\nnext")
    same(b"\x80" * (MAX_LINE_BYTES + 1))
    same(b'{"level": "error", "dump": "' + b"x" * MAX_LINE_BYTES)
