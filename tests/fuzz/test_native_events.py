"""The native core makes the events of Logstash that the reference makes, of rendered documents and of anything else."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from support.odd_requests import Rng, a_log, a_request, a_span

from sidecar.decode.api import Decoder, Lines
from sidecar.decode.otlp.limits import MAX_TIME_NS
from sidecar.decode.python import ReferenceDecoder
from sidecar.decode.select import native_decoder

NATIVE = native_decoder()
REFERENCE = ReferenceDecoder()

pytestmark = pytest.mark.skipif(NATIVE is None, reason="the native core is not installed")
fuzzed = settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
randoms = st.integers(0, 2**48).map(random.Random)

PAIR = b'{"create":{"_index":"i","_id":"1"}}\n{"@timestamp":"1700000000123.456789","a":1}\n'


def outcome(decoder: Decoder, body: bytes, ends: list[int]) -> object:
    offsets = np.array(ends, np.uint32)
    try:
        return decoder.data_frames(body, offsets), decoder.event_array(body, offsets)
    except ValueError as error:
        return str(error)


def assert_same(body: bytes, ends: list[int]) -> object:
    assert NATIVE is not None
    found = outcome(NATIVE, body, ends)
    assert found == outcome(REFERENCE, body, ends)
    return found


def at(*times: int) -> Lines:
    request = ExportLogsServiceRequest()
    records = request.resource_logs.add().scope_logs.add().log_records
    for time in times:
        records.add(time_unix_nano=time).body.string_value = "line\nbreak"
    return REFERENCE.log_lines([request.SerializeToString()], ["j"])


@fuzzed
@given(randoms)
def test_of_what_decoders_render(rng: Rng) -> None:
    assert NATIVE is not None
    for lines in (
        NATIVE.span_lines([a_request(rng, a_span, odd=True), a_request(rng, a_span, odd=False)]),
        NATIVE.log_lines([a_request(rng, a_log, odd=True)], ['id "é\n']),
    ):
        assert isinstance(assert_same(lines.body, lines.ends.tolist()), tuple)


@fuzzed
@given(st.lists(st.integers(0, MAX_TIME_NS), max_size=5))
@example([0, 1, 999_999, 10**18 - 1, 10**18, MAX_TIME_NS, 951_782_399 * 10**9, 951_782_400 * 10**9])
def test_of_every_time(times: list[int]) -> None:
    lines = at(*times)
    assert isinstance(assert_same(lines.body, lines.ends.tolist()), tuple)


@fuzzed
@given(randoms)
def test_of_damaged_lines(rng: Rng) -> None:
    lines = at(rng.randrange(MAX_TIME_NS), 5, 1_700_000_000_000_000_000)
    body = bytearray(lines.body)
    for _ in range(rng.randrange(4)):
        place = rng.randrange(len(body))
        piece = rng.choice([b"", b"\n", b"}", b"}}\n", b".", b"0", b'"', b"{", PAIR, bytes([rng.randrange(256)])])
        body[place : place + rng.choice([0, 0, 1, 3])] = piece
    ends = lines.ends.tolist()
    if rng.random() < 0.5:
        ends[rng.randrange(len(ends))] += rng.choice([-1, 1, 40, -40, len(PAIR)])
    assert_same(bytes(body), [max(0, end) for end in ends])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"1700000000123", b"12345678901234"),
        (b"1700000000123", b""),
        (b"1700000000123", b"-1"),
        (b"1700000000123", "١".encode()),
        (b".456789", b".45678"),
        (b".456789", b".4567890"),
        (b".456789", b".45678x"),
        (b'.456789"', b".456789"),
        (b"}}\n", b"}\n"),
        (b"}}\n", b"}}\r\n"),
        (b"create", b"index"),
        (b'"a":1', b'"a":\n1'),
        (b'"a":1}\n', b'"a":1}'),
        (b"@timestamp", b"timestamp"),
    ],
)
def test_what_is_not_a_line_pair_is_reported(old: bytes, new: bytes) -> None:
    pair = PAIR.replace(old, new)
    assert pair != PAIR
    assert assert_same(PAIR + pair, [len(PAIR), len(PAIR) + len(pair)]) == "document 1 is not a line pair"


@pytest.mark.parametrize("ends", [[0], [len(PAIR) + 1], [len(PAIR), len(PAIR)], [len(PAIR), 3], [2**32 - 1]])
def test_offsets_that_are_no_ends_are_reported(ends: list[int]) -> None:
    assert f"document {len(ends) - 1} " in str(assert_same(PAIR, ends))


def test_of_nothing() -> None:
    assert assert_same(b"", []) == (b"", b"[]")
