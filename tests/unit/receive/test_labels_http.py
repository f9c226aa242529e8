"""`POST /v1/labels` on a real port: what is kept, what is said, what is refused."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from support.receive_fakes import FakeLog
from support.receiving import Reply, receiving

from sidecar.decode.predictions.label_event import label_events
from sidecar.decode.predictions.label_record import Label
from sidecar.errors import Overloaded, Unavailable
from sidecar.receive.labels_http import PATH, TYPES

TIMED = "2026-01-02T03:04:05Z"
CSV = f"id,label,time\na,1,{TIMED}\nb,cat,{TIMED}\n".encode()
OBJECTS = [{"id": "a", "label": 1, "time": TIMED}, {"id": "b", "label": "cat", "time": TIMED}]
LINES = "\n".join(map(json.dumps, OBJECTS)).encode()
BODIES = {
    "application/json": json.dumps(OBJECTS).encode(),
    "application/x-ndjson": LINES,
    "application/jsonl": LINES,
    "text/csv": CSV,
}


def kept(log: FakeLog) -> list[Label | None]:
    return [
        event.label for submission in log.submissions for event in label_events(submission.payload, submission.items)
    ]


def reported(reply: Reply) -> Any:
    assert reply.headers["content-type"] == "application/json"
    return json.loads(reply.body)


@pytest.mark.parametrize("content_type", TYPES)
def test_every_content_type(content_type: str) -> None:
    log = FakeLog()
    time = 1_767_323_045_000_000_000
    with receiving(log) as at:
        reply = at.post(PATH, BODIES[content_type], f"{content_type}; charset=utf-8")
        assert (reply.status, reported(reply)) == (200, {"accepted": 2, "rejected": 0, "errors": []})
        packed = at.post(PATH, gzip.compress(BODIES[content_type]), content_type, content_encoding="gzip")
        assert (packed.status, reported(packed)["accepted"]) == (200, 2)
        assert at.counted.values("sidecar_receiver_requests_total") == {("labels_http", "logs", "accepted"): 2}
    assert kept(log) == [Label("a", 1, time=time), Label("b", "cat", time=time)] * 2
    assert {submission.signal for submission in log.submissions} == {"logs"}


def test_some_are_refused_and_the_rest_is_kept() -> None:
    log = FakeLog()
    with receiving(log) as at:
        reply = at.post(PATH, LINES + b'\n{"id":"c"}\nr\xc3\xa4tsel\n{"id":"\\n","label":1}\n', "application/x-ndjson")
    assert reply.status == 200
    errors = [
        "line 3: no truth (any of ml.label.value, label, actual, actual_label, actual_outcome, label_actual, "
        "groundTruthData.data, truth, target)",
        "line 4: not a JSON object",
    ]
    answer = reported(reply)
    assert (answer["accepted"], answer["rejected"]) == (2, 3)
    assert answer["errors"][:2] == errors
    assert answer["errors"][2].startswith("line 5: no prediction id (any of ")
    assert len(kept(log)) == 2
    assert [(submission.items, submission.rejected) for submission in log.submissions] == [(2, 3)]


@pytest.mark.parametrize(
    ("body", "content_type", "message"),
    [
        (b"a,b\n1,2\n", "text/csv", "line 1: no column for the prediction id"),
        (b"gibberish", "application/json", "character 1: not JSON"),
        (b"gibberish\n[]", "application/x-ndjson", "all 2 records refused: line 1: not a JSON object; line 2: "),
    ],
)
def test_nothing_usable(body: bytes, content_type: str, message: str) -> None:
    log = FakeLog()
    with receiving(log) as at:
        reply = at.post(PATH, body, content_type)
    assert (reply.status, reported(reply)["code"]) == (400, 3)
    assert message in reported(reply)["message"]
    assert log.submitted == 0


def test_what_is_refused_as_a_whole() -> None:
    with receiving(max_message_bytes=2048, token="secret") as at:
        token = {"authorization": "Bearer secret"}
        assert at.post(PATH, CSV, "text/csv").status == 401
        assert at.post(PATH, CSV + b"x" * 2048, "text/csv", **token).status == 413
        for content_type in ("text/plain", None):
            reply = at.post(PATH, CSV, content_type, **token)
            assert reply.status == 415
            assert "application/json, application/x-ndjson, application/jsonl, text/csv" in reported(reply)["message"]
        assert at.post(PATH, CSV, "text/csv", **token).status == 200


def test_a_full_or_closed_journal() -> None:
    log = FakeLog()
    with receiving(log) as at:
        log.error = Overloaded("journal full", 12.5)
        reply = at.post(PATH, CSV, "text/csv")
        assert (reply.status, reply.headers["retry-after"]) == (429, "13")
        log.error, log.late_error = None, Unavailable("disk gone", 3.0)
        reply = at.post(PATH, CSV, "text/csv")
        assert (reply.status, reply.headers["retry-after"]) == (503, "3")


def test_a_resend_is_recognized_by_its_digest_where_labels_have_times() -> None:
    log = FakeLog()
    with receiving(log) as at:
        for body in (CSV, CSV, CSV.replace(b"cat", b"dog"), b"id,label\na,1\n"):
            assert at.post(PATH, body, "text/csv").status == 200
    first, again, other, untimed = (submission.digest for submission in log.submissions)
    assert first == again is not None
    assert other not in (first, None)
    assert untimed is None
