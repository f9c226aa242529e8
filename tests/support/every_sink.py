"""A sidecar with a sink of every kind, in every way it can be set to. Every byte that leaves is kept, decompressed."""

from __future__ import annotations

import base64
import json
import sqlite3
import struct
import typing
import urllib.request
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sidecar.deliver.registry import SINKS
from support.engines import SidecarProcess, sidecar_process, wait_for
from support.load import samples, scrape, status, total, waiting
from support.otlp_destination import grpc_destination
from support.taps import http_tap, lumberjack_tap


def forms_of(text: str) -> list[bytes]:
    """A text as it may stand on a wire: as it is, in base64 at any offset, with its bytes in hex."""
    raw = text.encode()
    whole = [base64.b64encode(b"x" * n + raw)[4 if n else 0 : -4] for n in range(3)]
    return [raw, raw.hex().encode(), *whole]


def forms_of_number(number: float) -> list[bytes]:
    """A number in decimal digits and as the eight bytes of a double, in either order."""
    return [repr(number).encode(), struct.pack("<d", number), struct.pack(">d", number)]


def forms_of_whole(number: int) -> list[bytes]:
    """A whole number in decimal digits, as a varint, and as a fixed-width integer or a double in either order."""
    rest, varint = number, bytearray()
    while rest > 0x7F:
        varint.append(rest & 0x7F | 0x80)
        rest >>= 7
    fixed = [number.to_bytes(8, "big"), number.to_bytes(8, "little")]
    return [str(number).encode(), bytes([*varint, rest]), *fixed, *forms_of_number(float(number))[1:]]


WAYS = {
    "elasticsearch": ("elasticsearch", {}),
    "store": ("store", {}),
    "otlp": ("otlp", {"protocol": "http/protobuf"}),
    "otlp_grpc": ("otlp", {"protocol": "grpc"}),
    "logstash": ("logstash", {"mode": "lumberjack"}),
    "logstash_http": ("logstash", {"mode": "http"}),
    "file": ("file", {"format": "ndjson"}),
    "file_bulk": ("file", {"format": "bulk"}),
    "file_otlp": ("file", {"format": "otlp_json"}),
}
"""Sink -> its kind, and the option that decides what its wire looks like."""
WIRE_OPTIONS = ("protocol", "mode", "format")


def ways_there_are() -> set[tuple[str, str, str]]:
    """(kind, option, value) for every kind of sink that is registered, and every value of the options that decide what
    its wire looks like."""
    found = set()
    for kind in SINKS:
        named = [name for name in WIRE_OPTIONS if name in kind.options.model_fields]
        found |= {(kind.name, n, v) for n in named for v in typing.get_args(kind.options.model_fields[n].annotation)}
        found |= set() if named else {(kind.name, "", "")}
    return found


def ways_taken() -> set[tuple[str, str, str]]:
    """The same of `WAYS`."""
    return {(kind, n, v) for kind, options in WAYS.values() for n, v in (options or {"": ""}).items()}


@dataclass(frozen=True)
class Delivered:
    """Every byte that left, by sink, and the sidecar's own word about it."""

    bytes: Mapping[str, bytes]
    """By the names of `WAYS` (the store's are its blocks); `look-up`: answers of look-ups; `log`: the program's."""
    served: Mapping[str, bytes]
    """Other answers of the program: `/metrics` in both formats, `/status`, the page at `/`."""
    decoder: str
    ledger: Mapping[str, Any]
    changed: Mapping[str, float]
    """Sink -> values that rules changed."""


@contextmanager
def every_sink(directory: Path, environ: Mapping[str, str]) -> Iterator[tuple[SidecarProcess, Callable[[], Delivered]]]:
    """A running sidecar, and what it delivered: to be called when everything was sent."""
    with ExitStack() as stack:
        engine, otlp, http = (stack.enter_context(http_tap()) for _ in range(3))
        lumberjack, grpc = stack.enter_context(lumberjack_tap()), stack.enter_context(grpc_destination(lambda *_: None))
        where = {
            "elasticsearch": {"URL": engine.url, "BOOTSTRAP": "false"},
            "store": {},
            "otlp": {"ENDPOINT": otlp.url},
            "otlp_grpc": {"ENDPOINT": grpc.url},
            "logstash": {"HOSTS": f"127.0.0.1:{lumberjack.port}"},
            "logstash_http": {"HOSTS": http.url},
            **{name: {"PATH": str(directory / name)} for name in ("file", "file_bulk", "file_otlp")},
        }
        sidecar = stack.enter_context(sidecar_process({**_variables(where), **environ}))

        def delivered() -> Delivered:
            wait_for(lambda: not waiting(sidecar.serve_url), 60, "everything to be delivered")
            far = {
                "elasticsearch": engine.wire,
                "otlp": otlp.wire,
                "otlp_grpc": b"\n".join(grpc.requests) + repr(grpc.headers).encode(),
                "logstash": lumberjack.wire,
                "logstash_http": http.wire,
                **{name: (directory / name).read_bytes() for name in ("file", "file_bulk", "file_otlp")},
                "store": b"\n".join(_stored(sidecar)),
            }
            assert set(far) == set(WAYS)
            return _delivered(sidecar, far)

        yield sidecar, delivered


def _variables(where: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """The environment of a sidecar with the sinks of `WAYS`: the first of a kind in its own section."""
    made, sections = {}, set()
    for name, (kind, options) in WAYS.items():
        further = {"KIND": kind} if kind in sections else {}
        section = f"MORE__{name}" if further else kind
        sections.add(kind)
        for key, value in {**further, **options, **where[name]}.items():
            made[f"SIDECAR_DELIVER__{section}__{key}".upper()] = value
    return made


def _delivered(sidecar: SidecarProcess, far: Mapping[str, bytes]) -> Delivered:
    said = status(sidecar.serve_url)
    recent = _get(f"{sidecar.serve_url}/lookup/traces?limit=100")
    traces = [trace["traceId"] for trace in json.loads(recent)["traces"]]
    whole = [_get(f"{sidecar.serve_url}/lookup/traces/{trace}") for trace in traces]
    values = samples(scrape(sidecar.serve_url) or "")
    return Delivered(
        {**far, "look-up": b"\n".join([recent, *whole]), "log": sidecar.log.read_bytes()},
        {
            "/metrics": (scrape(sidecar.serve_url) or "").encode(),
            "openmetrics": (scrape(sidecar.serve_url, "application/openmetrics-text") or "").encode(),
            "/status": _get(f"{sidecar.serve_url}/status"),
            "/": _get(f"{sidecar.serve_url}/"),
        },
        said["decoder"],
        said["ledger"],
        {s["sink"]: total(values, "sidecar_redacted_values_total", f'sink="{s["sink"]}"') for s in said["sinks"]},
    )


def _get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=60) as reply:
        return bytes(reply.read())


def _stored(sidecar: SidecarProcess) -> Iterator[bytes]:
    """The store's blocks, decompressed."""
    with closing(sqlite3.connect(f"file:{sidecar.data_dir}/journal/store.db?mode=ro", uri=True)) as db:
        for (payload,) in db.execute("SELECT payload FROM block"):
            yield zlib.decompress(payload)


def leaks(wires: Mapping[str, bytes], needles: Mapping[str, Sequence[bytes]]) -> list[tuple[str, str]]:
    """(where, what) wherever one of the needles is found in any of its forms."""
    return [
        (where, name)
        for where, wire in wires.items()
        for name, forms in needles.items()
        if any(form in wire for form in forms)
    ]
