from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from sidecar.receive.file_tail.checkpoint import Checkpoint, decode, key_bytes, parse_key
from sidecar.receive.file_tail.discovery import Finder, attributes
from sidecar.receive.file_tail.inotify import Waker

POD = {
    "k8s.namespace.name": "shop",
    "k8s.pod.name": "web-5d",
    "k8s.pod.uid": "0b1c",
    "k8s.container.name": "model",
    "k8s.container.restart_count": "2",
}
ID = "ab" * 32


@pytest.mark.parametrize(
    ("base", "path", "expected"),
    [
        ("/var/log/pods/shop_web-5d_0b1c/model/2.log", "", POD),
        (
            f"/var/log/containers/web-5d_shop_model-{ID}.log",
            "/var/log/pods/shop_web-5d_0b1c/model/2.log",
            {**POD, "container.id": ID},
        ),
        (f"/var/lib/docker/containers/{ID}/{ID}-json.log", "", {"container.id": ID}),
        ("/var/log/app.log", "/var/log/app.log", {}),
    ],
)
def test_paths_tell_the_container(base: str, path: str, expected: dict[str, str]) -> None:
    assert attributes(base, path or base) == {"log.file.path": base, **expected}


def test_each_file_is_found_once_by_whatever_path(tmp_path: Path) -> None:
    for name in ("a.log", "a.log.1", "a.log-2026.gz", "ab.log.x", "b.txt"):
        (tmp_path / name).write_text("x")
    (tmp_path / "link.log").symlink_to(tmp_path / "a.log")
    (tmp_path / "dir.log").mkdir()
    finder = Finder([f"{tmp_path}/*.log", f"{tmp_path}/**/a*"], [f"{tmp_path}/b*"], rotated=True)
    found = {Path(c.path).name: c.rotated for c in finder.find()}
    assert found == {"a.log": False, "a.log.1": False, "a.log-2026.gz": False, "ab.log.x": False}
    only = Finder([f"{tmp_path}/link.log"], [], rotated=True).find()
    assert [(Path(c.path).name, c.rotated) for c in only] == [
        ("a.log", False),
        ("a.log-2026.gz", True),
        ("a.log.1", True),
    ]


def test_directories_that_may_not_be_looked_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """glob says nothing of them. To root every directory is open, so the answer of the system is imitated."""
    for name in ("open", "listed", "searched", "left-out"):
        (tmp_path / name).mkdir()
    denied = {"listed": os.R_OK, "searched": os.X_OK, "left-out": os.X_OK}

    def access(path: str, mode: int) -> bool:
        return not mode & denied.get(Path(path).name, 0)

    monkeypatch.setattr(os, "access", access)
    exclude = [f"{tmp_path}/left-out/*.log"]
    assert Finder([f"{tmp_path}/*/*.log"], exclude, rotated=True).closed_directories() == [
        f"{tmp_path}/listed",
        f"{tmp_path}/searched",
    ]
    assert Finder([f"{tmp_path}/**/*.log"], [], rotated=True).closed_directories() == [
        f"{tmp_path}/left-out",
        f"{tmp_path}/listed",
        f"{tmp_path}/searched",
    ]
    assert Finder([f"{tmp_path}/*/app.log"], exclude, rotated=True).closed_directories() == [f"{tmp_path}/searched"]
    assert Finder([f"{tmp_path}/open/*.log"], [], rotated=True).closed_directories() == []


def test_marks_are_read_back_and_rubbish_is_not() -> None:
    checkpoint = Checkpoint("/a/\udcff.log", "/a", 5, 5, "h", "t", True, False)
    assert decode(checkpoint.encode()) == checkpoint
    assert decode(b"{}") is None
    assert decode(b"\xff") is None
    assert parse_key(key_bytes((7, 99))) == (7, 99)
    assert parse_key(b"file_tail/x") is None


def test_changes_wake_up_and_so_does_a_word(tmp_path: Path) -> None:
    waker = Waker(use_inotify=True)
    if not waker.notified:
        waker.close()
        pytest.skip("there is no inotify here")
    waker.watch([str(tmp_path)])
    file = tmp_path / "a"
    file.write_text("x")
    changes = waker.wait(10)
    assert changes.structure
    with file.open("a") as writer:
        writer.write("y")
    assert str(file) in (changes.paths | waker.wait(10).paths)
    while waker.wait(0).paths:
        pass
    waker.watch([])
    file.write_text("z")
    threading.Timer(0.1, waker.wake).start()
    began = time.monotonic()
    assert waker.wait(10).paths == set()
    assert time.monotonic() - began < 9
    waker.close()


def test_braces_in_a_pattern(tmp_path: Path) -> None:
    for name in ("a.log", "b.log", "c.log", "b.log.1", "{x}.log"):
        (tmp_path / name).write_text("x")
    pattern = f"{tmp_path}/{{b,a,{{x}}}}.log"
    finder = Finder([pattern], [f"{tmp_path}/{{a,q}}.*"], rotated=True)
    found = finder.find()
    assert {Path(c.path).name for c in found} == {"b.log", "b.log.1", "{x}.log"}
    assert {c.pattern for c in found} == {pattern}
    assert finder.directories([]) == {str(tmp_path)}
    key = found[0].key
    (tmp_path / "b.log").rename(tmp_path / "moved")
    checkpoint = Checkpoint(f"{tmp_path}/moved", f"{tmp_path}/b.log")
    assert [c.key for c in finder.with_known([], [(key, checkpoint)])] == [key]
