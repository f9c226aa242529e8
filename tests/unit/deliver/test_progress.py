from __future__ import annotations

import pytest

from sidecar.deliver.progress import Progress
from sidecar.deliver.sink import ItemResult
from sidecar.pipeline import Ack, DeadLetter

LETTER = DeadLetter("es", "a", "spans", "traces", "bad: worse", b"{}\n{}\n", 1, 0)


def test_an_entry_is_done_with_its_last_document_and_all_its_counts() -> None:
    progress = Progress()
    assert progress.expect({1: 3, 2: 1}) == []
    assert progress.settle([ItemResult(1, {("spans", "delivered", ""): 1})]) == []
    assert progress.settle([ItemResult(2, {("logs", "delivered", ""): 1})]) == [
        Ack(2, {("logs", "delivered", ""): 1}, [])
    ]
    assert progress.settle([ItemResult(1, {("spans", "dead_lettered", "bad"): 1}, [LETTER])]) == []
    (done,) = progress.settle([ItemResult(1, {("spans", "delivered", ""): 1})])
    assert done.counts == {("spans", "delivered", ""): 2, ("spans", "dead_lettered", "bad"): 1}
    assert done.dead == [LETTER]
    assert len(progress) == 0


def test_an_entry_without_documents_is_done_at_once() -> None:
    assert Progress().expect({7: 0}) == [Ack(7)]


def test_settling_more_than_there_is_is_a_bug() -> None:
    progress = Progress()
    progress.expect({1: 1})
    with pytest.raises(AssertionError, match="more documents"):
        progress.settle([ItemResult(1, {("spans", "delivered", ""): 2})])
