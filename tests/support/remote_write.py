"""Prometheus' remote write as its own `.proto` files have it, 2.0 and 1.0, decoded by protobuf's library; and a
receiver that answers on request."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import cramjam

from support.protobuf_messages import Packages, message_classes

STALE = 0x7FF0000000000002

_MESSAGES: Packages = {
    "io.prometheus.write.v2": {
        "Request": {"symbols": (4, "*string"), "timeseries": (5, "*TimeSeries")},
        "TimeSeries": {
            "labels_refs": (1, "*uint32"),
            "samples": (2, "*Sample"),
            "exemplars": (4, "*Exemplar"),
            "metadata": (5, "Metadata"),
        },
        "Exemplar": {"labels_refs": (1, "*uint32"), "value": (2, "double"), "timestamp": (3, "int64")},
        "Sample": {"value": (1, "double"), "timestamp": (2, "int64"), "start_timestamp": (3, "int64")},
        "Metadata": {"type": (1, "int32"), "help_ref": (3, "uint32"), "unit_ref": (4, "uint32")},
    },
    "prometheus": {
        "WriteRequest": {"timeseries": (1, "*TimeSeries"), "metadata": (3, "*MetricMetadata")},
        "TimeSeries": {"labels": (1, "*Label"), "samples": (2, "*Sample"), "exemplars": (3, "*Exemplar")},
        "Label": {"name": (1, "string"), "value": (2, "string")},
        "Sample": {"value": (1, "double"), "timestamp": (2, "int64")},
        "Exemplar": {"labels": (1, "*Label"), "value": (2, "double"), "timestamp": (3, "int64")},
        "MetricMetadata": {
            "type": (1, "int32"),
            "metric_family_name": (2, "string"),
            "help": (4, "string"),
            "unit": (5, "string"),
        },
    },
}


_CLASSES = message_classes(_MESSAGES, "io.prometheus.write.v2.Request", "prometheus.WriteRequest")


@dataclass(frozen=True, slots=True)
class Received:
    """A series of a request."""

    samples: tuple[tuple[int, float], ...]
    """(Unix milliseconds, value)."""
    exemplars: tuple[tuple[dict[str, str], float, int], ...] = ()
    starts: tuple[int, ...] = ()
    """Of each sample; 2.0 only."""
    type: int = 0
    help: str = ""
    unit: str = ""


def read_v2(body: bytes) -> dict[str, Received]:
    """Series text (`name{a="b"}`) -> series, of a 2.0 request that is not compressed. Labels have to be sorted."""
    message = _CLASSES["io.prometheus.write.v2.Request"].FromString(body)
    symbols = list(message.symbols)
    assert symbols[0] == ""
    found = {}
    for series in message.timeseries:
        found[_text(_pairs(series.labels_refs, symbols))] = Received(
            tuple((s.timestamp, s.value) for s in series.samples),
            tuple((dict(_pairs(e.labels_refs, symbols)), e.value, e.timestamp) for e in series.exemplars),
            tuple(s.start_timestamp for s in series.samples),
            series.metadata.type,
            symbols[series.metadata.help_ref],
            symbols[series.metadata.unit_ref],
        )
    assert len(found) == len(message.timeseries)
    return found


def read_v1(body: bytes) -> dict[str, Received]:
    """The same of a 1.0 request."""
    message = _CLASSES["prometheus.WriteRequest"].FromString(body)
    families = {m.metric_family_name: m for m in message.metadata}
    found = {}
    for series in message.timeseries:
        pairs = [(label.name, label.value) for label in series.labels]
        family = next((m for name, m in families.items() if dict(pairs)["__name__"].startswith(name)), None)
        found[_text(pairs)] = Received(
            tuple((s.timestamp, s.value) for s in series.samples),
            tuple(({label.name: label.value for label in e.labels}, e.value, e.timestamp) for e in series.exemplars),
            (),
            family.type if family else 0,
            family.help if family else "",
            family.unit if family else "",
        )
    assert len(found) == len(message.timeseries)
    return found


def write_v1(series: Mapping[tuple[tuple[str, str], ...], Sequence[tuple[int, float]]]) -> bytes:
    """A 1.0 request, compressed. Labels (`__name__` among them) -> (Unix milliseconds, value)."""
    message = _CLASSES["prometheus.WriteRequest"]()
    for labels, samples in series.items():
        one = message.timeseries.add()
        for name, value in sorted(labels):
            one.labels.add(name=name, value=value)
        for time, number in samples:
            one.samples.add(timestamp=time, value=number)
    return bytes(cramjam.snappy.compress_raw(message.SerializeToString()))


def _pairs(refs: Any, symbols: list[str]) -> list[tuple[str, str]]:
    texts = [symbols[ref] for ref in refs]
    return list(zip(texts[::2], texts[1::2], strict=True))


def _text(pairs: list[tuple[str, str]]) -> str:
    assert pairs == sorted(pairs)
    labels = ",".join(f'{name}="{value}"' for name, value in pairs if name != "__name__")
    return f"{dict(pairs)['__name__']}{{{labels}}}"


@dataclass(frozen=True, slots=True)
class Said:
    """An answer."""

    status: int = 204
    written: int | None = None
    """Header of 2.0: samples written."""
    body: bytes = b""
    retry_after: str | None = None


@dataclass
class Receiver:
    """What a receiver was sent."""

    answer: Callable[[dict[str, str], bytes], Said]
    """(headers, body, not compressed) -> answer."""
    url: str = ""
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)


@contextmanager
def remote_write_receiver(answer: Callable[[dict[str, str], bytes], Said]) -> Iterator[Receiver]:
    """A receiver on a free port of loopback."""
    receiver = Receiver(answer)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            data = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = bytes(cramjam.snappy.decompress_raw(data))
            receiver.requests.append((headers, body))
            said = receiver.answer(headers, body)
            self.send_response(said.status)
            if said.written is not None:
                self.send_header("X-Prometheus-Remote-Write-Samples-Written", str(said.written))
            if said.retry_after is not None:
                self.send_header("Retry-After", said.retry_after)
            self.send_header("content-length", str(len(said.body)))
            self.end_headers()
            self.wfile.write(said.body)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: the tests say what matters."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    receiver.url = f"http://127.0.0.1:{server.server_port}/api/v1/write"
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
