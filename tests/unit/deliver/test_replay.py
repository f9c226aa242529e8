from __future__ import annotations

import pytest
from support.delivery import FakeEngine, entry, ids, spans_payload

from sidecar.decode.python import ReferenceDecoder
from sidecar.deliver.elasticsearch.bulk import Documents, Reply, ResponseClassifier, collect
from sidecar.deliver.replay import BATCH, replay
from sidecar.deliver.sink import SendResult
from sidecar.errors import Retryable
from sidecar.pipeline import DeadLetter

DECODER = ReferenceDecoder()
classify = ResponseClassifier("elasticsearch", lambda: 7).classify_response


def letters(count: int) -> list[DeadLetter]:
    """The dead letters of one entry whose documents were all refused."""
    payload = spans_payload(count)
    lines = DECODER.span_lines([payload])
    engine = FakeEngine()
    engine.poison = dict.fromkeys(ids(lines), (400, "mapper_parsing_exception", "no"))
    run = collect(lines, [entry(5, payload, count)])
    return [n for settled in classify(run, engine.bulk(bytes(run.body))).settled for n in settled.dead]


def test_letters_are_taken_once_the_mapping_is_mended() -> None:
    engine, dead = FakeEngine(), letters(BATCH + 3)
    batches = list(replay(dead, lambda d: classify(d, engine.bulk(bytes(d.body)))))
    assert [len(b.taken) for b in batches] == [BATCH, 3]
    assert len(engine.kept) == BATCH + 3
    # Again: they are there already, which is success too.
    assert sum(len(b.taken) for b in replay(dead, lambda d: classify(d, engine.bulk(bytes(d.body))))) == BATCH + 3


def test_those_refused_again_stay_with_the_new_reason() -> None:
    engine, dead = FakeEngine(), letters(4)
    engine.poison = {dead[1].doc_id: (400, "illegal_argument_exception", "still no")}
    (batch,) = replay(dead, lambda d: classify(d, engine.bulk(bytes(d.body))))
    assert [n.doc_id for n in batch.taken] == [dead[i].doc_id for i in (0, 2, 3)]
    (refused,) = batch.refused
    assert (refused.doc_id, refused.seq, refused.document) == (dead[1].doc_id, 5, dead[1].document)
    assert refused.reason == "illegal_argument_exception: still no"


def test_requests_cut_in_two_are_sent_to_their_end() -> None:
    engine, dead = FakeEngine(), letters(9)

    def send(documents: Documents) -> SendResult[Documents]:
        reply = Reply(413) if len(documents) > 2 else engine.bulk(bytes(documents.body))
        return classify(documents, reply)

    (batch,) = replay(dead, send)
    assert len(batch.taken) == 9
    assert len(engine.kept) == 9


def test_a_far_side_that_cannot_answer_ends_the_replay() -> None:
    with pytest.raises(Retryable, match="http_503"):
        list(replay(letters(2), lambda d: classify(d, Reply(503, b"", 3.0))))
