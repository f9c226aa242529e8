"""Scopes and schema URLs count wherever they stand beside their records, and whatever a message seems to end with."""

from __future__ import annotations

from itertools import permutations

import pytest
from support.payloads import event, log, scope, span

from sidecar.decode.api import Decoder, Lines
from sidecar.decode.otlp.wire import put_bytes
from sidecar.decode.python import ReferenceDecoder
from sidecar.decode.select import native_decoder

NATIVE = native_decoder()
HEAD = put_bytes(1, scope().SerializeToString())
URLS = ["https://opentelemetry.io/schemas/1.37.0", "u", "http", "http://" + "x" * 130, ""]
SPANS = [put_bytes(2, span(name, events=[event(attributes={"k": 1})]).SerializeToString()) for name in ("a", "b")]
LOGS = [put_bytes(2, log(text).SerializeToString()) for text in ("a", "b")]
MISLEADING = put_bytes(2, put_bytes(3, b"https://no.schema"))
"""A log record of a severity alone, whose field has the number of a scope's schema URL."""

pytestmark = pytest.mark.skipif(NATIVE is None, reason="the native core is not installed")


def request(*fields: bytes) -> bytes:
    return put_bytes(1, put_bytes(2, b"".join(fields)))


def shown(lines: Lines) -> tuple[object, ...]:
    return bytes(lines.body), lines.ends.tolist(), lines.event.tolist(), list(lines.docs)


def assert_same(decoder: Decoder, payloads: list[bytes], spans: bool) -> None:
    reference = ReferenceDecoder()
    for payload in payloads:
        if spans:
            assert decoder.check_spans(payload) == reference.check_spans(payload)
        else:
            assert decoder.check_logs(payload) == reference.check_logs(payload)
    prefixes = [str(n) for n in range(len(payloads))]
    of = [
        shown(each.span_lines(payloads) if spans else each.log_lines(payloads, prefixes))
        for each in (decoder, reference)
    ]
    assert of[0] == of[1]
    assert of[0][1]


@pytest.mark.parametrize("url", URLS)
@pytest.mark.parametrize("records", [SPANS, LOGS], ids=["spans", "logs"])
def test_in_every_order(records: list[bytes], url: str) -> None:
    assert NATIVE is not None
    first, last = put_bytes(3, url.encode()), put_bytes(3, b"https://last")
    orders = [request(*fields) for fields in permutations([HEAD, *records, first])]
    orders += [request(first, *records, last, HEAD), request(first, records[0], last), request(last, records[0], first)]
    for order in orders:
        assert_same(NATIVE, [order], records is SPANS)
    assert_same(NATIVE, orders, records is SPANS)


@pytest.mark.parametrize("url", URLS)
def test_where_the_last_record_seems_to_end_with_a_schema_url(url: str) -> None:
    assert NATIVE is not None
    before = put_bytes(3, url.encode())
    assert_same(
        NATIVE, [request(*LOGS), request(HEAD, before, *LOGS, MISLEADING), request(MISLEADING, before)], spans=False
    )
