"""Sends rounds of `rounds` to a sidecar over OTLP/HTTP, and remembers how long each reply took.

As a program (`load.py ADDRESS FIRST SPANS_PER_S`) it sends at a steady rate until its input ends, and prints as JSON
how many seconds after it was due each request had its reply: one that keeps the next waiting counts there too."""

from __future__ import annotations

import http.client
import itertools
import json
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).resolve().parents[2] / "tests")]

from rounds import SPANS, Rounds  # noqa: E402

AT_ONCE = 4


class Sender:
    """Connections to one address, one a thread."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._local = threading.local()

    def send(self, body: bytes) -> None:
        """Until it is accepted: a full journal is waited for."""
        while (status := self._post(body)) != 200:
            if status not in (429, 503):
                raise RuntimeError(f"{self._address} answered {status}")
            time.sleep(0.05)

    def _post(self, body: bytes) -> int:
        connection = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = http.client.HTTPConnection(self._address, timeout=60)
        connection.request("POST", "/v1/traces", body, {"content-type": "application/x-protobuf"})
        reply = connection.getresponse()
        reply.read()
        return int(reply.status)


def fill(address: str, rounds: int, first_ns: int, last_ns: int) -> None:
    """`rounds` rounds as fast as they are taken, their traces spread over a time (Unix ns)."""
    sender, maker = Sender(address), Rounds()
    step = (last_ns - first_ns) / rounds
    bodies = itertools.chain.from_iterable(
        maker.bodies(n, first_ns + int(n * step), first_ns + int((n + 1) * step)) for n in range(rounds)
    )
    lock = threading.Lock()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda _: _send_all(sender, bodies, lock), range(AT_ONCE)))


def _send_all(sender: Sender, bodies: Iterator[bytes], lock: threading.Lock) -> None:
    while True:
        with lock:
            body = next(bodies, None)
        if body is None:
            return
        sender.send(body)


def steady(address: str, first: int, spans_per_s: float, ended: threading.Event) -> list[float]:
    """Rounds from number `first` on, of traces of now; seconds of each reply."""
    sender, maker = Sender(address), Rounds()
    gap = SPANS / 3 / spans_per_s
    took: list[float] = []
    due = time.monotonic()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for number in itertools.count(first):
            now = time.time_ns()
            for body in maker.bodies(number, now - 1_000_000_000, now - 500_000_000):
                due += gap
                if ended.wait(max(0.0, due - time.monotonic())):
                    return took
                pool.submit(_timed, sender, body, due, took)
    return took


def _timed(sender: Sender, body: bytes, due: float, took: list[float]) -> None:
    sender.send(body)
    took.append(time.monotonic() - due)


if __name__ == "__main__":
    where, begin, rate = sys.argv[1:]
    over = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), over.set()), daemon=True).start()
    print(json.dumps(steady(where, int(begin), float(rate), over)))
