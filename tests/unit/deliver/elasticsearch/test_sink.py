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
from pydantic import SecretStr, ValidationError
from support.delivery import FakeEngine, entry, ids, logs_payload, sink_context, spans_payload

from sidecar.decode.python import ReferenceDecoder
from sidecar.deliver.common.auth import authorization
from sidecar.deliver.common.documents import Documents
from sidecar.deliver.common.http import Reply, Unreached
from sidecar.deliver.elasticsearch.options import SMALLEST_BATCH, ElasticsearchOptions
from sidecar.deliver.elasticsearch.sink import ElasticsearchSink
from sidecar.deliver.sink import SendResult
from sidecar.errors import Permanent
from sidecar.options import ClientAuth

DECODER = ReferenceDecoder()


class FakeHttp:
    """Answers `_bulk` from an engine in memory, or from a script; notes what was asked."""

    def __init__(self, script: Callable[[str, str], Reply | None] = lambda method, target: None) -> None:
        self.engine = FakeEngine()
        self.script = script
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        self.bodies: list[bytes] = []
        self.closed = False

    def request(self, method: str, target: str, body: bytes | None, headers: Mapping[str, str]) -> Reply:
        self.asked.append((method, target, dict(headers)))
        scripted = self.script(method, target)
        if scripted is not None:
            return scripted
        if not target.startswith("/_bulk"):
            return Reply(200)
        raw = gzip.decompress(body or b"") if headers.get("content-encoding") == "gzip" else body or b""
        self.bodies.append(raw)
        return self.engine.bulk(raw)

    def close(self) -> None:
        self.closed = True


def sink(http: FakeHttp, **options: Any) -> ElasticsearchSink:
    chosen = ElasticsearchOptions.model_validate({"hosts": "http://es:9200", "bootstrap": False} | options)
    return ElasticsearchSink("elasticsearch", chosen, sink_context(DECODER, clock=lambda: 1), http)


def send_all(to: ElasticsearchSink, *entries: Any) -> list[SendResult[Documents]]:
    return [to.send(batch) for batch in to.prepare(entries).batches]


def test_spans_events_and_logs_arrive_with_their_ids() -> None:
    http = FakeHttp()
    target = sink(http)
    prepared = target.prepare(
        [
            entry(1, spans_payload(2, events=1), 2, 2),
            entry(2, logs_payload("a", "b"), 2, signal="logs"),
            entry(3, spans_payload(1, first=9), 1),
            entry(4, b"", 0, signal="logs"),
        ]
    )
    assert prepared.expected == {1: 4, 2: 2, 3: 1, 4: 0}
    results = [target.send(p) for p in prepared.batches]
    assert all(v.retry is None for v in results)
    assert {"journal1-2-0", "journal1-2-1"} < set(http.engine.kept)
    assert len(http.engine.kept) == 7
    headers = http.asked[0][2]
    assert headers["content-type"] == "application/x-ndjson"
    assert headers["content-encoding"] == "gzip"
    assert "authorization" not in headers


def test_sent_again_it_is_already_there() -> None:
    http = FakeHttp()
    target, entries = sink(http), [entry(1, spans_payload(3), 3)]
    send_all(target, *entries)
    (result,) = send_all(target, *entries)
    assert result.settled[0].counts == {("spans", "already_there", ""): 3}
    assert len(http.engine.kept) == 3


def test_without_compression_the_body_is_plain() -> None:
    http = FakeHttp()
    send_all(sink(http, compression=False), entry(1, spans_payload(1), 1))
    assert "content-encoding" not in http.asked[0][2]
    assert len(http.engine.kept) == 1


