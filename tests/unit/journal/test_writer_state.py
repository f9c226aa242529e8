"""The writer's state as a table: every state against every event."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs
from support.journals import Disk, journal, keep

from sidecar.errors import Unavailable
from sidecar.journal.writer_state import OPEN, WriterEvent, WriterState, transition

TABLE = """
event            WRITING    VACUUMING  FAILING  CLOSING  CLOSED  BROKEN
COMMITTED        WRITING    VACUUMING  WRITING  CLOSING  CLOSED  BROKEN
COMMIT_FAILED    FAILING    FAILING    FAILING  CLOSED   CLOSED  BROKEN
SPACE_TO_VACUUM  VACUUMING  VACUUMING  FAILING  CLOSING  CLOSED  BROKEN
VACUUMED         WRITING    WRITING    FAILING  CLOSING  CLOSED  BROKEN
CLOSE            CLOSING    CLOSING    CLOSING  CLOSING  CLOSED  CLOSED
ENDED            WRITING    VACUUMING  FAILING  CLOSED   CLOSED  BROKEN
BUG              BROKEN     BROKEN     BROKEN   BROKEN   BROKEN  BROKEN
"""
_HEAD, *_ROWS = [line.split() for line in TABLE.strip().splitlines()]
MOVES = [(_HEAD[n], row[0], row[n]) for row in _ROWS for n in range(1, len(_HEAD))]


def test_the_table_is_complete() -> None:
    assert _HEAD[1:] == [state.name for state in WriterState]
    assert [row[0] for row in _ROWS] == [event.name for event in WriterEvent]


@pytest.mark.parametrize(("before", "event", "after"), MOVES)
def test_transition(before: str, event: str, after: str) -> None:
    assert transition(WriterState[before], WriterEvent[event]) is WriterState[after]


def test_what_is_not_open_never_opens_again() -> None:
    assert {transition(s, e) for s in WriterState if s not in OPEN for e in WriterEvent}.isdisjoint(OPEN)


def test_a_disk_that_fails_and_recovers_is_reported_once_each(tmp_path_factory: pytest.TempPathFactory) -> None:
    disk = Disk()
    log = journal(tmp_path_factory.mktemp("j"), disk=disk)
    assert log.writing()
    disk.full = True
    with capture_logs() as lines:
        for _ in range(3):
            with pytest.raises(Unavailable):
                keep(log, "x")
        assert not log.writing()
        disk.full = False
        keep(log, "x")
        assert log.writing()
        log.close()
    assert [line["log_level"] for line in lines] == ["error", "warning"]
    assert not log.writing()
