"""`/metrics` of many pods from the text of one: a process of its own, so that its CPU is not Prometheus'.

Pods of a service show the same figures. Counters and the buckets of histograms grow by a tenth and a random part of it
each interval; gauges that count something move by a twentieth; exemplars are of the moment."""

from __future__ import annotations

import argparse
import asyncio
import gzip
import random
import re
import time
from collections.abc import Callable
from pathlib import Path

SERVICE, MODEL = "fleet-service", "fleet-model"
"""Names in the text, of which each service makes its own."""
_TYPE = re.compile(r"# TYPE (\S+) (\S+)")
_SAMPLE = re.compile(r"([^{ ]+)(\{.*?\})? (\S+)( # \{[^}]*\} \S+)?(?: \S+)?")
_GROWING = ("counter", "histogram", "summary")
_COUNTS = 10
"""A gauge that is a whole number above it counts something."""

Line = Callable[[float, float, float], str]
"""(growth, wobble, time) -> the line."""


class Pods:
    """Text of the pods of a service at a moment."""

    def __init__(self, text: str, interval: float) -> None:
        self._interval = interval
        self._began = time.time()
        self._lines = _lines(text)
        self._made: dict[int, tuple[int, bytes]] = {}

    def body(self, service: int) -> bytes:
        """Gzipped; one for all pods of the service within an interval."""
        tick = int(time.time() / self._interval)
        made = self._made.get(service)
        if made is None or made[0] != tick:
            made = self._made[service] = (tick, gzip.compress(self._text(service, tick).encode(), 1))
        return made[1]

    def _text(self, service: int, tick: int) -> str:
        noise = random.Random(service << 32 | tick).random()
        age = tick - int(self._began / self._interval)
        growth, wobble, now = 1 + 0.1 * age + 0.04 * noise, 1 + 0.05 * noise, time.time()
        text = "\n".join([line(growth, wobble, now) for line in self._lines])
        return text.replace(SERVICE, service_name(service)).replace(MODEL, f"model-{service:03d}") + "\n"


def service_name(number: int) -> str:
    return f"service-{number:03d}"


def _lines(text: str) -> list[Line]:
    kind, made = "", []
    for line in text.splitlines():
        found = _TYPE.match(line)
        if found:
            kind = found[2]
        made.append(_constant(line) if line.startswith("#") else _sample(line, kind))
    return made


def _constant(line: str) -> Line:
    return lambda growth, wobble, now: line


def _sample(line: str, kind: str) -> Line:
    match = _SAMPLE.fullmatch(line)
    if match is None:
        raise ValueError(f"no sample: {line}")
    name, labels, text, exemplar = match.groups()
    front, value = f"{name}{labels or ''} ", float(text)
    if name.endswith("_created"):
        return _constant(line)
    if name.endswith("_timestamp_seconds"):
        return lambda growth, wobble, now: f"{front}{now:.3f}"
    if kind in _GROWING and exemplar:
        return lambda growth, wobble, now: f"{front}{int(value * growth)}{exemplar} {now:.3f}"
    if kind in _GROWING:
        whole = value.is_integer()
        return lambda growth, wobble, now: f"{front}{int(value * growth) if whole else value * growth}"
    if value > _COUNTS and value.is_integer():
        return lambda growth, wobble, now: f"{front}{int(value * wobble)}"
    return _constant(line)


async def serve(pods: Pods, services: int, port: int) -> None:
    """`GET /N` is pod N, of service N modulo their number."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = "HTTP/1.1 200 OK\r\ncontent-type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n"
        try:
            while request := await reader.readuntil(b"\r\n\r\n"):
                body = pods.body(int(request.split(b" ", 2)[1].strip(b"/")) % services)
                writer.write(f"{head}content-encoding: gzip\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", port, backlog=1024) as server:
        await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("template", type=Path)
    for option in ("--services", "--port"):
        parser.add_argument(option, type=int, required=True)
    parser.add_argument("--interval", type=float, required=True)
    given = parser.parse_args()
    asyncio.run(serve(Pods(given.template.read_text("utf-8"), given.interval), given.services, given.port))
