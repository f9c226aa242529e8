"""Replay of dead letters from the page: one batch, and what the destination accepts leaves the journal."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from sidecar.app import App, replay_oldest
from sidecar.config import loader
from sidecar.config.settings import Settings
from sidecar.deliver import replay as replaying
from sidecar.deliver.elasticsearch import sink as elasticsearch
from sidecar.deliver.sink import ItemResult, Retry, SendResult
from sidecar.errors import ConfigError, Retryable
from sidecar.journal.dead_letters import DeadLetters
from sidecar.journal.opening import open_journal
from sidecar.journal.submission import Submission
from sidecar.pipeline import Ack, DeadLetter
from sidecar.serve.pages.sources import ReplayCount

REFUSED = ("logs", "dead_lettered", "no")


class Destination:
    """A sink that refuses documents of some ids; it can be down."""

    def __init__(self, *refused: str, down: bool = False) -> None:
        self.refused, self.down, self.closed = refused, down, 0
        self._letters: Sequence[DeadLetter] = ()

    def prepare_dead_letters(self, dead_letters: Sequence[DeadLetter]) -> Sequence[Sequence[DeadLetter]]:
        return [dead_letters]

    def send(self, batch: Sequence[DeadLetter]) -> SendResult[Any]:
        if self.down:
            return SendResult(retry=Retry([batch], "unavailable", "it is down"))
        return SendResult([self._result(row, one) for row, one in enumerate(batch)])

    def _result(self, row: int, one: DeadLetter) -> ItemResult:
        refused = one.doc_id in self.refused
        again = DeadLetter(one.consumer, one.doc_id, "logs", "i", "still no", b"", one.seq, time.time_ns())
        return ItemResult(row, {REFUSED: 1} if refused else {("logs", "delivered", ""): 1}, [again] if refused else ())

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Of a journal with three dead letters of Elasticsearch, `0` to `2`."""
    made = loader.load({
        "SIDECAR_JOURNAL__PATH": str(tmp_path),
        "SIDECAR_DELIVER__ELASTICSEARCH__HOSTS": "http://127.0.0.1:9",
        "SIDECAR_DELIVER__FILE__ENABLED": "true",
        "SIDECAR_DELIVER__FILE__PATH": str(tmp_path / "out"),
    })  # fmt: skip
    kept = open_journal(made.journal, time.time_ns, None)
    consumer = kept.consumer("elasticsearch", frozenset(("logs",)))
    kept.append(Submission("logs", b"", 3)).result(10)
    (entry,) = consumer.next(100, 10, 5)
    letters = [DeadLetter("elasticsearch", str(n), "logs", "i", "no", b"{}", entry.seq, 1) for n in range(3)]
    consumer.done([Ack(entry.seq, {REFUSED: 3}, letters)]).result(10)
    kept.close()
    return made


def left(settings: Settings) -> dict[str, str]:
    """Id -> reason of the dead letters that are in the journal."""
    return {s.dead_letter.doc_id: s.dead_letter.reason for s in DeadLetters(settings.journal.path).page()}


def test_what_is_accepted_leaves_and_the_rest_has_the_new_reason(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    destination = Destination("1")
    monkeypatch.setattr(elasticsearch, "build", lambda *_: destination)
    assert replay_oldest(settings, "elasticsearch") == ReplayCount(2, 1)
    assert left(settings) == {"1": "still no"}
    assert destination.closed == 1


def test_one_batch_is_sent_at_a_time(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replaying, "MAX_BATCH", 2)
    monkeypatch.setattr(elasticsearch, "build", lambda *_: Destination())
    assert replay_oldest(settings, "elasticsearch") == ReplayCount(2, 0)
    assert list(left(settings)) == ["2"]
    assert replay_oldest(settings, "elasticsearch") == ReplayCount(1, 0)
    assert replay_oldest(settings, "elasticsearch") == ReplayCount(0, 0)


def test_a_destination_that_is_down_takes_nothing_away(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    destination = Destination(down=True)
    monkeypatch.setattr(elasticsearch, "build", lambda *_: destination)
    with pytest.raises(Retryable, match="it is down"):
        replay_oldest(settings, "elasticsearch")
    assert list(left(settings)) == ["0", "1", "2"]
    assert destination.closed == 1


@pytest.mark.parametrize("name", ["otlp", "file", "<b>"])
def test_a_sink_that_is_not_on_or_cannot_is_refused(settings: Settings, name: str) -> None:
    with pytest.raises(ConfigError, match="no sink named"):
        replay_oldest(settings, name)


@pytest.mark.parametrize(
    ("environ", "page", "replays", "letters"),
    [
        ({}, True, True, True),
        ({"SIDECAR_SERVE__PAGE__READ_ONLY": "true"}, True, False, True),
        ({"SIDECAR_JOURNAL__BACKEND": "memory"}, True, False, False),
        ({"SIDECAR_SERVE__PAGE__ENABLED": "false"}, False, False, False),
    ],
)
def test_what_the_page_has_is_what_the_options_say(
    tmp_path: Path, environ: dict[str, str], page: bool, replays: bool, letters: bool
) -> None:
    made = App(loader.load({"SIDECAR_JOURNAL__PATH": str(tmp_path), **environ}))
    sources = made.page_sources
    assert (sources is not None) is page
    if sources is not None:
        assert (sources.replay is not None, sources.dead_letters is not None) == (replays, letters)
        assert sources.traces is not None
        assert sources.logs is not None
        assert not sources.stopping()
    made.journal.close()
