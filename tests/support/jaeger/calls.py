"""Calls between services, by chance of a fixed seed: direct ones, over queues, to databases, failed ones."""

from __future__ import annotations

from random import Random

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from support.lookup_traces import CLIENT, CONSUMER, INTERNAL, MS, PRODUCER, SERVER, request, span

SERVICES = ("gateway", "shop", "wine-classifier", "features", "worker")
TRACES = 60


def payloads() -> list[bytes]:
    """One export of each service."""
    random = Random(14)
    spans: dict[str, list[Span]] = {service: [] for service in SERVICES}
    for trace in range(1, TRACES + 1):
        _Trace(random, trace, spans).server("gateway", 0, 0, 3)
    return [request(service, found) for service, found in spans.items()]


class _Trace:
    def __init__(self, random: Random, number: int, spans: dict[str, list[Span]]) -> None:
        self._random, self._number, self._spans = random, number, spans
        self._last = 0

    def _add(self, service: str, name: str, kind: int, parent: int, at: int, **attributes: str) -> int:
        self._last += 1
        took, failed = self._random.randint(1, 400) * MS, self._random.random() < 0.1
        found = span(self._number, self._last, name, kind, parent, at, took, 2 if failed else 0, **attributes)
        self._spans[service].append(found)
        return self._last

    def server(self, service: str, parent: int, at: int, depth: int, kind: int = SERVER) -> None:
        """A span of a server, and what it calls."""
        own = self._add(service, f"serve {service}", kind, parent, at)
        if self._random.random() < 0.3:
            own = self._add(service, "work", INTERNAL, own, at)
        for _ in range(self._random.randint(0, 3) if depth else 0):
            at += MS
            if self._random.random() < 0.25:
                self._add(service, "SELECT", CLIENT, own, at, db__system="postgresql")
                continue
            queued = self._random.random() < 0.3
            client = self._add(service, "send" if queued else "call", PRODUCER if queued else CLIENT, own, at)
            other = self._random.choice([one for one in SERVICES[1:] if one != service])
            self.server(other, client, at, depth - 1, CONSUMER if queued else SERVER)
