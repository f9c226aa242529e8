"""What /proc says of a process and its children: CPU seconds, memory. Linux only."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

HZ = os.sysconf("SC_CLK_TCK")
MIB = 1024.0


def tree(pid: int) -> list[int]:
    """The process and its living descendants."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            fields = _stat(int(entry.name))
            if fields:
                children.setdefault(int(fields[1]), []).append(int(entry.name))
    found = [pid]
    for parent in found:
        found += children.get(parent, [])
    return found


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from `state` on; [] if the process is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def cpu_seconds(pid: int) -> float:
    """User and system time of the tree, children that have ended included."""
    total = 0
    for one in tree(pid):
        fields = _stat(one)
        total += sum(int(f) for f in fields[11:15])
    return total / HZ


def run_ns(pid: int) -> int:
    """CPU time of the process's living threads in nanoseconds: for what takes less than a tick of `cpu_seconds`."""
    total = 0
    for one in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        with contextlib.suppress(OSError):
            total += int(one.read_text().split()[0])
    return total


def _status(pid: int, key: str) -> Iterator[float]:
    for one in tree(pid):
        try:
            lines = Path(f"/proc/{one}/status").read_text().splitlines()
        except OSError:
            continue
        yield from (int(line.split()[1]) / MIB for line in lines if line.startswith(f"{key}:"))


def switches(pid: int) -> int:
    """Context switches of the threads of the tree that live, voluntary and not."""
    total = 0
    for one in tree(pid):
        for status in Path(f"/proc/{one}/task").glob("*/status"):
            with contextlib.suppress(OSError):
                total += sum(int(x.split()[1]) for x in status.read_text().splitlines() if "ctxt_switches" in x)
    return total


def rss_mib(pid: int) -> float:
    """Resident memory of the tree now."""
    return sum(_status(pid, "VmRSS"))


def peak_mib(pid: int) -> float:
    """The most that each process of the tree ever had resident, added up."""
    return sum(_status(pid, "VmHWM"))


def machine_busy_seconds() -> float:
    """CPU seconds that all processes of the machine have used since it started."""
    user, nice, system, _idle, _iowait, irq, softirq, *_ = map(int, Path("/proc/stat").read_text().split()[1:11])
    return (user + nice + system + irq + softirq) / HZ
