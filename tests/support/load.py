"""Load from real OpenTelemetry SDK exporters, with a record of what was acknowledged; scrapes that watch counters."""

from __future__ import annotations

import http.client
import json
import re
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, LogRecordExportResult, SimpleLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from support.engines.processes import wait_for

Samples = dict[str, float]
_SAMPLE = re.compile(r"^([a-zA-Z_:][\w:]*(?:\{.*\})?) (\S+)")
_COUNTER = re.compile(r"^# TYPE (\S+) (counter|histogram)$", re.M)


def make_spans(service: str, count: int, name: str = "POST /predict") -> Sequence[Any]:
    """Ended SDK spans of `service`, each with an attribute `http.route`."""
    memory = InMemorySpanExporter()
    provider = TracerProvider(resource=Resource({"service.name": service}), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(memory))
    tracer = provider.get_tracer("load")
    for _ in range(count):
        with tracer.start_as_current_span(name, attributes={"http.route": "/predict"}) as span:
            span.add_event("scored", {"rows": 3})
    return memory.get_finished_spans()


def make_logs(service: str, first: int, count: int) -> Sequence[Any]:
    """SDK log records, numbered by the attribute `n` from `first`."""
    memory = InMemoryLogRecordExporter()
    provider = LoggerProvider(resource=Resource({"service.name": service}), shutdown_on_exit=False)
    provider.add_log_record_processor(SimpleLogRecordProcessor(memory))
    logger = provider.get_logger("load")
    for n in range(first, first + count):
        now = time.time_ns()
        logger.emit(
            timestamp=now, observed_timestamp=now, severity_text="INFO", body=f"scored {n}", attributes={"n": n}
        )
    return memory.get_finished_logs()


@dataclass(slots=True)
class Sender:
    """Exports batches of one kind until asked to stop; a batch that was not acknowledged is sent again as it is."""

    export: Callable[[Sequence[Any]], Any]
    make: Callable[[int], Sequence[Any]]
    pause: float = 0.0
    acknowledged: list[Any] = field(default_factory=list)
    resent: int = 0
    """Exports that failed for good, after what the SDK tried again by itself."""
    exporting: int | None = None
    """Number of the batch that is being exported now."""
    _stop: threading.Event = field(default_factory=threading.Event)
    _abandoned: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self, timeout: float = 300) -> None:
        """No new batch; the one in flight is sent until it is acknowledged."""
        self._stop.set()
        assert self._thread is not None
        self._thread.join(timeout)
        assert not self._thread.is_alive(), "the last batch was not acknowledged"

    def abandon(self) -> None:
        """Stop without waiting for an acknowledgement that may never come."""
        self._abandoned.set()
        self._stop.set()
        if self._thread is not None:
            self._thread.join(120)

    def _run(self) -> None:
        number = 0
        while not self._stop.is_set():
            batch = self.make(number)
            self.exporting = number
            while self.export(batch) not in (SpanExportResult.SUCCESS, LogRecordExportResult.SUCCESS):
                if self._abandoned.is_set():
                    return
                self.resent += 1
                time.sleep(0.05)
            self.exporting = None
            number += 1
            self.acknowledged.extend(batch)
            time.sleep(self.pause)


@contextmanager
def sending(*senders: Sender) -> Iterator[None]:
    """The senders send until the block stops them. A block that fails abandons them: a thread that goes on exporting
    draws random numbers, and hypothesis refuses that in every later test."""
    for sender in senders:
        sender.start()
    try:
        yield
    except BaseException:
        for sender in senders:
            sender.abandon()
        raise


def scrape(url: str, accept: str = "text/plain") -> str | None:
    """The exposition, or None if nobody answers, the answer breaks off (a kill), or it is not ready (503)."""
    request = urllib.request.Request(f"{url}/metrics", headers={"Accept": accept})
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return str(response.read().decode())
    except (OSError, http.client.HTTPException):  # URLError is the former.
        return None


def status(url: str) -> dict[str, Any]:
    """The answer of `/status`."""
    with urllib.request.urlopen(f"{url}/status", timeout=60) as response:
        return dict(json.load(response))


def waiting(url: str) -> int:
    """Items that some consumer has not finished with."""
    consumers = status(url)["ledger"]["consumers"]
    return sum(count for consumer in consumers.values() for count in consumer["waiting"].values())


def samples(text: str) -> Samples:
    """Series as written (name and labels) -> value."""
    return {m.group(1): float(m.group(2)) for m in map(_SAMPLE.match, text.splitlines()) if m}


def figures(url: str, timeout: float = 60) -> Samples:
    """The samples when everything that was received is derived and delivered; of the second scrape, since a counter is
    first shown at 0."""
    wait_for(lambda: not waiting(url), timeout, "everything to be derived")
    scrape(url)
    return samples(scrape(url) or "")


def total(values: Mapping[str, float], name: str, *labels: str) -> float:
    """Sum of the series of `name` that hold every one of `labels` (as `key="value"`)."""
    return sum(v for k, v in values.items() if k.split("{")[0] == name and all(x in k for x in labels))


@dataclass(slots=True)
class CounterWatch:
    """Scrapes in the background; `backward` lists every derived counter that was seen to go back."""

    url: str
    interval: float = 0.1
    only: re.Pattern[str] = re.compile(r"^(traces_|log_)")
    scrapes: int = 0
    backward: list[str] = field(default_factory=list)
    _last: Samples = field(default_factory=dict)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        assert self._thread is not None
        self._thread.join(120)

    def look(self) -> None:
        text = scrape(self.url)
        if text is None:
            return
        self.scrapes += 1
        families = {m.group(1) for m in _COUNTER.finditer(text)}
        for series, value in samples(text).items():
            name = series.split("{")[0]
            base = re.sub(r"_(bucket|sum|count|total)$", "", name)
            if not self.only.match(name) or not ({name, base} & families):
                continue
            if value < self._last.get(series, 0.0):
                self.backward.append(f"{series}: {self._last[series]} -> {value}")
            self._last[series] = value

    def _run(self) -> None:
        while not self._stop.wait(self.interval):
            self.look()
