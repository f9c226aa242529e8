from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from support.delivery import FakeEngine, entry, ids, spans_payload

from sidecar.decode.python import ReferenceDecoder
from sidecar.deliver.common.documents import Documents, collect, from_dead_letters
from sidecar.deliver.common.http import Reply
from sidecar.deliver.elasticsearch.bulk import ResponseClassifier
from sidecar.deliver.replay import MAX_BATCH, replay
from sidecar.deliver.sink import PreparedBatch, SendResult
from sidecar.errors import Retryable
from sidecar.pipeline import DeadLetter, Entry, Signal

DECODER = ReferenceDecoder()
classify = ResponseClassifier("elasticsearch", lambda: 7).classify_response


class FakeSink:
    """Sends to an engine in memory."""

    name = "elasticsearch"
    signals: frozenset[Signal] = frozenset(("spans", "logs"))
    target_batch_bytes = 1

    def __init__(self, engine: FakeEngine, largest: int = 1000, unavailable: bool = False) -> None:
        self._engine, self._largest, self._unavailable = engine, largest, unavailable

    def prepare(self, entries: Sequence[Entry]) -> PreparedBatch[Documents]:
        raise AssertionError("a replay prepares no entries")

    def prepare_dead_letters(self, letters: Sequence[DeadLetter]) -> Sequence[Documents]:
        return from_dead_letters(letters)

    def send(self, batch: Documents) -> SendResult[Documents]:
        if self._unavailable:
            return classify(batch, Reply(503, b"", 3.0))
        return classify(batch, Reply(413) if len(batch) > self._largest else self._engine.bulk(bytes(batch.body)))

    def status(self) -> Mapping[str, Any]:
        return {}

    def close(self) -> None:
        """Nothing is open."""


def letters(count: int) -> list[DeadLetter]:
    """The dead letters of one entry whose documents were all refused."""
    payload = spans_payload(count)
    lines = DECODER.span_lines([payload])
    engine = FakeEngine()
    engine.poison = dict.fromkeys(ids(lines), (400, "mapper_parsing_exception", "no"))
    run = collect(lines, [entry(5, payload, count)])
    return [n for settled in classify(run, engine.bulk(bytes(run.body))).settled for n in settled.dead]


def test_letters_are_taken_once_the_mapping_is_fixed() -> None:
    engine, dead = FakeEngine(), letters(MAX_BATCH + 3)
    batches = list(replay(dead, FakeSink(engine)))
    assert [len(b.accepted) for b in batches] == [MAX_BATCH, 3]
    assert len(engine.kept) == MAX_BATCH + 3
    # Again: they are there already, which is success too.
    assert sum(len(b.accepted) for b in replay(dead, FakeSink(engine))) == MAX_BATCH + 3


def test_those_refused_again_stay_with_the_new_reason() -> None:
    engine, dead = FakeEngine(), letters(4)
    engine.poison = {dead[1].doc_id: (400, "illegal_argument_exception", "still no")}
    (batch,) = replay(dead, FakeSink(engine))
    assert [n.doc_id for n in batch.accepted] == [dead[i].doc_id for i in (0, 2, 3)]
    (refused,) = batch.rejected
    assert (refused.doc_id, refused.seq, refused.document) == (dead[1].doc_id, 5, dead[1].document)
    assert refused.reason == "illegal_argument_exception: still no"


def test_requests_cut_in_two_are_sent_to_their_end() -> None:
    engine, dead = FakeEngine(), letters(9)

    (batch,) = replay(dead, FakeSink(engine, largest=2))
    assert len(batch.accepted) == 9
    assert len(engine.kept) == 9


def test_a_destination_that_cannot_answer_ends_the_replay() -> None:
    with pytest.raises(Retryable, match="http_503"):
        list(replay(letters(2), FakeSink(FakeEngine(), unavailable=True)))
