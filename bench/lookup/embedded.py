"""The embedded store: look-ups under load, and retention under load."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import proc
from asking import ask_all, missed, percentile, show
from load import fill
from questions import HOUR, NS, Question, questions
from rounds import SPANS, TRACES
from support.engines import SidecarProcess, sidecar_process, wait_for
from support.load import figures, total, waiting
from tailing import tail_seconds

BY_ID_MS, SEARCH_MS = 20.0, 300.0
TAIL_MS = 1_000.0
ACK_MS = 250.0
"""p99 while retention works: a commit of the journal, several times over."""
RETENTION_SECONDS = 40
_WARM_UP = 30
"""Acknowledgements after a start that are left out: what is loaded by the first requests."""
MIB = 1 << 20
_ENVIRON = {"SIDECAR_LOG__LEVEL": "warning"}
_OVERHEAD = 1.25
"""Of the file over `max_bytes`: tables of keys, and pages that are not full."""


def run(options: argparse.Namespace) -> list[str]:
    """What was missed."""
    rounds = (options.spans or 5_000_000) // SPANS
    environ = {**_ENVIRON, "SIDECAR_DELIVER__STORE__MAX_BYTES": "2GiB"}
    if options.data:
        options.data.mkdir(parents=True, exist_ok=True)
    with sidecar_process(environ, options.data) as sidecar:
        begin, rounds = _filled(sidecar, rounds)
        asked = [q for q in questions(rounds * TRACES, begin, begin + HOUR + 600) if options.only in q.name]
        found: list[str] = []
        for rate in dict.fromkeys((0.0, options.rate)):
            found = _ask(sidecar, asked, options.asked, rounds, rate)
        print(f"\nmemory {proc.rss_mib(sidecar.pid):.0f} MiB, peak {proc.peak_mib(sidecar.pid):.0f} MiB", flush=True)
        if not options.data:
            found += _retention(sidecar, rounds * 3, options.rate)
    return found


def _ask(sidecar: SidecarProcess, asked: Sequence[Question], times: int, rounds: int, rate: float) -> list[str]:
    """What was missed while so many spans a second came in."""
    address = sidecar.serve_url.removeprefix("http://")
    cpu, since = proc.cpu_seconds(sidecar.pid), time.monotonic()
    # Other traces than those of an earlier run on the same data.
    with _load(sidecar, rounds + int(time.time()), rate) as acks:
        found = ask_all(address, sidecar.pid, asked, times)
        tail = tail_seconds(sidecar.otlp_url.removeprefix("http://"), address)
    cores = (proc.cpu_seconds(sidecar.pid) - cpu) / (time.monotonic() - since)
    show(found, f"{rate:,.0f} spans/s meanwhile, {cores:.2f} cores of the sidecar's")
    _acks(acks)
    wrong = missed(found, BY_ID_MS, SEARCH_MS)
    if (p95 := percentile(tail, 95) * 1000) > TAIL_MS:
        wrong.append(f"live tail: p95 {p95:.0f} ms; at most {TAIL_MS:.0f}")
    print(f"live tail: p50 {percentile(tail, 50) * 1000:.0f}, p95 {p95:.0f} ms")
    return wrong


def _filled(sidecar: SidecarProcess, rounds: int) -> tuple[int, int]:
    """(when the hour of the spans begins, Unix seconds; how many rounds there are)"""
    note = sidecar.data_dir / "filled.json"
    if note.exists():
        begin, rounds = json.loads(note.read_text())
        return int(begin), int(rounds)
    begin, began, cpu = int(time.time()) - HOUR, time.monotonic(), proc.cpu_seconds(sidecar.pid)
    fill(sidecar.otlp_url.removeprefix("http://"), rounds, (begin + 60) * NS, (begin + HOUR - 60) * NS)
    wait_for(lambda: not waiting(sidecar.serve_url), 600, "everything to be stored", interval=0.5)
    seconds, spans = time.monotonic() - began, rounds * SPANS
    cpu = proc.cpu_seconds(sidecar.pid) - cpu
    print(f"{spans:,} spans in {seconds:.0f} s, {spans / seconds:,.0f} spans/s, {cpu / spans * 1e6:.2f} CPU s/M")
    kept, file = _bytes(sidecar)
    print(f"store {kept / MIB:.0f} MiB, file {file / MIB:.0f} MiB, {file / spans:.0f} bytes a span", flush=True)
    note.write_text(json.dumps([begin, rounds]))
    return begin, rounds


@contextmanager
def _load(sidecar: SidecarProcess, first: int, rate: float) -> Iterator[list[float]]:
    """A process that sends meanwhile; afterwards the list has the seconds of each reply."""
    acks: list[float] = []
    if not rate:
        yield acks
        return
    program = [sys.executable, str(Path(__file__).with_name("load.py")), sidecar.otlp_url.removeprefix("http://")]
    process = subprocess.Popen(
        [*program, str(first), str(rate)], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True
    )
    try:
        time.sleep(3)
        yield acks
        # It ends at the end of its input.
        acks += json.loads(process.communicate()[0])
    finally:
        process.kill()
        process.wait()


def _retention(sidecar: SidecarProcess, first: int, rate: float) -> list[str]:
    """The bound is lowered to half of what there is: space has to be given back while spans come in."""
    kept, file = _bytes(sidecar)
    bound = int(kept) // 2
    sidecar.stop()
    sidecar.child.env["SIDECAR_DELIVER__STORE__MAX_BYTES"] = str(bound)
    sidecar.start()
    waited = 0.0
    with _load(sidecar, first, rate) as acks:
        began = time.monotonic()
        while time.monotonic() - began < RETENTION_SECONDS:
            time.sleep(1)
            waited = max(waited, waiting(sidecar.serve_url))
    after, file_after = _bytes(sidecar)
    print(
        f"\nbound lowered to {bound / MIB:.0f} MiB, {RETENTION_SECONDS} s at {rate:,.0f} spans/s: "
        f"store {kept / MIB:.0f} -> {after / MIB:.0f} MiB, file {file / MIB:.0f} -> {file_after / MIB:.0f} MiB, "
        f"at most {waited:.0f} spans waited"
    )
    p99 = _acks(acks[_WARM_UP:])
    wrong = [] if len(acks) > _WARM_UP else [f"{len(acks)} acknowledgements in {RETENTION_SECONDS} s; expected more"]
    if after > bound or file_after > bound * _OVERHEAD:
        wrong.append(f"store {after / MIB:.0f} MiB, file {file_after / MIB:.0f} MiB; bound {bound / MIB:.0f} MiB")
    if p99 > ACK_MS:
        wrong.append(f"acknowledgement p99 {p99:.0f} ms while space is given back; at most {ACK_MS:.0f}")
    return wrong


def _acks(acks: list[float]) -> float:
    if not acks:
        return 0.0
    p99 = percentile(acks, 99) * 1000
    shown = f"p50 {percentile(acks, 50) * 1000:.1f}, p99 {p99:.1f}, worst {max(acks) * 1000:.0f} ms"
    print(f"{len(acks)} acknowledgements: {shown}")
    return p99


def _bytes(sidecar: SidecarProcess) -> tuple[float, float]:
    """(as the store counts them, of its file without the write-ahead log, which has some 4 MiB)"""
    (file,) = sidecar.data_dir.rglob("store.db")
    return total(figures(sidecar.serve_url), "sidecar_store_bytes"), file.stat().st_size
