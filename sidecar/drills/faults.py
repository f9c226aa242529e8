"""What breaks the stack for a drill: somebody, or a program of the operator's."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

from sidecar.drills.drill import Drill
from sidecar.errors import Permanent

PROGRAM_SECONDS = 600


class ByHand:
    """Says what is to be done."""

    def __init__(self, report: Callable[[str], object]) -> None:
        self._report = report

    def begin(self, drill: Drill) -> None:
        """Ask for the fault."""
        if drill.fault is not None:
            self._report(f"{drill.name}: now {drill.fault.begin}")

    def end(self, drill: Drill) -> None:
        """Ask for its end."""
        if drill.fault is not None:
            self._report(f"{drill.name}: now {drill.fault.end}")


class ByProgram:
    """Calls a program with the drill's name and `begin` or `end`. Raises `Permanent` where it fails."""

    def __init__(self, program: Path) -> None:
        self._program = program

    def begin(self, drill: Drill) -> None:
        """Call it for the fault."""
        self._call(drill, "begin")

    def end(self, drill: Drill) -> None:
        """Call it for its end."""
        self._call(drill, "end")

    def _call(self, drill: Drill, what: str) -> None:
        command = [str(self._program), drill.name, what]
        try:
            code = subprocess.run(command, check=False, timeout=PROGRAM_SECONDS, stdin=subprocess.DEVNULL).returncode
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Permanent(f"{' '.join(command)}: {error}") from error
        if code:
            raise Permanent(f"{' '.join(command)} ended with {code}; expected 0")
