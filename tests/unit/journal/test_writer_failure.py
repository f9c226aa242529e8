"""A bug in the writer must not leave clients waiting for ever."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from sidecar.errors import Unavailable
from sidecar.journal.entry import Draft
from sidecar.journal.journal import Journal
from sidecar.journal.opening import open_log
from sidecar.journal.options import JournalOptions


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_bug_in_the_writer_refuses_what_waits_and_what_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(journal: Journal, batch: object) -> None:
        raise ZeroDivisionError("a bug")

    journal = open_log(JournalOptions(kind="memory"))
    later = journal.append(Draft("spans", b"first", 1))
    later.result(5)
    monkeypatch.setattr(Journal, "_commit", broken)
    with capture_logs() as logs:
        journal.append(Draft("spans", b"second", 1))
        journal._writer.join(5)
    with pytest.raises(Unavailable):
        journal.append(Draft("spans", b"third", 1))
    assert isinstance(journal.failure, ZeroDivisionError)
    assert [line["log_level"] for line in logs] == ["error"]
