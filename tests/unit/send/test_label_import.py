"""The import of a file of labels: batches, retries, refusals, going on, progress."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path
from typing import Any

import pytest

from sidecar.decode.predictions.label_bodies import from_lines
from sidecar.decode.predictions.label_rows import Row
from sidecar.errors import Retryable
from sidecar.send.http_sender import Reply, Sender
from sidecar.send.label_import import BatchSender, Defaults, Rejects, Stopped, Tally, format_of, opened, rows_of, run

TIME = 1_767_323_045_000_000_000
ISO = "2026-01-02T03:04:05.000000000Z"


class Sidecar:
    """Takes what the real one takes; answers what it is asked to before that."""

    def __init__(self, *trouble: Reply | Exception) -> None:
        self.trouble = list(trouble)
        self.bodies: list[bytes] = []

    def post(self, body: bytes, key: str) -> Reply:
        assert key == "", "known by its bytes, across a restart of the import too"
        self.bodies.append(body)
        if self.trouble:
            answer = self.trouble.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer
        check = from_lines(body, 5).check
        assert check.timed
        return Reply(
            200, json.dumps({"accepted": check.items, "rejected": check.rejected, "errors": []}).encode(), None
        )

    @property
    def records(self) -> list[list[int]]:
        return [[json.loads(line)["record"] for line in body.splitlines()] for body in self.bodies]


def sender(sidecar: Sidecar, timeout: float = 300, **more: Any) -> BatchSender:
    clock = more.setdefault("clock", lambda: 0.0)
    return BatchSender(Sender(sidecar.post, **{"sleep": lambda seconds: None, **more}), timeout, clock)


def csv_of(count: int, bad: tuple[int, ...] = ()) -> bytes:
    return b"id,label\n" + b"".join(b"%s,%d\n" % (b"" if n in bad else b"p%d" % n, n) for n in range(1, count + 1))


def imported(sidecar: Sidecar, content: bytes, tmp_path: Path, **how: Any) -> tuple[Tally, list[Row], str]:
    file = tmp_path / how.pop("name", "labels.csv")
    file.write_bytes(content)
    tally, rejected = Tally(), list[Row]()
    how.setdefault("reject", rejected.append)
    defaults = how.pop("defaults", Defaults(TIME))
    sending = how.pop("sender", None) or sender(sidecar)
    with opened(str(file), io.BytesIO()) as source:
        try:
            run(rows_of(source, format_of(source)), sending, defaults, tally, **{"batch": 3, **how})
        except Stopped as stopped:
            return tally, rejected, str(stopped)
    return tally, rejected, ""


def test_all_of_it_in_batches(tmp_path: Path) -> None:
    sidecar = Sidecar()
    tally, rejected, why = imported(sidecar, csv_of(8, bad=(2, 4, 5, 6)), tmp_path)
    assert (tally, why) == (Tally(8, 4, 4), "")
    assert sidecar.records == [[1, 3], [7, 8]]
    assert [(row.place, row.text) for row in rejected] == [
        ("line 3", ",2"),
        ("line 5", ",4"),
        ("line 6", ",5"),
        ("line 7", ",6"),
    ]
    assert json.loads(sidecar.bodies[0].splitlines()[0]) == {
        "ml.prediction.id": "p1",
        "ml.label.value": 1,
        "ml.label.time": ISO,
        "record": 1,
    }


def test_defaults_fill_what_a_label_does_not_say(tmp_path: Path) -> None:
    sidecar = Sidecar()
    lines = b'{"id":"a","label":1,"model":"own","version":"2","time":1767323046}\n{"id":"b","label":1}\n'
    imported(sidecar, lines, tmp_path, name="x.ndjson", defaults=Defaults(TIME, "churn", "7"))
    own, filled = (json.loads(line) for line in sidecar.bodies[0].splitlines())
    assert (own["ml.model.name"], own["ml.model.version"], own["ml.label.time"]) == (
        "own",
        "2",
        ISO.replace("05.", "06."),
    )
    assert (filled["ml.model.name"], filled["ml.model.version"], filled["ml.label.time"]) == ("churn", "7", ISO)


@pytest.mark.parametrize("skip", [3, 4])
def test_going_on_sends_the_same_batches(tmp_path: Path, skip: int) -> None:
    whole, rest = Sidecar(), Sidecar()
    imported(whole, csv_of(8), tmp_path)
    tally, _, why = imported(rest, csv_of(8), tmp_path, skip=skip)
    assert (tally, why) == (Tally(8, 8 - skip), "")
    assert rest.bodies[-1] == whole.bodies[-1]
    assert rest.records == [[n for n in (4, 5, 6) if n > skip], [7, 8]]


def test_batches_of_equal_labels_are_not_the_same(tmp_path: Path) -> None:
    sidecar = Sidecar()
    imported(sidecar, b"id,label\n" + b"p,1\n" * 6, tmp_path)
    assert len(set(sidecar.bodies)) == 2


def test_there_is_nothing_to_go_on_with(tmp_path: Path) -> None:
    assert (
        imported(Sidecar(), csv_of(2), tmp_path, skip=5)[2]
        == "invalid --skip: 5; expected at most 2, the number of records"
    )
    assert imported(Sidecar(), csv_of(2), tmp_path, skip=2)[2] == ""


def test_stop_at_the_first_that_is_refused(tmp_path: Path) -> None:
    sidecar = Sidecar()
    tally, _, why = imported(sidecar, csv_of(8, bad=(5,)), tmp_path, reject=None)
    assert tally == Tally(4, 4)
    assert why.startswith("line 6: no prediction id (any of")
    assert sidecar.records == [[1, 2, 3], [4]]


@pytest.mark.parametrize(
    "trouble",
    [
        Retryable("connection refused"),
        Reply(429, b'{"code": 8, "message": "journal full"}', 7.0),
        Reply(503, b"", None),
        Reply(502, b"<html>", None),
    ],
)
def test_it_tries_again(tmp_path: Path, trouble: Any) -> None:
    pauses: list[float] = []
    said: list[str] = []
    sidecar = Sidecar(trouble, trouble)
    sending = sender(
        sidecar, sleep=pauses.append, waiting=lambda reason, seconds: said.append(reason), draw=lambda: 0.5
    )
    tally, _, why = imported(sidecar, csv_of(2), tmp_path, sender=sending)
    assert (tally, why) == (Tally(2, 2), "")
    assert len(set(sidecar.bodies)) == 1
    assert len(pauses) == len(said) == 2
    if isinstance(trouble, Reply) and trouble.retry_after:
        assert pauses == [7.1, 7.1]
        assert said[0] == "the sidecar answers 429: journal full"
    else:
        assert pauses == [0.1, 0.2]


def test_it_gives_up_at_the_timeout(tmp_path: Path) -> None:
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    sidecar = Sidecar(*[Retryable("connection refused")] * 1000)
    sending = sender(sidecar, 60, sleep=sleep, clock=lambda: now[0], draw=lambda: 0.9)
    tally, _, why = imported(sidecar, csv_of(5), tmp_path, sender=sending)
    assert tally == Tally(0)
    assert why == "gave up after 60 s: the sidecar does not answer: connection refused"
    assert 50 < now[0] <= 60
    assert 10 < len(sidecar.bodies) < 25


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (Reply(401, b'{"message": "no credentials"}', None), "the sidecar answers 401: no credentials"),
        (Reply(404, b"Not Found", None), "the sidecar answers 404: b'Not Found'"),
        (Reply(413, b'{"message": "over"}', None), "the sidecar answers 413: over; a smaller --batch may do"),
        (Reply(200, b"hello", None), "invalid answer: b'hello'; expected a sidecar's: check --url"),
        (Reply(200, b"{}", None), "invalid answer: b'{}'; expected a sidecar's: check --url"),
        (
            Reply(200, b'{"accepted":1,"rejected":1,"errors":["line 2: x"]}', None),
            "the sidecar accepted 1 of 2 labels that are valid here (['line 2: x']); expected the same version of both",
        ),
    ],
)
def test_what_it_does_not_try_again(tmp_path: Path, answer: Reply, why: str) -> None:
    sidecar = Sidecar(answer)
    assert imported(sidecar, csv_of(2), tmp_path) == (Tally(0), [], why)
    assert len(sidecar.bodies) == 1


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.json", b'[{"id":"a","label":1},{"id":"b","label":1}]', 2),
        ("a.json", b'{"id":"a","label":1}\n{"id":"b","label":1}', 2),
        ("a.jsonl", b'{"id":"a","label":1}\n{"id":"b","label":1}', 2),
        ("a", b' [{"id":"a","label":1}]', 1),
        ("a", b'\xef\xbb\xbf{"id":"a","label":1}', 1),
        ("a.txt", b"\xef\xbb\xbfid,label\na,1\n", 1),
        ("A.CSV.GZ", gzip.compress(b"id,label\na,1\n", mtime=0), 1),
        ("a", gzip.compress(b'{"id":"a","label":1}', mtime=0), 1),
        ("a.csv", b"id,label\n", 0),
        ("a.json", b"", 0),
    ],
)
def test_formats_are_recognized_by_name_or_content(tmp_path: Path, name: str, content: bytes, expected: int) -> None:
    sidecar = Sidecar()
    tally, _, why = imported(sidecar, content, tmp_path, name=name)
    assert (tally.accepted, why) == (expected, "")
    assert len(sidecar.bodies) == (expected > 0)


@pytest.mark.parametrize(
    ("name", "content", "accepted", "why"),
    [
        ("a.csv.gz", gzip.compress(csv_of(30_000))[:-20], 4, "invalid gzip: "),
        ("a.json", b'[{"id":"a","label":1},{"id":"b","label":1},oops', 2, "character 44: not JSON"),
        ("a.csv", b"a,b\n1,2\n", 0, "line 1: no column for the prediction id"),
    ],
)
def test_what_came_before_damage_is_sent(tmp_path: Path, name: str, content: bytes, accepted: int, why: str) -> None:
    tally, _, reported = imported(Sidecar(), content, tmp_path, name=name, batch=1000)
    assert reported.startswith(why)
    assert tally.records == tally.accepted >= accepted


def test_damage_at_the_very_begin(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_bytes(gzip.compress(b"id,label\n")[:8])
    with opened(str(file), io.BytesIO()) as source, pytest.raises(Stopped, match="invalid gzip"):
        format_of(source)


def test_standard_input() -> None:
    with opened("-", io.BytesIO(gzip.compress(csv_of(2)))) as source:
        assert (format_of(source), source.size, source.position()) == ("csv", 0, 0)
        assert [row.place for row in rows_of(source, "csv")] == ["line 2", "line 3"]


def test_rejected_records_are_for_their_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "labels.rejected"
    for append, expected in ((False, 1), (True, 2), (False, 1)):
        rejects = Rejects(path, append)
        rejects.write(Row("line 2", None, "no truth", "é,"))
        rejects.close()
        lines = path.read_text("utf-8").splitlines()
        assert [json.loads(line) for line in lines] == [
            {"place": "line 2", "reason": "no truth", "record": "é,"}
        ] * expected
    assert path.stat().st_mode & 0o777 == 0o600
    untouched = Rejects(tmp_path / "other", append=False)
    untouched.close()
    assert not (tmp_path / "other").exists()
