from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from pydantic import ValidationError
from support.delivery import entry, logs_payload, sink_context, spans_payload
from support.journals import Clock

from sidecar.decode.select import decoder
from sidecar.deliver.otlp.options import OtlpOptions
from sidecar.deliver.otlp.requests import Request
from sidecar.deliver.otlp.responses import ExportResult, from_grpc, from_http
from sidecar.deliver.otlp.sink import OtlpSink, classify_health
from sidecar.deliver.replay import replay
from sidecar.deliver.sink import Finding, ItemResult, SendResult
from sidecar.errors import Retryable
from sidecar.pipeline import DeadLetter, Entry, Signal

TAKEN = ExportResult("accepted")
INVALID = from_grpc(3, "bad trace id", None)
TOO_LARGE = from_http(413, "", b"", None)


class Receiver:
    """Answers in turn, then takes everything."""

    def __init__(self, *answers: ExportResult) -> None:
        self.answers = deque(answers)
        self.requests: list[tuple[Signal, bytes, dict[str, str]]] = []
        self.poison: set[bytes] = set()
        """Bytes on account of which a request is refused."""
        self.largest: int | None = None

    def export(self, signal: Signal, body: bytes, headers: Mapping[str, str]) -> ExportResult:
        self.requests.append((signal, body, dict(headers)))
        if self.answers:
            return self.answers.popleft()
        if self.largest is not None and len(body) > self.largest:
            return TOO_LARGE
        return INVALID if any(p in body for p in self.poison) else TAKEN

    def close(self) -> None:
        """Nothing is open."""


def sink(receiver: Receiver, **options: Any) -> OtlpSink:
    given = {"endpoint": "http://127.0.0.1:4317", **options}
    return OtlpSink("far", OtlpOptions.model_validate(given), sink_context(decoder(), "log", Clock()), receiver)


class Ledger:
    """What became of the entries, as the worker would book it; sends again at once."""

    def __init__(self, far: OtlpSink, entries: list[Entry], tries: int = 200) -> None:
        self.counts: Counter[tuple[str, str, str]] = Counter()
        self.letters: list[DeadLetter] = []
        self.results: list[SendResult[Request]] = []
        prepared = far.prepare(entries)
        self.left = dict(prepared.expected)
        self._book(prepared.settled)
        waiting = deque(prepared.batches)
        while waiting and tries:
            tries -= 1
            result = far.send(waiting.popleft())
            self.results.append(result)
            self._book(result.settled)
            if result.retry:
                waiting.extendleft(reversed(result.retry.batches))
        assert not waiting, "not settled in the tries that there were"
        assert set(self.left.values()) == {0}

    def _book(self, settled: Any) -> None:
        for part in settled:
            assert isinstance(part, ItemResult)
            self.counts.update(part.counts)
            self.left[part.seq] -= sum(part.counts.values())
            self.letters += part.dead


def metrics_payload(points: int) -> bytes:
    request = ExportMetricsServiceRequest()
    metric = request.resource_metrics.add().scope_metrics.add().metrics.add(name="m")
    for number in range(points):
        metric.gauge.data_points.add(time_unix_nano=1 + number, as_int=number)
    return request.SerializeToString()


def test_payloads_go_as_they_came_joined_by_signal() -> None:
    receiver = Receiver()
    entries = [
        entry(1, spans_payload(2, events=1), 2, 2),
        entry(2, logs_payload("a"), 1, signal="logs"),
        entry(3, spans_payload(3, first=50), 3),
        entry(4, metrics_payload(5), 5, signal="metrics"),
    ]
    ledger = Ledger(sink(receiver), entries)
    by_signal = {signal: body for signal, body, _ in receiver.requests}
    assert by_signal["spans"] == entries[0].payload + entries[2].payload
    assert by_signal["logs"] == entries[1].payload
    assert by_signal["metrics"] == entries[3].payload
    assert len(receiver.requests) == 3
    assert ledger.counts == {
        ("spans", "delivered", ""): 5,
        ("span_events", "delivered", ""): 2,
        ("logs", "delivered", ""): 1,
        ("metrics", "delivered", ""): 5,
    }


