"""Waiting, and a child process whose log is at hand when it does not do what it should."""

from __future__ import annotations

import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

SLOW = 6
"""How many times slower than a quiet machine one may be that does other things besides the tests. Waiting that succeeds
ends at once, so that only a test that fails takes longer for it."""


def wait_for(predicate: Callable[[], T], timeout: float, what: str, interval: float = 0.05) -> T:
    """The first truthy value of `predicate`, asked every `interval` s. AssertionError naming `what` if there is none
    after `SLOW` times `timeout` s: the timeout is what a machine with nothing else to do needs at the most.
    An OSError of the predicate (nobody listens yet) counts as not yet."""
    timeout *= SLOW
    deadline = time.monotonic() + timeout
    last: object = None
    while True:
        try:
            value = predicate()
        except OSError as error:
            if isinstance(error, urllib.error.HTTPError):
                error.close()
            last = error
        else:
            if value:
                return value
            last = value
        if time.monotonic() >= deadline:
            raise AssertionError(f"{what}: not after {timeout:g} s; last: {last!r}")
        time.sleep(interval)


def http_get(url: str, headers: Mapping[str, str] | None = None, timeout: float = 60) -> tuple[int, bytes]:
    """Status and body; a status that is an error is returned, not raised."""
    request = urllib.request.Request(url, headers=dict(headers or {}))
    try:
        with urllib.request.urlopen(request, timeout=timeout) as reply:
            return reply.status, reply.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def answers(url: str) -> bool:
    """Whether GET of `url` gives a status below 300 within ten seconds."""
    return http_get(url, timeout=10)[0] < 300


class Child:
    """A server as a process group of its own, its output in a file. `start` may be called again after `stop`."""

    def __init__(
        self,
        name: str,
        arguments: Sequence[str | Path],
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.name = name
        self.arguments = [str(a) for a in arguments]
        self.log = log
        self.env = dict(os.environ if env is None else env)
        self.cwd = cwd
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        if self._process is None:
            raise AssertionError(f"{self.name} was not started")
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def returncode(self) -> int | None:
        return None if self._process is None else self._process.poll()

    def start(self) -> None:
        if self.running:
            raise AssertionError(f"{self.name} is running already")
        with self.log.open("ab") as out:
            self._process = subprocess.Popen(
                self.arguments,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=self.env,
                cwd=self.cwd,
                start_new_session=True,
            )

    def wait_until(self, ready: Callable[[], bool], timeout: float) -> None:
        """Wait for `ready` as `wait_for` does; AssertionError with the end of the log if the process ends first or the
        time is up."""

        def check() -> bool:
            if not self.running:
                raise AssertionError(f"{self.name} ended with {self.returncode}")
            return ready()

        try:
            wait_for(check, timeout, f"{self.name} is ready", interval=0.1)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.tail()}") from None

    def send(self, number: int) -> None:
        if self.running:
            os.kill(self.pid, number)

    def stop(self, timeout: float = 30) -> int | None:
        """SIGTERM, and after `SLOW` times `timeout` s SIGKILL to the whole group. The exit code; None if it was never
        started."""
        self.send(signal.SIGTERM)
        return self.reap(timeout)

    def kill9(self) -> None:
        """SIGKILL, and gone when this returns."""
        self.send(signal.SIGKILL)
        self.reap(10)

    def kill_rest(self) -> None:
        """SIGKILL to what outlives it: workers whose server died of a signal."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def reap(self, timeout: float) -> int | None:
        if self._process is None:
            return None
        try:
            code = self._process.wait(SLOW * timeout)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            code = self._process.wait(60)
        return code

    def tail(self, size: int = 6000) -> str:
        """The end of what it wrote."""
        try:
            return f"--- {self.log}\n" + self.log.read_bytes()[-size:].decode("utf-8", "replace")
        except OSError as error:
            return f"--- {self.log}: {error}"
