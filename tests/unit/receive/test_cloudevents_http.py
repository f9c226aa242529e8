"""`POST /v1/cloudevents`: every mode is kept before the reply; replies are those of the other HTTP ingest."""

from __future__ import annotations

import base64
import gzip
import json

import pytest
from support.receive_fakes import FakeLog
from support.receiving import JSON, receiving

from sidecar.decode.otlp import records
from sidecar.errors import Overloaded

PATH = "/v1/cloudevents"
NEEDED = {"id": "1", "source": "/s", "type": "t", "specversion": "1.0", "time": "2026-01-02T03:04:05Z"}
BINARY = {f"ce_{name}": value for name, value in NEEDED.items()}
"""Of headers whose names are given with underscores."""
STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"


def kept(log: FakeLog) -> list[tuple[str, object]]:
    """(event name, body) of what was kept."""
    found = []
    for submission in log.submissions:
        for placed in records.log_records(submission.payload):
            assert isinstance(placed.record, records.LogRecord)
            found.append((placed.record.event_name, placed.record.body))
    return found


def test_each_mode_is_kept() -> None:
    log = FakeLog()
    event = json.dumps({**NEEDED, "data": {"n": 2}}).encode()
    with receiving(log) as at:
        assert at.post(PATH, b'{"n": 1}', JSON, **BINARY).status == 200
        assert at.post(PATH, event, f"{STRUCTURED}; charset=utf-8").status == 200
        assert at.post(PATH, b"[" + event + b"," + event + b"]", BATCH).status == 200
        reply = at.post(PATH, gzip.compress(b'{"n": 3}'), JSON, content_encoding="gzip", **BINARY)
        assert (reply.status, reply.body, reply.headers["content-type"]) == (200, b"{}", JSON)
    numbers = [1, 2, 2, 2, 3]
    assert kept(log) == [("t", {"data": {"n": n}}) for n in numbers]
    assert [submission.items for submission in log.submissions] == [1, 1, 2, 1]
    assert all(submission.digest for submission in log.submissions), "sent again, they can be recognized"


def test_an_event_sent_again_has_the_same_digest() -> None:
    log = FakeLog()
    with receiving(log) as at:
        for _ in range(2):
            at.post(PATH, b'{"n": 1}', JSON, **BINARY)
        at.post(PATH, b'{"n": 2}', JSON, **BINARY)
        at.post(PATH, b'{"n": 1}', JSON, **{**BINARY, "ce_type": "u"})
    digests = [submission.digest for submission in log.submissions]
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3


def test_what_is_refused_is_reported() -> None:
    log = FakeLog()
    with receiving(log) as at:
        for body, content_type, sent, why in (
            (b"{}", JSON, {}, b"no CloudEvent"),
            (b"{}", STRUCTURED, {}, b"[0].id: missing"),
            (b"gibberish", BATCH, {}, b"body is not JSON"),
            (b"{}", "application/cloudevents+avro", {}, b"must be application/cloudevents+json"),
            (b"{}", JSON, {**BINARY, "ce_specversion": "9"}, b"specversion: 9"),
        ):
            reply = at.post(PATH, body, content_type, **sent)
            assert (reply.status, why in reply.body) == (400, True), reply.body
        assert not log.submissions
        event = json.dumps(NEEDED).encode()
        reply = at.post(PATH, b"[" + event + b", 7]", BATCH)
        assert (reply.status, json.loads(reply.body)["partialSuccess"]["rejectedLogRecords"]) == (200, "1")
        assert b"[1]: must be a JSON object" in reply.body
    assert len(log.submissions) == 1


def test_credentials_limits_and_overload() -> None:
    log = FakeLog()
    with receiving(log, token="s3cret", max_message_bytes=2000) as at:
        assert at.post(PATH, b"{}", JSON, **BINARY).status == 401
        allowed = {**BINARY, "authorization": "Bearer s3cret"}
        assert at.post(PATH, b"{}", JSON, **allowed).status == 200
        assert at.post(PATH, b" " * 3000, JSON, **allowed).status == 413
        assert at.post(PATH, gzip.compress(b" " * 3000), JSON, content_encoding="gzip", **allowed).status == 413
        assert at.post(PATH, b"x", JSON, content_encoding="br", **allowed).status == 415
        assert at.post(PATH, b"", JSON, **allowed).status == 200
    log = FakeLog()
    log.error = Overloaded("full", 7)
    with receiving(log) as at:
        reply = at.post(PATH, b"{}", JSON, **BINARY)
        assert (reply.status, reply.headers["retry-after"]) == (429, "7")


def test_a_large_event_is_read_in_a_thread() -> None:
    log = FakeLog()
    body = json.dumps({"instances": list(range(200_000))}).encode()
    with receiving(log) as at:
        assert at.post(PATH, body, JSON, **BINARY).status == 200
    ((_, found),) = kept(log)
    assert found == {"data": {"instances": list(range(200_000))}}


@pytest.mark.parametrize("raw", [b"\x00\x01", b"1,2,3"])
def test_what_a_model_was_sent_is_kept_as_json_only(raw: bytes) -> None:
    log = FakeLog()
    with receiving(log) as at:
        sent = {**BINARY, "ce_type": "org.kubeflow.serving.inference.request"}
        assert at.post(PATH, raw, "text/csv", **sent).status == 200
    assert kept(log) == [("org.kubeflow.serving.inference.request", None)]
    assert raw not in log.submissions[0].payload
    assert base64.b64encode(raw) not in log.submissions[0].payload