def test_a_retryable_failure_sends_the_very_same_bytes_after_what_was_asked_for() -> None:
    receiver = Receiver(from_http(503, "", b"", 7.0), ExportResult("retry", "timeout", overload=True))
    ledger = Ledger(sink(receiver), [entry(n, spans_payload(2, first=10 * n), 2) for n in range(1, 4)])
    assert len({body for _, body, _ in receiver.requests}) == 1
    assert len(receiver.requests) == 3
    first, second = (v.retry for v in ledger.results[:2])
    assert first is not None
    assert (first.reason, first.retry_after, first.backpressure, first.immediately) == ("http_503", 7.0, True, False)
    assert second is not None
    assert (second.reason, second.retry_after, second.backpressure) == ("timeout", None, True)
    assert ledger.counts == {("spans", "delivered", ""): 6}


def test_one_poisonous_payload_takes_no_other_along() -> None:
    receiver = Receiver()
    receiver.poison = {b"step 41"}
    entries = [entry(n, spans_payload(3, first=10 * n, events=2), 3, 6) for n in range(1, 9)]
    ledger = Ledger(sink(receiver), entries)
    assert ledger.counts == {
        ("spans", "delivered", ""): 21,
        ("span_events", "delivered", ""): 42,
        ("spans", "dead_lettered", "invalid_argument"): 3,
        ("span_events", "dead_lettered", "invalid_argument"): 6,
    }
    (letter,) = ledger.letters
    assert letter.document == entries[3].payload
    assert (letter.consumer, letter.doc_id, letter.seq) == ("far", "log-4", 4)
    assert (letter.items, letter.events) == (3, 6)
    assert letter.reason == "INVALID_ARGUMENT: bad trace id"
    assert all(v.retry.immediately for v in ledger.results if v.retry)


def test_what_a_receiver_refuses_for_records_that_were_refused_here_goes_without_them() -> None:
    bad = ExportTraceServiceRequest.FromString(spans_payload(3))
    bad.resource_spans[0].scope_spans[0].spans[1].trace_id = b"short"
    receiver = Receiver()
    receiver.poison = {b"short"}
    ledger = Ledger(sink(receiver), [entry(1, bad.SerializeToString(), 2), entry(2, spans_payload(1, first=9), 1)])
    assert ledger.counts == {("spans", "delivered", ""): 3}
    assert ledger.letters == []


def test_a_request_that_is_too_large_is_cut_and_later_ones_are_made_smaller() -> None:
    receiver = Receiver()
    receiver.largest = 90_000
    far = sink(receiver)
    entries = [entry(1, spans_payload(3000), 3000), entry(2, spans_payload(2, first=9000), 2)]
    ledger = Ledger(far, entries)
    assert ledger.counts == {("spans", "delivered", ""): 3002}
    assert far.target_batch_bytes < 150_000
    before = far.target_batch_bytes
    for _ in range(3):
        Ledger(far, [entry(3, spans_payload(800), 800)])
    assert far.target_batch_bytes > before


def test_one_record_that_is_too_large_is_a_dead_letter() -> None:
    receiver = Receiver()
    receiver.largest = 250
    ledger = Ledger(
        sink(receiver), [entry(1, spans_payload(3, text="x"), 3), entry(2, spans_payload(1, text="x" * 900), 1)]
    )
    assert ledger.counts == {("spans", "delivered", ""): 3, ("spans", "dead_lettered", "http_413"): 1}
    assert [letter.doc_id for letter in ledger.letters] == ["log-2"]


def test_pieces_of_one_payload_have_letters_of_their_own() -> None:
    receiver = Receiver()
    receiver.largest = 10
    ledger = Ledger(sink(receiver), [entry(1, spans_payload(4), 4)])
    assert ledger.counts == {("spans", "dead_lettered", "http_413"): 4}
    assert len({letter.doc_id for letter in ledger.letters}) == 4
    assert sum(letter.items for letter in ledger.letters) == 4


