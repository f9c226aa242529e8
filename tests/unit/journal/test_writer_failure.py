"""A bug in the writer must not leave clients waiting for ever."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from sidecar.errors import Unavailable
from sidecar.journal.memory import MemoryStore
from sidecar.journal.opening import open_journal
from sidecar.journal.options import JournalOptions
from sidecar.journal.submission import Submission


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_bug_in_the_writer_refuses_what_waits_and_what_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(store: MemoryStore, tx: object) -> None:
        raise ZeroDivisionError("a bug")

    journal = open_journal(JournalOptions(backend="memory"))
    journal.append(Submission("spans", b"first", 1)).result(5)
    monkeypatch.setattr(MemoryStore, "commit", broken)
    with capture_logs() as logs:
        second = journal.append(Submission("spans", b"second", 1))
        with pytest.raises(Unavailable):
            second.result(5)
    with pytest.raises(Unavailable):
        journal.append(Submission("spans", b"third", 1))
    assert isinstance(journal.failure, ZeroDivisionError)
    assert not journal.writing()
    assert [line["log_level"] for line in logs] == ["error"]
    journal.close()
