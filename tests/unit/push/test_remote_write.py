"""Remote write, read back by protobuf's library from the messages as Prometheus defines them."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest
from pydantic import SecretStr
from support.remote_write import STALE, Received, Said, read_v1, read_v2, remote_write_receiver

from sidecar.derive.families import Exemplar
from sidecar.options import ClientAuth
from sidecar.push.options import RemoteWriteOptions
from sidecar.push.remote_write import messages
from sidecar.push.remote_write.destination import RemoteWrite
from sidecar.push.snapshot import Head, Series
from sidecar.serve.flat_series import Buckets, Quantiles

NOW = 1_700_000_010_000
START = 1_700_000_000.5
CALLS = Series(Head("calls", "counter", "Calls made.", ""), (("Zone", "b"), ("job", 'a"b')), 7, START, begins=True)
TOOK = Series(
    Head("took_seconds", "histogram", "Time.", "seconds"),
    (("job", "x"),),
    Buckets((0.5, 1.0), [1, 2, 4], 3.25, {1: Exemplar("ab" * 16, "cd" * 8, 0.75, 1_700_000_009.5)}),
    START,
)
SIZE = Series(Head("size", "summary", "", ""), (), Quantiles([(0.5, 2.0)], 3, 6.0))
HOT = Series(Head("hot", "gauge", "", ""), (("a", "ü"),), 1.5)
SERIES = [CALLS, TOOK, SIZE, HOT]
START_MS = 1_700_000_000_500


@pytest.mark.parametrize("read", [read_v2, read_v1])
def test_both_versions_say_the_same(read: Callable[[bytes], dict[str, Received]]) -> None:
    write = messages.v2 if read is read_v2 else messages.v1
    found = read(write(SERIES, NOW))
    assert {text: series.samples for text, series in found.items()} == {
        'calls_total{Zone="b",job="a"b"}': ((START_MS, 0.0), (NOW, 7.0)),
        'took_seconds_bucket{job="x",le="0.5"}': ((NOW, 1.0),),
        'took_seconds_bucket{job="x",le="1.0"}': ((NOW, 2.0),),
        'took_seconds_bucket{job="x",le="+Inf"}': ((NOW, 4.0),),
        'took_seconds_sum{job="x"}': ((NOW, 3.25),),
        'took_seconds_count{job="x"}': ((NOW, 4.0),),
        'size{quantile="0.5"}': ((NOW, 2.0),),
        "size_sum{}": ((NOW, 6.0),),
        "size_count{}": ((NOW, 3.0),),
        'hot{a="ü"}': ((NOW, 1.5),),
    }
    trace = ({"trace_id": "ab" * 16, "span_id": "cd" * 8}, 0.75, 1_700_000_009_500)
    assert {text: series.exemplars for text, series in found.items() if series.exemplars} == {
        'took_seconds_bucket{job="x",le="1.0"}': (trace,)
    }
    counter, bucket = found['calls_total{Zone="b",job="a"b"}'], found['took_seconds_bucket{job="x",le="0.5"}']
    assert (counter.type, counter.help, counter.unit) == (1, "Calls made.", "")
    assert (bucket.type, bucket.help, bucket.unit) == (3, "Time.", "seconds")
    if read is read_v2:
        assert counter.starts == (0, START_MS)
        assert bucket.starts == (START_MS,)
        assert found['hot{a="ü"}'].starts == (0,)


@pytest.mark.parametrize("read", [read_v2, read_v1])
def test_what_ends_is_marked_by_the_very_bits(read: Callable[[bytes], dict[str, Received]]) -> None:
    write = messages.v2 if read is read_v2 else messages.v1
    ended = Series(HOT.head, HOT.labels, 1.5, stale=True)
    body = write([ended], NOW)
    assert struct.pack("<Q", STALE) in body
    assert len(read(body)) == 1


def pushing(url: str, **options: object) -> RemoteWrite:
    return RemoteWrite(RemoteWriteOptions.model_validate({"endpoint": url, "timeout": 5, **options}))


SAMPLES = sum(one.samples for one in SERIES) + 1
"""With the 0 that `calls` begins at."""


def test_headers_of_2_and_what_was_written() -> None:
    with remote_write_receiver(lambda headers, body: Said(204, SAMPLES)) as receiver:
        client = pushing(
            receiver.url, headers={"X-Scope-OrgID": SecretStr("7")}, auth=ClientAuth(token=SecretStr("secret"))
        )
        assert client.send(SERIES, NOW).status == "accepted"
        client.close()
    headers, body = receiver.requests[0]
    assert read_v2(body)
    assert headers["content-type"] == "application/x-protobuf;proto=io.prometheus.write.v2.Request"
    assert headers["content-encoding"] == "snappy"
    assert headers["x-prometheus-remote-write-version"] == "2.0.0"
    assert (headers["x-scope-orgid"], headers["authorization"]) == ("7", "Bearer secret")
    assert headers["user-agent"].startswith("model-sidecar/")


@pytest.mark.parametrize("answer", [Said(415), Said(400), Said(204)], ids=["415", "400", "204 that says nothing"])
def test_a_receiver_of_1_gets_1_from_then_on(answer: Said) -> None:
    def answered(headers: dict[str, str], body: bytes) -> Said:
        return answer if "proto=" in headers["content-type"] else Said(204)

    with remote_write_receiver(answered) as receiver:
        client = pushing(receiver.url)
        assert client.status()["version"] == "2.0"
        assert client.send(SERIES, NOW).status == "accepted"
        assert client.send(SERIES, NOW).status == "accepted"
        assert client.status()["version"] == "1.0"
        client.close()
    types = [headers["content-type"] for headers, _ in receiver.requests]
    assert types == [messages.V2_TYPE, messages.V1_TYPE, messages.V1_TYPE]
    assert receiver.requests[1][0]["x-prometheus-remote-write-version"] == "0.1.0"
    assert read_v1(receiver.requests[1][1])


def test_a_receiver_that_took_2_is_not_sent_1_after_a_bad_request() -> None:
    answers = iter([Said(204, SAMPLES), Said(400, None, b"no"), Said(400, SAMPLES - 2, b"out of order")])
    with remote_write_receiver(lambda headers, body: next(answers)) as receiver:
        client = pushing(receiver.url)
        assert client.send(SERIES, NOW).status == "accepted"
        refused = client.send(SERIES, NOW)
        partly = client.send(SERIES, NOW)
        client.close()
    assert (refused.status, refused.reason, refused.detail) == ("rejected", "http_400", "HTTP 400: no")
    assert (partly.status, partly.rejected, partly.detail) == ("accepted", 2, "HTTP 400: out of order")
    assert [headers["content-type"] for headers, _ in receiver.requests] == [messages.V2_TYPE] * 3


@pytest.mark.parametrize(
    ("answer", "status", "reason"),
    [
        (Said(503, retry_after="3"), "retry", "http_503"),
        (Said(500), "retry", "http_500"),
        (Said(429), "retry", "http_429"),
        (Said(401), "blocked", "credentials"),
        (Said(403), "blocked", "credentials"),
        (Said(404), "blocked", "http_404"),
        (Said(302), "blocked", "http_302"),
        (Said(413), "rejected", "http_413"),
        (Said(422), "rejected", "http_422"),
    ],
)
def test_what_an_answer_means(answer: Said, status: str, reason: str) -> None:
    with remote_write_receiver(lambda headers, body: answer) as receiver:
        client = pushing(receiver.url)
        result = client.send(SERIES, NOW)
        client.close()
    assert (result.status, result.reason) == (status, reason)
    assert result.retry_after == (3 if answer.retry_after else None)
    assert result.too_large == (answer.status == 413)


def test_nobody_there_is_tried_again() -> None:
    with remote_write_receiver(lambda headers, body: Said()) as receiver:
        url = receiver.url
    client = pushing(url)
    result = client.send(SERIES, NOW)
    client.close()
    assert (result.status, result.reason) == ("retry", "unreachable")
