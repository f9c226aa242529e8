from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from pydantic import ValidationError
from support.delivery import entry, logs_payload, sink_context, spans_payload

from sidecar.decode.api import Decoder
from sidecar.decode.protocols.lumberjack import BatchReader, window_frame
from sidecar.decode.python import ReferenceDecoder
from sidecar.decode.select import decoder as chosen_decoder
from sidecar.deliver.common.auth import Authorization
from sidecar.deliver.common.dead_letter_factory import DeadLetterFactory
from sidecar.deliver.common.documents import Documents, collect, pick, results_for_all
from sidecar.deliver.common.host_pool import FIRST_COOLDOWN, LONGEST_COOLDOWN, HostPool
from sidecar.deliver.common.http import Reply, Unreached
from sidecar.deliver.logstash.options import LogstashOptions, parse_host
from sidecar.deliver.logstash.sink import LogstashSink
from sidecar.deliver.logstash.transport import Attempt, HttpTransport, Transport
from sidecar.deliver.replay import replay
from sidecar.deliver.sink import Retry, SendResult
from sidecar.options import ClientAuth
from sidecar.pipeline import Entry

DECODER = ReferenceDecoder()


# -- events


def documents(payload: bytes, count: int, decoder: Decoder = DECODER) -> Documents:
    return collect(decoder.log_lines([payload], ["j-1"]), [entry(1, payload, count, signal="logs")])


def framed(of: Documents) -> list[dict[str, Any]]:
    (batch,) = BatchReader().feed(window_frame(len(of)) + DECODER.data_frames(bytes(of.body), of.ends))
    assert batch.sequence == len(of)
    return [json.loads(document) for document in batch.documents]


def at(*times: int) -> bytes:
    request = ExportLogsServiceRequest()
    records = request.resource_logs.add().scope_logs.add().log_records
    for time in times:
        records.add(time_unix_nano=time).body.string_value = "line\nbreak ü"
    return request.SerializeToString()


TIMES = {
    0: "1970-01-01T00:00:00.000000000Z",
    1: "1970-01-01T00:00:00.000000001Z",
    999_999: "1970-01-01T00:00:00.000999999Z",
    59_123_456_789: "1970-01-01T00:00:59.123456789Z",
    999_999_999_999_999_999: "2001-09-09T01:46:39.999999999Z",
    1_000_000_000_000_000_000: "2001-09-09T01:46:40.000000000Z",
    1_700_000_000_123_456_789: "2023-11-14T22:13:20.123456789Z",
    1_709_164_800_000_000_001: "2024-02-29T00:00:00.000000001Z",
    (1 << 63) - 1: "2262-04-11T23:47:16.854775807Z",
}


@pytest.mark.parametrize("decoder", [DECODER, chosen_decoder()], ids=["reference", "chosen"])
def test_times_are_iso_8601_with_nanoseconds(decoder: Decoder) -> None:
    """Which is the only text that Logstash takes for a time; every position of the decimal point is tried."""
    times = {**TIMES, **{10**n: None for n in range(19)}}
    events = framed(documents(at(*times), len(times), decoder))
    assert [e["@timestamp"] for e in events[: len(TIMES)]] == list(TIMES.values())
    for nanoseconds, event in zip(times, events, strict=True):
        assert event["@timestamp"].endswith(f"{nanoseconds % 10**9:09d}Z")
        assert len(event["@timestamp"]) == 30


@pytest.mark.parametrize("decoder", [DECODER, chosen_decoder()], ids=["reference", "chosen"])
def test_an_event_is_the_document_with_what_logstash_needs(decoder: Decoder) -> None:
    payload = spans_payload(3, events=1, http_route='/a/"b"')
    lines = decoder.span_lines([payload])
    of = collect(lines, [entry(1, payload, 3, 3)])
    rows = lines.body.split(b"\n")
    events = framed(of)
    assert json.loads(DECODER.event_array(bytes(of.body), of.ends)) == events
    assert len(events) == 6
    for event, action, source in zip(events, rows[0:-1:2], rows[1::2], strict=True):
        target, document = json.loads(action)["create"], json.loads(source)
        metadata = event.pop("@metadata")
        assert (metadata["_id"], metadata["_index"]) == (target["_id"], target["_index"])
        assert metadata["action"] == "create"
        assert {"beat", "type", "version"} < set(metadata)
        assert set(document.pop("@timestamp")) <= set("0123456789.")
        assert event.pop("@timestamp").startswith("2023-11-14T22:13:20.")
        assert event == document
        assert {"type", "dataset", "namespace"} == set(event["data_stream"])