def test_dead_letters_are_sent_again_and_go_when_they_are_taken() -> None:
    receiver = Receiver()
    receiver.poison = {b"step 1", b"step 41"}
    far = sink(receiver)
    letters = Ledger(far, [entry(n, spans_payload(3, first=10 * n + 1), 3) for n in range(1, 6)]).letters
    assert [letter.seq for letter in letters] == [1, 4]
    receiver.poison = {b"step 41"}
    receiver.requests.clear()
    (replayed,) = replay(letters, far)
    assert list(replayed.accepted) == letters[:1]
    assert [(letter.seq, letter.document) for letter in replayed.rejected] == [(4, letters[1].document)]
    assert {body for _, body, _ in receiver.requests} == {letter.document for letter in letters}
    receiver.largest = 150
    receiver.poison = set()
    (replayed,) = replay(letters, far)
    assert len(replayed.accepted) == 2
    far_away = Receiver(from_http(503, "", b"", None))
    with pytest.raises(Retryable):
        list(replay(letters, sink(far_away)))


def test_a_signal_that_is_not_served_there_is_not_tried_piece_by_piece() -> None:
    receiver = Receiver(from_grpc(12, "unknown service", None))
    entries = [entry(n, logs_payload("a", "b"), 2, signal="logs") for n in range(1, 5)]
    ledger = Ledger(sink(receiver), entries)
    assert len(receiver.requests) == 1
    assert ledger.counts == {("logs", "dead_lettered", "unimplemented"): 8}
    assert [letter.document for letter in ledger.letters] == [e.payload for e in entries]


def test_partial_success_is_dropped_by_count() -> None:
    receiver = Receiver(ExportResult("accepted", "", "too old", 4))
    ledger = Ledger(sink(receiver), [entry(n, spans_payload(3, first=10 * n, events=1), 3, 3) for n in range(1, 4)])
    assert ledger.counts == {
        ("spans", "delivered", ""): 5,
        ("spans", "dropped", "rejected_by_receiver"): 4,
        ("span_events", "delivered", ""): 9,
    }


def test_partial_success_of_more_than_there_were_cannot_break_the_ledger() -> None:
    ledger = Ledger(sink(Receiver(ExportResult("accepted", "", "", 1 << 60))), [entry(1, spans_payload(3), 3)])
    assert ledger.counts == {("spans", "dropped", "rejected_by_receiver"): 3}


def test_records_refused_at_ingest_and_by_the_receiver_are_not_counted_twice() -> None:
    bad = ExportTraceServiceRequest.FromString(spans_payload(3))
    bad.resource_spans[0].scope_spans[0].spans[1].trace_id = b"short"
    receiver = Receiver(ExportResult("accepted", "", "1 of 3 records refused", 1))
    ledger = Ledger(sink(receiver), [entry(1, bad.SerializeToString(), 2)])
    assert ledger.counts == {("spans", "delivered", ""): 2}


