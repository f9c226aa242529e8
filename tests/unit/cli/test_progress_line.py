"""How far a command is: on a terminal, and where lines stay."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest

from sidecar.cli.labels import progress_text
from sidecar.cli.progress_line import Countdown, ProgressLine
from sidecar.send.label_import import Source, Tally


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def progress_on(out: io.StringIO, clock: Callable[[], float]) -> tuple[ProgressLine, Tally]:
    """Half of a file of 200 bytes is read."""
    tally = Tally()
    source = Source(io.BufferedReader(io.BytesIO()), "labels.csv", 0, 200, lambda: 100)
    return ProgressLine(out, progress_text(source, tally, clock), clock), tally


def test_progress_as_lines() -> None:
    now, out = [0.0], io.StringIO()
    progress, tally = progress_on(out, lambda: now[0])
    for seconds in range(1, 13):
        now[0] = seconds
        tally.records, tally.accepted, tally.rejected = seconds * 10, seconds * 9, seconds
        progress.show()
    progress.wait("the sidecar answers 503: stopping", 0.2)
    progress.wait("the sidecar answers 503: stopping", 0.4)
    progress.show()
    progress.end()
    assert out.getvalue().splitlines() == [
        "10 records, 9 accepted, 1 rejected, 10/s, 50 %",
        "60 records, 54 accepted, 6 rejected, 10/s, 50 %",
        "110 records, 99 accepted, 11 rejected, 10/s, 50 %",
        "120 records, 108 accepted, 12 rejected, 10/s, 50 %; the sidecar answers 503: stopping; trying again in 0.2 s",
    ]


def test_progress_on_a_terminal_is_one_line() -> None:
    now, out = [0.0], Terminal()
    progress, tally = progress_on(out, lambda: now[0])
    for step in range(1, 4):
        now[0] = step / 10
        tally.records = tally.accepted = step
        progress.show()
    progress.end()
    assert out.getvalue().count("\n") == 1
    assert out.getvalue().split("\r\x1b[K")[-1] == "3 records, 3 accepted, 0 rejected, 10/s, 50 %\n"


def test_a_countdown_is_as_long_as_its_first_number(capsys: pytest.CaptureFixture[str]) -> None:
    countdown = Countdown("delivering")
    for left in (10, 12, 4, 0):
        countdown.show(left)
    countdown.close()
    assert countdown.total == 10
    assert capsys.readouterr().err.startswith("delivering")
    Countdown("nothing").close()
    assert capsys.readouterr().err == ""