def test_the_beats_input_would_take_an_event_with_a_message_for_a_line_to_decode() -> None:
    (event,) = framed(documents(logs_payload("text", message="m", tags="t"), 1))
    assert "message" not in event
    assert "tags" not in event


def test_some_of_a_window_are_framed_again_from_1() -> None:
    of = documents(logs_payload(*"abcdef"), 6)
    assert [e["body"]["text"] for e in framed(pick(of, [4, 5]))] == ["e", "f"]


def test_a_pair_of_another_shape_is_a_bug_that_shows() -> None:
    pair = b'{"index":{"_id":"1"}}\n{"a":"a document whose first member is not its time"}\n'
    with pytest.raises(ValueError, match="document 0 is not a line pair"):
        DECODER.data_frames(pair, np.array([len(pair)], np.uint32))


# -- hosts


def test_one_host_is_used_until_it_fails() -> None:
    hosts = HostPool(3, spread=False)
    assert [hosts.candidates(0)[0] for _ in range(3)] == [0, 0, 0]
    assert hosts.failed(0, 0) is True
    assert hosts.candidates(0) == [1, 2]
    assert hosts.failed(0, 0) is False
    assert hosts.candidates(0)[0] == 1, "another's late failure does not move it on"
    assert hosts.candidates(1000) == [1, 2, 0], "it stays where it is"


def test_hosts_take_turns() -> None:
    hosts = HostPool(3, spread=True)
    assert [hosts.candidates(0)[0] for _ in range(4)] == [0, 1, 2, 0]
    hosts.failed(1, 0)
    assert {hosts.candidates(0)[0] for _ in range(6)} == {0, 2}


def test_a_host_that_fails_rests_longer_each_time_and_there_is_always_one() -> None:
    hosts = HostPool(2, spread=False)
    rests = []
    for _ in range(10):
        hosts.failed(0, 100)
        now = 100.0
        while 0 in hosts.cooling_down(now):
            now += 0.5
        rests.append(now - 100)
    assert rests[:3] == [FIRST_COOLDOWN, 2 * FIRST_COOLDOWN, 4 * FIRST_COOLDOWN]
    assert rests[-1] == LONGEST_COOLDOWN
    hosts.failed(1, 100)
    assert hosts.candidates(100) == [1], "the one that is to come back first"
    hosts.succeeded(0)
    assert hosts.candidates(100) == [0]
    assert HostPool(1, spread=True).candidates(0) == [0]


