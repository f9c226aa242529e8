"""kill -9 of a real process in the middle of its commits."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.journals import finish, journal, take

from sidecar.pipeline import SPAN_EVENTS

CHILD = """
import sys, threading, time
from pathlib import Path
from sidecar.journal.opening import open_journal
from sidecar.journal.options import JournalOptions
from sidecar.journal.submission import Submission
from sidecar.pipeline import Ack, entry_counts

path, run = Path(sys.argv[1]), sys.argv[2]
log = open_journal(JournalOptions(path=path, commit_delay=0, cursor_delay=0.002))
consumer = log.consumer("quick", frozenset(["spans"]))
log.consumer("slow", frozenset(["spans"]))

def count():
    state = dict(consumer.state())
    items = int(state.get(b"items", b"0"))
    while True:
        entries = consumer.next(1 << 20, 3, 1.0)
        items += sum(e.items for e in entries)
        if entries:
            consumer.done([Ack(e.seq, entry_counts(e, "delivered")) for e in entries], {b"items": b"%d" % items})

threading.Thread(target=count, daemon=True).start()
n = 0
while True:
    futures = []
    for _ in range(3):
        n += 1
        text = f"{run}-{n}"
        payload = text.encode() * 200
        futures.append((text, log.append(Submission("spans", payload, 1 + n % 5, n % 2, 0, text.encode().ljust(16)))))
    for text, future in futures:
        receipt = future.result()
        print(receipt.seq, text, 1 + int(text.split("-")[1]) % 5, flush=True)
"""


def _run_and_kill(path: Path, run: int, seconds: float) -> list[tuple[int, str, int]]:
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, str(path), str(run)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        first = child.stdout.readline()
        assert first, child.stderr.read().decode()
        time.sleep(seconds)
        child.kill()
        lines = [first, *child.stdout.readlines()]
    # A line that the kill cut short was never acknowledged.
    words = [line.decode().split() for line in lines if line.endswith(b"\n")]
    return [(int(seq), text, int(items)) for seq, text, items in words]


@pytest.mark.slow
def test_a_kill_at_any_moment_loses_and_doubles_nothing(tmp_path: Path) -> None:
    acknowledged: list[tuple[int, str, int]] = []
    rng = random.Random(3)
    for run in range(6):
        reported = _run_and_kill(tmp_path / "j", run, rng.uniform(0.02, 0.25))
        acknowledged += reported
    assert len(acknowledged) > 30
    log = journal(tmp_path / "j")
    assert log.ledger().balance() == []
    quick, slow = log.consumer("quick", frozenset(["spans"])), log.consumer("slow", frozenset(["spans"]))
    entries = take(slow, 1 << 20, 1 << 30)
    by_seq = {e.seq: e for e in entries}
    assert len(by_seq) == len(entries)
    assert [e.seq for e in entries] == sorted(by_seq)
    assert len({e.payload for e in entries}) == len(entries)
    for seq, text, items in acknowledged:
        assert (by_seq[seq].payload, by_seq[seq].items) == (text.encode() * 200, items)
    counted = int(dict(quick.state())[b"items"])
    assert counted == {c.name: c for c in log.ledger().consumers}["quick"].finished("spans")
    left = take(quick, 1 << 20, 1 << 30)
    assert counted + sum(e.items for e in left) == sum(e.items for e in entries) == log.ledger().received["spans"]
    finish(quick, left)
    finish(slow, entries)
    assert log.ledger().balance() == []
    assert {c.waiting[SPAN_EVENTS] for c in log.ledger().consumers} == {0}
    log.close()
