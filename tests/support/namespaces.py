"""Namespaces of network, mounts and processes, for programs that would change the machine: what runs in them is gone
with their first process."""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from support.engines import Child, need
from support.engines.processes import SLOW

T = TypeVar("T")
_CLONE_NEWNET = 0x40000000


class Namespaces:
    """Closed until `open`. Mounts in them are not seen outside."""

    def __init__(self, home: Path, environment: Mapping[str, str]) -> None:
        self.home = home
        self.environment = dict(environment)
        self._first: Child | None = None
        self._pid = 0
        self._pool: ThreadPoolExecutor | None = None
        self._started: list[Child] = []

    def open(self) -> None:
        """Held by a process that waits for the orphans that containers leave."""
        own = ["--net", "--mount", "--propagation", "private", "--pid", "--fork", "--mount-proc", "--kill-child"]
        script = "ip link set lo up; touch ready; sleep infinity & while :; do wait; done"
        unshare = [need("unshare"), *own, "sh", "-c", script]
        self._first = Child("namespaces", unshare, self.home / "namespaces.log", self.environment, self.home)
        self._first.start()
        self._first.wait_until((self.home / "ready").exists, 20)
        children = Path(f"/proc/{self._first.pid}/task/{self._first.pid}/children").read_text().split()
        self._pid = int(children[0])
        self._pool = ThreadPoolExecutor(1, "in-namespaces", self._enter)

    def _enter(self) -> None:
        """This thread, and the processes that it starts, are in the network from here on."""
        with Path(f"/proc/{self._pid}/ns/net").open() as namespace:
            if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")

    def inside(self, function: Callable[[], T]) -> T:
        """What a function gives that runs in the network, where addresses of containers are reached."""
        assert self._pool is not None
        return self._pool.submit(function).result()

    def _command(self, *arguments: str | Path) -> list[str]:
        enter = [need("nsenter"), f"--target={self._pid}", "--net", "--mount", "--pid", "--"]
        return [*enter, *map(str, arguments)]

    def run(
        self, *arguments: str | Path, text: str | None = None, timeout: float = 300
    ) -> subprocess.CompletedProcess[str]:
        """A command in all namespaces. `timeout`: seconds on a quiet machine, as of `wait_for`."""
        return subprocess.run(
            self._command(*arguments),
            input=text,
            capture_output=True,
            text=True,
            env=self.environment,
            cwd=self.home,
            timeout=SLOW * timeout,
            check=False,
        )

    def must(self, *arguments: str | Path, text: str | None = None, timeout: float = 300) -> str:
        """Its output; a failure fails the test with what it said."""
        done = self.run(*arguments, text=text, timeout=timeout)
        assert done.returncode == 0, f"{' '.join(map(str, arguments))[:200]}: {(done.stderr + done.stdout)[-3000:]}"
        return done.stdout

    def start(self, name: str, *arguments: str | Path) -> Child:
        """A server; it ends with the namespaces."""
        child = Child(name, self._command(*arguments), self.home / f"{name}.log", self.environment, self.home)
        child.start()
        self._started.append(child)
        return child

    def close(self) -> None:
        """End the first process, and so all others."""
        if self._pool is not None:
            self._pool.shutdown()
        if self._pid:
            with suppress(ProcessLookupError):
                os.kill(self._pid, 9)
        if self._first is not None:
            self._first.reap(20)
        for child in self._started:
            child.reap(20)
