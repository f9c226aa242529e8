"""Files that others may be reading."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from sidecar.whole_file import write_whole


def test_what_reads_the_file_has_the_old_or_the_new(tmp_path: Path) -> None:
    path = tmp_path / "metrics.prom"
    path.write_bytes(b"old")
    with path.open("rb") as reader:
        write_whole(path, b"new")
        assert reader.read() == b"old"
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["metrics.prom"]


def test_what_cannot_be_written_leaves_the_old_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "metrics.prom"
    path.mkdir()
    with pytest.raises(IsADirectoryError):
        write_whole(path, b"new")
    with pytest.raises(FileNotFoundError):
        write_whole(tmp_path / "none" / "metrics.prom", b"new")
    assert os.listdir(tmp_path) == ["metrics.prom"]


def test_a_pipe_stays_a_pipe(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    found: list[bytes] = []
    reader = threading.Thread(target=lambda: found.append(path.read_bytes()), daemon=True)
    reader.start()
    write_whole(path, b"new")
    reader.join(10)
    assert found == [b"new"]
    assert path.is_fifo()
