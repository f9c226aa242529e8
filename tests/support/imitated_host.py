"""A host for a real node-exporter whose CPU, memory and one disk do what a test says: files like those of /proc, and a
small ext4 file system of its own. The machine of the test is not loaded."""

from __future__ import annotations

import shutil
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from support.engines.cache import EngineUnavailable

_DISK_MIB = 32
_TICKS_PER_SECOND = 100
"""USER_HZ of /proc/stat."""


class Host:
    """Where node-exporter looks (`flags`), and what is to be seen there."""

    def __init__(self, folder: Path) -> None:
        self.proc = folder / "proc"
        self.disk = folder / "disk"
        self.busy = False
        """Whether the CPUs have no idle time."""
        self._idle = 1000.0
        self._used = 1000.0
        (self.proc / "1").mkdir(parents=True)
        self.disk.mkdir()
        self.memory(0.3)
        self._tick(0)

    @property
    def flags(self) -> Sequence[str]:
        """Of node-exporter: three collectors, of this host."""
        collectors = ("cpu", "meminfo", "filesystem")
        return [
            "--collector.disable-defaults",
            *(f"--collector.{name}" for name in collectors),
            f"--path.procfs={self.proc}",
        ]

    def memory(self, used: float) -> None:
        """That share of 8 GiB is in use."""
        total = 8 << 20
        self._write("meminfo", f"MemTotal: {total} kB\nMemAvailable: {int(total * (1 - used))} kB\n")

    def fill(self) -> None:
        """All of the disk but a twentieth."""
        block = b"\0" * (1 << 20)
        with (self.disk / "filler").open("wb") as file:
            while shutil.disk_usage(self.disk).free > 0.05 * shutil.disk_usage(self.disk).total:
                file.write(block)
                file.flush()

    def empty(self) -> None:
        """The disk is as before."""
        (self.disk / "filler").unlink()

    def run(self, ended: threading.Event) -> None:
        """Time passes for the CPUs."""
        last = time.monotonic()
        while not ended.wait(0.2):
            now = time.monotonic()
            self._tick(now - last)
            last = now

    def _tick(self, seconds: float) -> None:
        self._used += seconds * (1 if self.busy else 0.1)
        self._idle += seconds * (0 if self.busy else 0.9)
        used, idle = (int(value * _TICKS_PER_SECOND) for value in (self._used, self._idle))
        text = f" {used} 0 0 {idle} 0 0 0 0 0 0\n"
        self._write("stat", f"cpu {text}cpu0{text}btime 1700000000\n")

    def _write(self, name: str, text: str) -> None:
        """At once: node-exporter never sees half of it."""
        (self.proc / f".{name}").write_text(text)
        (self.proc / f".{name}").rename(self.proc / name)


@contextmanager
def imitated_host(folder: Path) -> Iterator[Host]:
    """The host, with its disk mounted. Needs root."""
    host = Host(folder)
    image = folder / "disk.img"
    with image.open("wb") as file:
        file.truncate(_DISK_MIB << 20)
    subprocess.run(["mkfs.ext4", "-q", image], check=True, capture_output=True, timeout=60)
    mounted = subprocess.run(["mount", "-o", "loop", image, host.disk], check=False, capture_output=True, timeout=60)
    if mounted.returncode:
        raise EngineUnavailable(f"a loop file cannot be mounted: {mounted.stderr.decode().strip()}")
    (host.proc / "1" / "mounts").write_text(f"/dev/loop {host.disk} ext4 rw 0 0\n")
    ended = threading.Event()
    thread = threading.Thread(target=host.run, args=(ended,), daemon=True)
    thread.start()
    try:
        yield host
    finally:
        ended.set()
        thread.join()
        subprocess.run(["umount", host.disk], check=True, timeout=60)
