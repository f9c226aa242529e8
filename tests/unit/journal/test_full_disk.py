"""A real limit on the size of files, in a process of its own: writes fail in the middle of a commit."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from support.journals import finish, journal, take

CHILD = """
import random, resource, signal, sys
from pathlib import Path
from sidecar.errors import Unavailable
from sidecar.journal.submission import Submission
from sidecar.journal.opening import open_journal
from sidecar.journal.options import JournalOptions

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
log = open_journal(JournalOptions(path=Path(sys.argv[1]), commit_delay=0))
log.consumer("a", frozenset(["logs"]))
rng = random.Random(1)

def put(n):
    try:
        receipt = log.append(Submission("logs", b"%d:" % n + rng.randbytes(20_000), 1)).result()
    except Unavailable:
        print("refused", n, flush=True)
    else:
        print("kept", n, receipt.seq, flush=True)

for n in range(10):
    put(n)
resource.setrlimit(resource.RLIMIT_FSIZE, (700_000, resource.RLIM_INFINITY))
for n in range(10, 100):
    put(n)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
for n in range(100, 110):
    put(n)
assert not log.ledger().balance(), log.ledger().balance()
if sys.argv[2] == "close":
    log.close()
import os
os._exit(0)
"""


def _check(path: Path, how: str) -> None:
    run = subprocess.run(
        [sys.executable, "-c", CHILD, str(path), how], capture_output=True, text=True, check=True, timeout=60
    )
    words = [line.split() for line in run.stdout.splitlines() if line.startswith(("kept", "refused"))]
    kept = {int(seq): int(n) for word, n, *rest in words if word == "kept" for seq in rest}
    refused = [int(n) for word, n, *_ in words if word == "refused"]
    assert refused, "the limit was reached"
    assert set(range(100, 110)) <= set(kept.values()), "it works again when there is room"
    log = journal(path)
    consumer = log.consumer("a", frozenset(["logs"]))
    entries = take(consumer, 1000, 1 << 30)
    assert {e.seq: int(e.payload.split(b":")[0]) for e in entries} == kept
    finish(consumer, entries)
    assert log.ledger().balance() == []
    log.close()


def test_what_was_kept_is_there_after_a_proper_end(tmp_path: Path) -> None:
    _check(tmp_path / "j", "close")


def test_what_was_kept_is_there_after_a_kill(tmp_path: Path) -> None:
    _check(tmp_path / "j", "die")
