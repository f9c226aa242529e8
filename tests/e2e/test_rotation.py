"""Files that real programs write and rotate, to the installed program: every line once."""

from __future__ import annotations

import collections
import json
import logging
import logging.handlers
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.engines import SidecarProcess, sidecar_process, wait_for
from support.engines.logrotate import logrotate

START = ("starting", "loading the model", "ready")


@contextmanager
def _tailing(tmp_path: Path, include: str) -> Iterator[tuple[SidecarProcess, Path]]:
    out = tmp_path / "out.ndjson"
    settings = {
        "SIDECAR_RECEIVE__FILE_TAIL__INCLUDE": include,
        "SIDECAR_RECEIVE__FILE_TAIL__SCAN_INTERVAL": "0.5",
        "SIDECAR_DELIVER__FILE__PATH": str(out),
        "SIDECAR_DELIVER__STORE__ENABLED": "false",
    }
    with sidecar_process(settings) as sidecar:
        yield sidecar, out


def _counted(out: Path) -> collections.Counter[str]:
    found = out.read_text().splitlines() if out.exists() else []
    documents = (json.loads(line) for line in found)
    return collections.Counter(str(d["body"]["text"]) for d in documents if "text" in d.get("body", {}))


def _settled(out: Path, expected: collections.Counter[str], doubled: int = 0) -> None:
    """Every line, and none twice but for so many."""
    wait_for(lambda: expected <= _counted(out), 40, "every line")
    time.sleep(1.5)
    assert (_counted(out) - expected).total() <= doubled


def _looked(new: Path, out: Path) -> None:
    """Until a scan has found another file, and what it found is read: the same pass looks at all files."""
    new.write_text(f"{new.stem}\n")
    wait_for(lambda: _counted(out)[new.stem], 30, "the files to be looked at")


@pytest.mark.parametrize("directives", ["create\ncompress\ndelaycompress", "copytruncate\ncompress"])
def test_logrotate_of_a_program_that_fails_again_and_again(tmp_path: Path, directives: str) -> None:
    program = logrotate()
    logs = tmp_path / "logs"
    logs.mkdir(mode=0o755)
    file = logs / "app.log"
    rules = tmp_path / "rules"
    rules.write_text(f"{file} {{\nrotate 20\nsize 1\nmissingok\nnotifempty\n{directives}\n}}\n")
    rules.chmod(0o644)
    written: collections.Counter[str] = collections.Counter()
    moments = random.Random(7)
    with _tailing(tmp_path, f"{logs}/*.log") as (sidecar, out):
        for run in range(5):
            lines = (*START, "failed") if run % 3 else START
            with file.open("a") as writer:
                writer.writelines(f"{line}\n" for line in lines)
            written.update(lines)
            if moments.random() < 0.5:
                time.sleep(moments.uniform(0, 0.6))
            if run == 3:
                sidecar.kill9()
            program.rotate(rules, tmp_path / "state")
            if run == 3:
                sidecar.start()
            if "copytruncate" in directives:
                # A cut file that gets the same bytes before it is looked at again does not tell that it was cut.
                _looked(logs / f"look-{run}.log", out)
                written[f"look-{run}"] += 1
        assert len(list(logs.glob("app.log?*"))) == 5, "there was no rotation: the test proved nothing"
        # docs/decisions/016: generations that are equal, and written within a tick, may be read once more.
        _settled(out, written, doubled=(2 if "copytruncate" in directives else 1) * (len(START) + 1))


def test_python_s_rotating_handlers(tmp_path: Path) -> None:
    """The name and the content of a rotated file are the program's own matter: here it is compressed at once."""
    import gzip

    file = tmp_path / "app.log"

    def compress(source: str, target: str) -> None:
        Path(target).write_bytes(gzip.compress(Path(source).read_bytes()))
        Path(source).unlink()

    written: collections.Counter[str] = collections.Counter()
    with _tailing(tmp_path, str(file)) as (_, out):
        for run in range(8):
            handler = logging.handlers.RotatingFileHandler(file, backupCount=30)
            if run % 2:
                handler.namer, handler.rotator = (lambda name: f"{name}.gz"), compress
            for line in START[: 2 + run % 2]:
                handler.emit(logging.makeLogRecord({"msg": line}))
                written[line] += 1
            handler.doRollover()
            handler.close()
            time.sleep(0.2 * (run % 3))
        _settled(out, written)


def test_files_that_lie_there_at_the_first_start(tmp_path: Path) -> None:
    (tmp_path / "app.log").write_text("starting\nready\nfailed\n")
    for name in ("app.log.1", "app.log.2"):
        (tmp_path / name).write_text("starting\nready\n")
    with _tailing(tmp_path, str(tmp_path / "{app,other}.log")) as (_, out):
        _settled(out, collections.Counter(starting=3, ready=3, failed=1))
