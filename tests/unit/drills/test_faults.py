"""Who breaks the stack: somebody who is asked, or a program."""

from __future__ import annotations

from pathlib import Path

import pytest

from sidecar.drills.catalog import DRILLS
from sidecar.drills.faults import ByHand, ByProgram
from sidecar.errors import Permanent

(DOWN,) = [drill for drill in DRILLS if drill.name == "sidecar-down"]


def program(folder: Path, text: str) -> Path:
    path = folder / "faults"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_somebody_is_asked() -> None:
    said: list[str] = []
    hands = ByHand(said.append)
    hands.begin(DOWN)
    hands.end(DOWN)
    assert said == ["sidecar-down: now stop the sidecar", "sidecar-down: now start the sidecar"]


def test_a_program_is_called(tmp_path: Path) -> None:
    faults = ByProgram(program(tmp_path, f'echo "$@" >> {tmp_path}/called'))
    faults.begin(DOWN)
    faults.end(DOWN)
    assert (tmp_path / "called").read_text().splitlines() == ["sidecar-down begin", "sidecar-down end"]


def test_a_program_that_fails_is_said(tmp_path: Path) -> None:
    with pytest.raises(Permanent, match="sidecar-down begin ended with 3; expected 0"):
        ByProgram(program(tmp_path, "exit 3")).begin(DOWN)
    with pytest.raises(Permanent, match="No such file"):
        ByProgram(tmp_path / "none").begin(DOWN)