# -- options


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"hosts": "http://ls:5044"}, "invalid host"),
        ({"hosts": "ls:70000"}, "invalid host"),
        ({"hosts": "ls:0"}, "invalid host"),
        ({"hosts": "::1:5044"}, "invalid host"),
        ({"hosts": "user@ls"}, "invalid host"),
        ({"hosts": "ls:5044", "mode": "http"}, "invalid address"),
        ({"hosts": "http://u:p@ls", "mode": "http"}, "must not hold credentials"),
        ({"hosts": "https://ls", "mode": "http", "tls": {"enabled": True}}, "write https://"),
        ({"hosts": "ls", "tls": {"ca_file": "/ca"}}, "need tls.enabled: true"),
        ({"hosts": "ls", "tls": {"server_name": "x"}}, "need tls.enabled: true"),
        ({"hosts": "ls", "tls": {"enabled": True, "cert_file": "/c"}}, "belong together"),
        ({"hosts": "ls", "auth": {"username": "u", "password": "p"}}, "has no users"),
        ({"hosts": "http://ls", "mode": "http", "auth": {"username": "u"}}, "needs password"),
        ({"hosts": "http://ls", "mode": "http", "auth": {"password": "p", "password_file": "/p"}}, "not both"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        LogstashOptions.model_validate(options)


def test_a_certificate_may_have_another_name_than_the_host() -> None:
    given = {"hosts": "https://10.0.0.1:8080", "mode": "http", "tls": {"server_name": "logstash.example"}}
    assert LogstashOptions.model_validate(given).tls.server_name == "logstash.example"


def test_hosts_are_read_as_people_write_them() -> None:
    assert LogstashOptions.model_validate({"hosts": "a, b:1 ,[::1]:2"}).hosts == ("a", "b:1", "[::1]:2")
    assert [parse_host(h) for h in ("a", "b:1", "[::1]:2")] == [("a", 5044), ("b", 1), ("::1", 2)]
    assert not LogstashOptions().is_enabled
    assert LogstashOptions.model_validate({"hosts": ["a"]}).is_enabled


def test_other_ways_of_authentication_are_refused_clearly() -> None:
    for auth in ({"api_key": "a"}, {"token": "t"}, {"token_file": "/t"}):
        with pytest.raises(ValidationError, match="Logstash has users only"):
            LogstashOptions.model_validate({"hosts": "http://ls", "mode": "http", "auth": auth})


# -- the sink


class FakeWay:
    """HostPool that take documents, or do what `script` says: (host, documents) -> an attempt, or None to take them."""

    def __init__(self, script: Callable[[int, Documents], Attempt | None] = lambda host, of: None) -> None:
        self.script = script
        self.asked: list[int] = []
        self.taken: list[str] = []
        self.closed = False

    def deliver(self, host: int, documents: Documents) -> Attempt:
        self.asked.append(host)
        attempt = self.script(host, documents)
        if attempt is None:
            self.take(documents)
            return Attempt(SendResult(results_for_all(documents, "delivered")))
        return attempt

    def take(self, documents: Documents) -> None:
        self.taken += [
            json.loads(documents.document(n).split(b"\n")[0])["create"]["_id"] for n in range(len(documents))
        ]

    def close(self) -> None:
        self.closed = True


def down(documents: Documents, reason: str = "unreachable") -> Attempt:
    return Attempt(SendResult(retry=Retry([documents], reason, "refused", backpressure=True)), failed=True)


def sink(transport: Transport, now: Callable[[], float] = lambda: 0.0, **options: Any) -> LogstashSink:
    chosen = LogstashOptions.model_validate({"hosts": "a,b,c"} | options)
    return LogstashSink("ls", chosen, sink_context(DECODER, clock=lambda: 7), transport, now)


def send_all(to: LogstashSink, *entries: Entry) -> list[SendResult[Documents]]:
    return [to.send(batch) for batch in to.prepare(entries).batches]


LOGS = entry(2, logs_payload("a", "b", "c", "d"), 4, signal="logs")


def test_spans_events_and_logs_are_sent_with_their_ids() -> None:
    transport = FakeWay()
    to = sink(transport)
    prepared = to.prepare([entry(1, spans_payload(2, events=1), 2, 2), LOGS, entry(4, b"", 0, signal="logs")])
    assert prepared.expected == {1: 4, 2: 4, 4: 0}
    results = [to.send(p) for p in prepared.batches]
    assert all(v.retry is None for v in results)
    assert len(transport.taken) == 8
    assert {"journal1-2-0", "journal1-2-3"} < set(transport.taken)
    to.close()
    assert transport.closed


def test_records_left_by_a_filter_keep_their_ids() -> None:
    transport = FakeWay()
    send_all(
        sink(transport), replace(LOGS, payload=logs_payload("b", "d"), items=2, ordinals=np.array([1, 3], np.uint32))
    )
    assert transport.taken == ["journal1-2-1", "journal1-2-3"]


def test_the_next_host_gets_the_rest_under_the_same_ids() -> None:
    def script(host: int, of: Documents) -> Attempt | None:
        if host == 0:  # It takes two and hangs up.
            transport.take(pick(of, [0, 1]))
            result = SendResult(results_for_all(pick(of, [0, 1]), "delivered"), Retry([pick(of, [2, 3])], "closed"))
            return Attempt(result, failed=True)
        return down(of) if host == 1 else None

    transport = FakeWay(script)
    to = sink(transport)
    (result,) = send_all(to, LOGS)
    assert result.retry is None
    assert [s.counts for s in result.settled] == [{("logs", "delivered", ""): 2}] * 2
    assert transport.taken == [f"journal1-2-{n}" for n in range(4)]
    assert transport.asked == [0, 1, 2]
    assert to.status()["resting"] == ["a", "b"]
    send_all(to, LOGS)
    assert transport.asked == [0, 1, 2, 2], "those that failed are left alone"


def test_where_all_hosts_fail_the_rest_is_sent_again_after_a_back_off() -> None:
    to = sink(FakeWay(lambda host, of: down(of)))
    (result,) = send_all(to, LOGS)
    assert result.settled == []
    assert result.retry is not None
    assert result.retry.reason == "unreachable"
    assert not result.retry.immediately
    assert len(result.retry.batches[0]) == 4


def test_a_host_comes_back_after_its_rest() -> None:
    now = 0.0
    well = False
    transport = FakeWay(lambda host, of: None if well else down(of))
    to = sink(transport, lambda: now, hosts="a,b")
    send_all(to, LOGS)
    well, now = True, FIRST_COOLDOWN + 1
    send_all(to, LOGS)
    assert to.status()["resting"] == ["b"] or to.status()["resting"] == []
    assert transport.asked[-1] == 0


def test_load_balance_spreads_requests() -> None:
    transport = FakeWay()
    to = sink(transport, load_balance=True)
    for _ in range(4):
        send_all(to, LOGS)
    assert transport.asked == [0, 1, 2, 0]


def test_a_refusal_that_another_host_would_repeat_is_not_taken_there() -> None:
    refused: Retry[Documents] = Retry([], "credentials", level="error")
    transport = FakeWay(lambda host, of: Attempt(SendResult(retry=refused)))
    (result,) = send_all(sink(transport), LOGS)
    assert result.retry is refused
    assert transport.asked == [0]


def test_a_document_that_is_too_large_is_a_dead_letter_and_the_rest_goes_through() -> None:
    transport = FakeWay()
    to = sink(transport, max_document_bytes=1024)
    prepared = to.prepare([entry(3, logs_payload("a", "b" * 2000, "c"), 3, signal="logs")])
    (settled,) = prepared.settled
    assert settled.counts == {("logs", "dead_lettered", "document_too_large"): 1}
    (letter,) = settled.dead
    assert (letter.consumer, letter.doc_id, letter.seq, letter.time_ns) == ("ls", "journal1-3-1", 3, 7)
    assert "max_document_bytes is 1024" in letter.reason
    assert b"bbbb" in letter.document
    assert prepared.expected == {3: 3}
    for batch in prepared.batches:
        to.send(batch)
    assert transport.taken == ["journal1-3-0", "journal1-3-2"]
    (replayed,) = replay([letter], to)
    assert list(replayed.accepted) == [letter]
    assert transport.taken[-1] == "journal1-3-1", "an operator who replays it wants it sent"
    only_large = to.prepare([entry(4, logs_payload("b" * 2000), 1, signal="logs")])
    assert only_large.batches == []
    assert only_large.expected == {4: 1}


def test_what_cannot_be_decoded_is_dropped_and_the_rest_goes_through() -> None:
    transport = FakeWay()
    to = sink(transport)
    prepared = to.prepare([entry(1, b"\xff\xff", 3, 2), entry(2, spans_payload(1), 1)])
    assert prepared.expected == {1: 5, 2: 1}
    (dropped,) = prepared.settled
    assert dropped.counts == {("spans", "dropped", "not_decodable"): 3, ("span_events", "dropped", "not_decodable"): 2}
    assert len(prepared.batches) == 1


def test_requests_are_bounded_and_the_batch_size_follows_how_far_payloads_expand() -> None:
    to = sink(FakeWay(), batch_bytes=64 << 10)
    payload = logs_payload(*["line"] * 400)
    for _ in range(30):
        batches = to.prepare([entry(1, payload, 400, signal="logs")]).batches
    assert len(batches) > 1
    assert all(len(p.body) <= 64 << 10 for p in batches)
    size = len(DECODER.log_lines([payload], ["journal1-1"]).body)
    assert to.target_batch_bytes == pytest.approx(0.95 * (64 << 10) * len(payload) / size, rel=0.05)


# -- http


class FakeHttp:
    def __init__(self, *replies: Reply | Unreached) -> None:
        self.replies = list(replies)
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        self.bodies: list[Any] = []
        self.closed = False

    def request(self, method: str, target: str, body: bytes | None, headers: Mapping[str, str]) -> Reply:
        self.asked.append((method, target, dict(headers)))
        raw = gzip.decompress(body or b"") if headers.get("content-encoding") == "gzip" else body or b""
        self.bodies.append(json.loads(raw))
        reply = self.replies.pop(0) if self.replies else Reply(200, b"ok")
        if isinstance(reply, Unreached):
            raise reply
        return reply

    def close(self) -> None:
        self.closed = True


def http_way(*https: FakeHttp, auth: ClientAuth | None = None, compression: bool = True) -> HttpTransport:
    return HttpTransport(
        DECODER,
        [(h, "/in?a=b") for h in https],
        Authorization(auth or ClientAuth()),
        compression,
        DeadLetterFactory("ls", lambda: 7),
    )


@pytest.mark.parametrize("compression", [True, False])
def test_http_posts_a_json_array(compression: bool) -> None:
    http = FakeHttp()
    (result,) = send_all(sink(http_way(http, compression=compression)), LOGS)
    assert result.settled[0].counts == {("logs", "delivered", ""): 4}
    method, target, headers = http.asked[0]
    assert (method, target, headers["content-type"]) == ("POST", "/in?a=b", "application/json")
    assert ("content-encoding" in headers) is compression
    assert "authorization" not in headers
    assert [e["@metadata"]["_id"] for e in http.bodies[0]] == [f"journal1-2-{n}" for n in range(4)]


@pytest.mark.parametrize("reply", [Reply(200, b"ok"), Reply(201, b"ok\n"), Reply(202, b"ok"), Reply(204)])
def test_http_every_answer_that_logstash_may_be_set_to_give_is_success(reply: Reply) -> None:
    (result,) = send_all(sink(http_way(FakeHttp(reply))), LOGS)
    assert result.retry is None


@pytest.mark.parametrize(
    ("reply", "reason", "level"),
    [
        (Reply(429, retry_after=3.0), "http_429", "warning"),
        (Reply(503, retry_after=3.0), "http_503", "warning"),
        (Reply(500), "http_500", "warning"),
        (Reply(408), "http_408", "warning"),
        (Reply(200, b"<html>welcome</html>"), "unreadable_reply", "error"),
        (Reply(200), "unreadable_reply", "error"),
        (Reply(302), "http_302", "error"),
        (Reply(400, b"plain HTTP on a TLS port"), "http_400", "error"),
        (Reply(404), "http_404", "error"),
        (Unreached("timeout", "no reply"), "timeout", "warning"),
    ],
)
def test_http_anything_else_is_sent_again_to_the_next_host(reply: Any, reason: str, level: str) -> None:
    (alone,) = send_all(sink(http_way(FakeHttp(reply)), hosts="a"), LOGS)
    assert alone.settled == []
    assert alone.retry is not None
    assert (alone.retry.reason, alone.retry.level) == (reason, level)
    assert alone.retry.retry_after == (getattr(reply, "retry_after", None))
    assert alone.retry.backpressure is (level == "warning")
    assert len(alone.retry.batches[0]) == 4
    first, second = FakeHttp(reply), FakeHttp()
    (result,) = send_all(sink(http_way(first, second), hosts="a,b"), LOGS)
    assert result.retry is None
    assert first.bodies == second.bodies


def test_http_too_large_requests_are_cut_and_one_document_becomes_a_dead_letter() -> None:
    http = FakeHttp(Reply(413))
    to = sink(http_way(http))
    (result,) = send_all(to, LOGS)
    assert result.retry is not None
    assert result.retry.immediately
    assert [len(p) for p in result.retry.batches] == [2, 2]
    http.replies = [Reply(413)]
    (result,) = send_all(to, entry(1, logs_payload("a"), 1, signal="logs"))
    assert result.settled[0].counts == {("logs", "dead_lettered", "request_too_large"): 1}


def test_http_credentials_are_read_again_when_they_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("old")
    http = FakeHttp(Reply(200, b"ok"), Reply(401))
    to = sink(http_way(http, auth=ClientAuth(username="u", password_file=file)))
    send_all(to, LOGS)
    file.write_text("new")
    (refused,) = send_all(to, LOGS)
    assert refused.retry is not None
    assert (refused.retry.reason, refused.retry.level) == ("credentials", "error")
    send_all(to, LOGS)
    sent = [base64.b64decode(headers["authorization"].removeprefix("Basic ")) for _, _, headers in http.asked]
    assert sent == [b"u:old", b"u:old", b"u:new"]