@pytest.mark.parametrize("answer", [from_grpc(16, "who?", None), from_http(403, "", b"", None)])
def test_refused_credentials_hold_everything_and_are_read_again(answer: ExportResult, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("old\n")
    receiver = Receiver(answer)
    far = sink(receiver, auth={"token_file": token}, headers={"x-tenant": "a"})
    (request,) = far.prepare([entry(1, spans_payload(1), 1)]).batches
    result = far.send(request)
    assert result.retry is not None
    assert (result.retry.reason, result.retry.level, result.retry.batches) == ("credentials", "error", [request])
    token.write_text("new\n")
    assert far.send(request).retry is None
    keys = {h.pop("Idempotency-Key") for _, _, h in receiver.requests}
    assert len(keys) == 1, "sent again, it has the same key"
    assert [h for _, _, h in receiver.requests] == [
        {"x-tenant": "a", "authorization": "Bearer old"},
        {"x-tenant": "a", "authorization": "Bearer new"},
    ]


def test_a_token_that_cannot_be_read_holds_everything(tmp_path: Path) -> None:
    receiver = Receiver()
    far = sink(receiver, auth={"token_file": tmp_path / "none"})
    (request,) = far.prepare([entry(1, spans_payload(1), 1)]).batches
    retry = far.send(request).retry
    assert retry is not None
    assert (retry.reason, retry.level) == ("credentials", "error")
    assert not receiver.requests


def test_a_signal_without_an_address_is_counted_as_left_out() -> None:
    receiver = Receiver()
    far = sink(receiver, endpoint=None, traces_endpoint="http://tempo:4317")
    ledger = Ledger(far, [entry(1, spans_payload(2), 2), entry(2, logs_payload("a"), 1, signal="logs")])
    assert ledger.counts == {("spans", "delivered", ""): 2, ("logs", "filtered", "no_endpoint"): 1}


def test_addresses() -> None:
    http = OtlpOptions.model_validate({"endpoint": "https://far/otlp/", "protocol": "http/protobuf",
                                   "logs_endpoint": "http://loki:3100/otlp/v1/logs"})  # fmt: skip
    assert http.endpoints == {
        "spans": "https://far/otlp/v1/traces",
        "logs": "http://loki:3100/otlp/v1/logs",
        "metrics": "https://far/otlp/v1/metrics",
    }
    assert http.gzip
    grpc = OtlpOptions.model_validate({"endpoint": "http://far:4317", "logs_endpoint": "http://other:4317"})
    assert grpc.endpoints == {"spans": "http://far:4317", "logs": "http://other:4317", "metrics": "http://far:4317"}
    assert not grpc.gzip
    assert OtlpOptions.model_validate({"traces_endpoint": "http://far:4317"}).selected_signals == {"spans"}
    assert OtlpOptions.model_validate({"endpoint": "http://far:4317", "signals": ["logs"]}).selected_signals == {"logs"}
    assert not OtlpOptions().is_enabled


def test_headers_in_one_variable() -> None:
    options = OtlpOptions.model_validate({"endpoint": "http://a:1", "headers": "x-tenant=a, x-key=b=c"})
    assert {k: v.get_secret_value() for k, v in options.headers.items()} == {"x-tenant": "a", "x-key": "b=c"}
    assert "b=c" not in repr(options)


@pytest.mark.parametrize(
    "wrong",
    [
        {"endpoint": "far:4317"},
        {"endpoint": "http://"},
        {"endpoint": "http://me:secret@far:4317"},
        {"endpoint": "http://far:4317/path"},
        {"endpoint": "http://far:0"},
        {"endpoint": "http://far:4317?tenant=a"},
        {"endpoint": "http://far:4318?tenant=a", "protocol": "http/protobuf"},
        {"endpoint": "http://far:4318#traces", "protocol": "http/protobuf"},
        {"endpoint": "http://far:4318/v1/traces", "protocol": "http/protobuf"},
        {"protocol": "http/json"},
        {"tls": {"insecure_skip_verify": True}},
        {"headers": {"content-type": "x"}},
        {"headers": {"grpc-timeout": "x"}},
        {"headers": {"x": "a\nb"}},
        {"headers": {"x-bin": "a"}},
        {"headers": "nothing"},
        {"headers": {"Authorization": "x"}, "auth": {"token_file": "t"}},
        {"tls": {"cert_file": "a.pem"}},
        {"max_request_bytes": 10},
        {"endpoint": None, "traces_endpoint": "http://far:4317", "signals": ["spans", "logs"]},
    ],
)
def test_options_that_make_no_sense(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        OtlpOptions.model_validate({"endpoint": "http://far:4317", **wrong})


def test_a_check_names_signals_with_the_same_result_together() -> None:
    addresses: dict[Signal, str] = {"logs": "http://far/l", "metrics": "http://far/m", "spans": "http://far/s"}
    accepted, away = ExportResult("accepted"), ExportResult("retry", "unreachable", "nobody there")
    missing = ExportResult("rejected", "http_404", "HTTP 404", whole_signal=True)
    assert classify_health(addresses, dict.fromkeys(addresses, accepted)) == Finding(
        "ok", "logs, metrics, spans: accepted"
    )
    assert classify_health(addresses, dict.fromkeys(addresses, away)) == Finding(
        "failed", "logs, metrics, spans: nobody there"
    )
    some = classify_health(addresses, {"logs": missing, "metrics": missing, "spans": accepted})
    assert some.state == "warning"
    assert "logs: not served at http://far/l (HTTP 404); metrics: not served at http://far/m" in some.detail
    assert classify_health(addresses, {"logs": missing, "spans": missing}).state == "failed"
    assert classify_health(addresses, {"logs": away, "spans": accepted}).state == "failed"


def test_an_error_shows_no_secret() -> None:
    with pytest.raises(ValidationError) as caught:
        OtlpOptions.model_validate({"endpoint": "http://a:1", "headers": {"x": "hidden\nvalue"}})
    assert "hidden" not in str(caught.value.errors(include_input=False))
