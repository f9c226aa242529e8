"""How far a command is, on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any, TextIO

import click

PLAIN_EVERY_SECONDS = 5.0
TERMINAL_EVERY_SECONDS = 0.1


def bar(length: int, label: str) -> Any:
    """A bar for so many steps: a context manager with `update(steps)`."""
    return click.progressbar(length=length, label=label, file=sys.stderr)


class Countdown:
    """A bar by what is left: its length is the first number that it is given."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._bar: Any = None
        self.total = 0

    def show(self, left: int) -> None:
        """So much is left now."""
        if self._bar is None:
            self.total = left
            self._bar = bar(left, self._label)
            self._bar.__enter__()
        self._bar.update(max(0, self.total - left - self._bar.pos))

    def close(self) -> None:
        """Leave the bar as it is."""
        if self._bar is not None:
            self._bar.__exit__(None, None, None)


class ProgressLine:
    """One line that changes on a terminal, a line now and then elsewhere."""

    def __init__(self, out: TextIO, line: Callable[[], str], clock: Callable[[], float] = time.monotonic) -> None:
        self._out, self._line, self._clock = out, line, clock
        self._live = out.isatty()
        self._every = TERMINAL_EVERY_SECONDS if self._live else PLAIN_EVERY_SECONDS
        self._due = clock()
        self._waiting_for = ""

    def show(self) -> None:
        """Write how far it is, if it is time to."""
        self._waiting_for = ""
        if self._clock() >= self._due:
            self._due = self._clock() + self._every
            self._write(self._line())

    def wait(self, reason: str, seconds: float) -> None:
        """Why there is a pause, and how long it is; where lines stay, once until it goes on."""
        if self._live or reason != self._waiting_for:
            self._waiting_for = reason
            self._write(f"{self._line()}; {reason}; trying again in {seconds:.1f} s")

    def end(self) -> None:
        """Leave the line as it is at the end."""
        if self._live:
            self._write(self._line() + "\n")

    def _write(self, line: str) -> None:
        self._out.write(f"\r\x1b[K{line}" if self._live else f"{line}\n")
        self._out.flush()
