"""The demo's processes: started, waited for, and ended with it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from sidecar.errors import SidecarError


class DemoError(SidecarError):
    """The demo could not run, or did not see what it should have seen."""


@contextlib.contextmanager
def terminated_in_order() -> Iterator[None]:
    """SIGTERM ends the demo as Ctrl-C does: with both processes, not leaving them behind."""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def clean(environ: Mapping[str, str]) -> dict[str, str]:
    """Without what would send the demo's telemetry elsewhere, such as the address of a real Elasticsearch."""
    return {name: value for name, value in environ.items() if not name.startswith(("SIDECAR_", "OTEL_"))}


@contextlib.contextmanager
def process(command: list[str], env: dict[str, str], log: Path, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A process with its output in `log`; ended at the end of the block."""
    with log.open("wb") as output:
        options.setdefault("stdout", output)
        process = subprocess.Popen(command, env={**clean(os.environ), **env}, stderr=output, **options)
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def wait(good: Callable[[], bool], seconds: float, process: subprocess.Popen[bytes], what: str, log: Path) -> None:
    """Until `good()`. Raises `DemoError` with the end of the log when the process ends or time is up."""
    deadline = time.monotonic() + seconds
    while not good():
        if process.poll() is not None:
            raise DemoError(f"waiting for {what}: it ended with exit code {process.returncode}{end_of(log)}")
        if time.monotonic() > deadline:
            raise DemoError(f"waiting for {what}: not there after {seconds:g} s{end_of(log)}")
        time.sleep(0.1)


def end_of(log: Path) -> str:
    """The last lines of a process's output, which is gone with the demo's directory."""
    lines = log.read_text("utf-8", "replace").splitlines()[-15:]
    return "".join(f"\n  {line}" for line in lines)


def port(wanted: int) -> int:
    """The usual port if it is free, else any free one."""
    for candidate in (wanted, 0):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", candidate))
            return int(probe.getsockname()[1])
    raise DemoError("no free port on 127.0.0.1")