def test_requests_are_bounded_by_bytes_and_by_count() -> None:
    http = FakeHttp()
    send_all(
        sink(http, batch_bytes=SMALLEST_BATCH), *[entry(n, spans_payload(200, first=n * 1000), 200) for n in (1, 2)]
    )
    assert len(http.bodies) > 1
    assert all(len(body) <= SMALLEST_BATCH for body in http.bodies)
    assert len(http.engine.kept) == 400
    http = FakeHttp()
    send_all(sink(http, batch_documents=7), entry(1, spans_payload(20), 20))
    assert [body.count(b"\n") // 2 for body in http.bodies] == [7, 7, 6]


def test_the_batch_size_follows_how_far_payloads_expand() -> None:
    target = sink(FakeHttp(), batch_bytes=1 << 20)
    payload = spans_payload(50)
    for _ in range(30):
        target.prepare([entry(1, payload, 50)])
    size = len(DECODER.span_lines([payload]).body)
    assert target.target_batch_bytes == pytest.approx((1 << 20) * len(payload) / size, rel=0.05)


def test_a_smaller_limit_of_the_destination_is_learnt() -> None:
    http = FakeHttp(lambda method, target: Reply(413))
    target = sink(http, batch_bytes=1 << 20)
    before = target.target_batch_bytes
    for _ in range(20):
        send_all(target, entry(1, spans_payload(300), 300))
    assert target.status()["batch_bytes"] == SMALLEST_BATCH
    assert target.target_batch_bytes < before


def test_requests_shrink_on_overload_and_grow_back() -> None:
    busy = True
    http = FakeHttp(lambda method, target: Reply(429) if busy else None)
    target = sink(http, batch_bytes=1 << 18)
    for _ in range(5):
        send_all(target, entry(1, spans_payload(300), 300))
    shrunk = target.status()["batch_bytes"]
    assert SMALLEST_BATCH <= shrunk < 1 << 18
    busy = False
    for _ in range(200):
        send_all(target, entry(1, spans_payload(800), 800))
        if target.status()["batch_bytes"] == 1 << 18:
            break
    assert target.status()["batch_bytes"] == 1 << 18


def test_requests_shrink_where_the_items_are_refused_as_well() -> None:
    busy = {"create": {"status": 429, "error": {"type": "es_rejected_execution_exception", "reason": "x"}}}
    reply = Reply(200, json.dumps({"errors": True, "items": [busy] * 300}).encode())
    target = sink(FakeHttp(lambda method, target: reply), batch_bytes=1 << 20)
    (result,) = send_all(target, entry(1, spans_payload(300), 300))
    assert result.retry is not None
    assert [len(batch) for batch in result.retry.batches] == [150, 150]
    assert target.status()["batch_bytes"] < 1 << 20


def test_a_payload_that_cannot_be_decoded_is_dropped_and_counted_and_the_rest_goes_through() -> None:
    http = FakeHttp()
    target = sink(http)
    prepared = target.prepare(
        [entry(1, spans_payload(1), 1), entry(2, b"\xff\xff", 3, 2), entry(3, spans_payload(1, 2), 1)]
    )
    assert prepared.expected == {1: 1, 2: 5, 3: 1}
    (dropped,) = prepared.settled
    assert dropped.counts == {("spans", "dropped", "not_decodable"): 3, ("span_events", "dropped", "not_decodable"): 2}
    assert all(target.send(p).retry is None for p in prepared.batches)
    assert len(http.engine.kept) == 2


def test_fewer_documents_than_records_never_hang_an_entry() -> None:
    prepared = sink(FakeHttp()).prepare([entry(1, spans_payload(2), 5)])
    assert prepared.expected == {1: 5}
    assert prepared.settled[0].counts == {("spans", "dropped", "not_rendered"): 3}


def test_no_reply_is_a_result() -> None:
    def script(method: str, target: str) -> Reply:
        raise Unreached("timeout", "read timed out")

    (result,) = send_all(sink(FakeHttp(script)), entry(1, spans_payload(1), 1))
    assert result.retry is not None
    assert (result.retry.reason, result.retry.detail, result.retry.backpressure) == (
        "timeout",
        "read timed out",
        True,
    )


def test_pipeline_index_and_ids_as_set() -> None:
    http = FakeHttp()
    to = sink(http, pipeline="a/b", index="old-{type}-%Y", ids="none")
    batches = to.prepare([entry(1, spans_payload(1, events=1), 1, 1)]).batches
    http.script = lambda method, target: Reply(200, b'{"errors":false}')
    assert [to.send(batch).retry for batch in batches] == [None]
    (method, target, _headers) = http.asked[0]
    assert (method, target.partition("&")[2]) == ("POST", "pipeline=a%2Fb")
    assert to.prepare([]).batches == []
    letter = Documents.document(batches[0], 0)
    assert json.loads(letter.split(b"\n")[0])["create"]["_index"] == "old-traces-2023"
    assert "_id" in json.loads(letter.split(b"\n")[0])["create"], "dead letters keep it"


def test_ids_are_left_out_on_the_wire_only() -> None:
    sent: list[bytes] = []

    class Wire(FakeHttp):
        def request(self, method: str, target: str, body: bytes | None, headers: Mapping[str, str]) -> Reply:
            sent.append(body or b"")
            return Reply(200, b'{"errors":false}')

    send_all(sink(Wire(), ids="none", compression=False), entry(1, logs_payload("a"), 1, signal="logs"))
    assert json.loads(sent[0].split(b"\n")[0]) == {"create": {"_index": "logs-generic.otel-default"}}


def test_records_that_a_filter_left_keep_the_ids_they_had() -> None:
    http = FakeHttp()
    left = replace(entry(5, logs_payload("b", "d"), 2, signal="logs"), ordinals=np.array([1, 3], np.uint32))
    whole = entry(6, logs_payload("a"), 1, signal="logs")
    send_all(sink(http), left, whole)
    assert set(http.engine.kept) == {"journal1-5-1", "journal1-5-3", "journal1-6-0"}


@pytest.mark.parametrize(("on_conflict", "outcome"), [("text", None), ("dead_letter", "dead_lettered")])
def test_a_mapping_conflict_goes_the_way_that_is_set(on_conflict: str, outcome: str | None) -> None:
    http = FakeHttp()
    payload = spans_payload(1, n="x")
    reason = "failed to parse field [attributes.n] of type [long]"
    http.engine.poison = dict.fromkeys(ids(DECODER.span_lines([payload])), (400, "mapper_parsing_exception", reason))
    (result,) = send_all(sink(http, on_conflict=on_conflict), entry(1, payload, 1))
    assert (result.retry is None) == (outcome is not None)
    assert [o for s in result.settled for _, o, _ in s.counts] == ([outcome] if outcome else [])


class TestBootstrap:
    def test_nothing_is_put_where_templates_exist(self) -> None:
        http = FakeHttp()
        send_all(sink(http, bootstrap=True), entry(1, spans_payload(1), 1))
        assert [m for m, _, _ in http.asked] == ["HEAD", "HEAD", "POST"]

    def test_both_are_put_where_there_are_none(self) -> None:
        http = FakeHttp(lambda method, target: Reply(404) if method == "HEAD" else None)
        target = sink(http, bootstrap=True)
        send_all(target, entry(1, spans_payload(1), 1))
        send_all(target, entry(2, spans_payload(1, 2), 1))
        puts = [t for m, t, _ in http.asked if m == "PUT"]
        assert puts == ["/_index_template/sidecar-traces-otel", "/_index_template/sidecar-logs-otel"]

    @pytest.mark.parametrize(
        ("unknown", "puts"), [((), 1), (("subobjects",), 2), (("subobjects", "disable_objects"), 3)]
    )
    def test_a_template_says_only_what_the_engine_knows(self, unknown: tuple[str, ...], puts: int) -> None:
        class Picky(FakeHttp):
            def request(self, method: str, target: str, body: bytes | None, headers: Mapping[str, str]) -> Reply:
                reply = super().request(method, target, body, headers)
                known = [name for name in unknown if method == "PUT" and name.encode() in (body or b"")]
                return Reply(400, f"unsupported parameters: [{known[0]}]".encode()) if known else reply

        http = Picky(lambda method, target: Reply(404) if method == "HEAD" else None)
        (result,) = send_all(sink(http, bootstrap=True), entry(1, spans_payload(1), 1))
        assert result.retry is None
        assert [m for m, _, _ in http.asked] == (["HEAD", "HEAD"] + ["PUT"] * puts) * 2 + ["POST"]

    @pytest.mark.parametrize("status", [403, 400, 405])
    def test_a_refusal_does_not_hold_up_delivery(self, status: int) -> None:
        http = FakeHttp(lambda method, target: None if method == "POST" else Reply(status, b"{}"))
        (result,) = send_all(sink(http, bootstrap=True), entry(1, spans_payload(1), 1))
        assert result.retry is None

    def test_refused_credentials_are_called_so_before_the_first_document_too(self) -> None:
        http = FakeHttp(lambda method, target: None if method == "POST" else Reply(401))
        (result,) = send_all(sink(http, bootstrap=True), entry(1, spans_payload(1), 1))
        assert result.retry is not None
        assert (result.retry.reason, result.retry.level) == ("credentials", "error")
        assert result.retry.detail == "index template traces-otel@template: HTTP 401"

    def test_an_engine_that_is_starting_is_waited_for(self) -> None:
        up = False
        http = FakeHttp(lambda method, target: None if up else Reply(503))
        target = sink(http, bootstrap=True)
        (batch,) = target.prepare([entry(1, spans_payload(1), 1)]).batches
        result = target.send(batch)
        assert result.retry is not None
        assert result.retry.reason == "index_templates"
        up = True
        assert target.send(batch).retry is None

    def test_it_is_done_again_after_an_outage(self) -> None:
        down = False

        def script(method: str, target: str) -> Reply | None:
            if down:
                raise Unreached("unreachable", "refused")
            return None

        http = FakeHttp(script)
        target = sink(http, bootstrap=True)
        (batch,) = target.prepare([entry(1, spans_payload(1), 1)]).batches
        target.send(batch)
        down = True
        assert target.send(batch).retry is not None
        down = False
        http.asked.clear()
        assert target.send(batch).retry is None
        assert [m for m, _, _ in http.asked] == ["HEAD", "HEAD", "POST"]


class TestCredentials:
    def test_api_key(self) -> None:
        assert authorization(ClientAuth(api_key=SecretStr("abc"))) == "ApiKey abc"

    def test_basic(self) -> None:
        value = authorization(ClientAuth(username="u", password=SecretStr("pä"))) or ""
        assert base64.b64decode(value.removeprefix("Basic ")).decode() == "u:pä"

    def test_none(self) -> None:
        assert authorization(ClientAuth()) is None

    def test_files_are_read_again_when_they_are_refused(self, tmp_path: Path) -> None:
        secret = tmp_path / "key"
        secret.write_text("old\n")
        http = FakeHttp()
        http.script = lambda method, target: Reply(401) if http.asked[-1][2]["authorization"] == "ApiKey old" else None
        target = sink(http, auth={"api_key_file": str(secret)})
        (batch,) = target.prepare([entry(1, spans_payload(1), 1)]).batches
        result = target.send(batch)
        assert result.retry is not None
        assert (result.retry.reason, result.retry.level) == ("credentials", "error")
        secret.write_text("new\n")
        assert target.send(batch).retry is None

    def test_a_missing_file_is_trouble_and_not_loss(self, tmp_path: Path) -> None:
        with pytest.raises(Permanent, match="nowhere"):
            authorization(ClientAuth(api_key_file=tmp_path / "nowhere"))
        (result,) = send_all(
            sink(FakeHttp(), auth={"api_key_file": str(tmp_path / "nowhere")}), entry(1, spans_payload(1), 1)
        )
        assert result.retry is not None
        assert result.retry.level == "error"


class TestOptions:
    def test_addresses_come_as_text_or_list(self) -> None:
        expected = ("http://a:9200", "https://b")
        assert ElasticsearchOptions.model_validate({"hosts": "http://a:9200/, https://b"}).hosts == expected
        assert ElasticsearchOptions.model_validate({"hosts": list(expected)}).hosts == expected
        assert not ElasticsearchOptions.model_validate({"hosts": ""}).is_enabled
        assert ElasticsearchOptions.model_validate({"hosts": "http://a"}).is_enabled

    @pytest.mark.parametrize(
        ("values", "message"),
        [
            ({"hosts": "es:9200"}, "invalid address"),
            ({"hosts": "http://u:p@es:9200"}, "must not hold credentials"),
            ({"hosts": "http://es:9200/?pretty"}, "paths are put behind it"),
            ({"auth": {"api_key": "a", "api_key_file": "b"}}, "not both"),
            ({"auth": {"api_key": "a", "username": "b", "password": "c"}}, "only one of them"),
            ({"auth": {"username": "b"}}, "needs password"),
            ({"tls": {"cert_file": "b"}}, "belong together"),
            ({"urls": "http://a"}, "Extra inputs"),
            ({"index": "Logs-%Y"}, "no name of an index"),
            ({"index": "logs-%S"}, "no other %"),
        ],
    )
    def test_what_cannot_be_used_is_said(self, values: dict[str, str], message: str) -> None:
        with pytest.raises(ValidationError, match=message):
            ElasticsearchOptions.model_validate(values)

    def test_a_certificate_may_have_another_name_than_the_host(self) -> None:
        given = {"hosts": "https://10.0.0.1:9200", "tls": {"server_name": "es.example"}}
        assert ElasticsearchOptions.model_validate(given).tls.server_name == "es.example"

    def test_secrets_are_not_shown(self) -> None:
        assert "hush" not in repr(ElasticsearchOptions.model_validate({"auth": {"api_key": "hush"}}))


def test_the_body_holds_nothing_but_create() -> None:
    http = FakeHttp()
    send_all(sink(http), entry(1, spans_payload(2, events=1), 2, 2))
    actions = [json.loads(row) for row in http.bodies[0].split(b"\n")[0:-1:2]]
    assert all(list(a) == ["create"] and set(a["create"]) == {"_index", "_id"} for a in actions)
