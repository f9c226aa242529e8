"""A tailer of files in a directory of the test's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.tailing import Make, Tailing

from sidecar.receive.file_tail import source as module
from sidecar.receive.file_tail.options import Options


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    directory = tmp_path / "logs"
    directory.mkdir()
    return directory


@pytest.fixture
def make(tmp_path: Path, logs: Path) -> Iterator[Make]:
    made: list[Tailing] = []

    def make_one(**more: Any) -> Tailing:
        options = Options(**{"include": [f"{logs}/*.log"], **more})
        made.append(Tailing(tmp_path / "journal", options))
        return made[-1]

    yield make_one
    for tailing in made:
        tailing.close()


@pytest.fixture(params=["births", "none"])
def _births(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that knows when files were made, and one that does not."""
    if request.param == "none":
        monkeypatch.setattr(module, "birth_of", lambda fd: 0)
