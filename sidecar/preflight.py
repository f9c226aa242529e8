"""`sidecar check`: what would keep the program from doing its work, found out before it has to."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sidecar.decode.choice import decoder
from sidecar.deliver import elasticsearch
from sidecar.deliver.bulk import Unreached
from sidecar.errors import SidecarError
from sidecar.receive.credentials import Credentials
from sidecar.settings import Settings


@dataclass(frozen=True, slots=True)
class Result:
    """One thing looked at."""

    state: Literal["ok", "warning", "failed"]
    what: str
    detail: str


def check(settings: Settings) -> list[Result]:
    """Everything that can be looked at without starting; nothing is changed."""
    return [_decoder(), *_directory(settings), *_credentials(settings), *_ports(settings), *_elasticsearch(settings)]


def _decoder() -> Result:
    name = decoder().name
    if name == "native":
        return Result("ok", "decoder", "native")
    return Result("warning", "decoder", "reference (pure Python): same results, more CPU; install model-sidecar-native")


def _directory(settings: Settings) -> Iterator[Result]:
    if settings.journal.kind == "memory":
        yield Result("warning", "journal", "kept in memory: what was acknowledged is lost with the process")
        return
    path = settings.journal.path
    parent = next(p for p in (path, *path.parents) if p.exists())
    try:
        with tempfile.TemporaryFile(dir=parent):
            free = os.statvfs(parent)
    except OSError as error:
        detail = f"{parent} cannot be written: {error.strerror}; set SIDECAR_JOURNAL__PATH to a directory that can"
        yield Result("failed", "journal", detail)
        return
    room = free.f_bavail * free.f_frsize
    wanted = settings.journal.quota_bytes
    state: Literal["ok", "warning"] = "ok" if room >= wanted else "warning"
    yield Result(state, "journal", f"{path}: {room >> 20} MiB free, the quota is {wanted >> 20} MiB")


def _credentials(settings: Settings) -> Iterator[Result]:
    try:
        credentials = Credentials(settings.receive.credentials)
    except SidecarError as error:
        yield Result("failed", "credentials", str(error))
        return
    local = {settings.receive.otlp_grpc.host, settings.receive.otlp_http.host} <= {"127.0.0.1", "::1", "localhost"}
    if credentials.open and not local:
        yield Result("warning", "credentials", "intake is open to the network: set a token or client certificates")
    else:
        yield Result("ok", "credentials", "loopback only" if local else "asked for")


def _ports(settings: Settings) -> Iterator[Result]:
    listeners = [("serve", settings.serve.host, settings.serve.port)]
    for name in ("otlp_grpc", "otlp_http"):
        section = getattr(settings.receive, name)
        if section.enabled:
            listeners.append((name, section.host, section.port))
    for name, host, port in listeners:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with closing(socket.socket(family, socket.SOCK_STREAM)) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                yield Result("failed", name, f"cannot listen on {host}:{port}: {error.strerror}")
            else:
                yield Result("ok", name, f"{host}:{port} is free")


def _elasticsearch(settings: Settings) -> Iterator[Result]:
    options = settings.deliver.elasticsearch
    if not options.enabled:
        return
    try:
        status = elasticsearch.probe(options)
    except (SidecarError, Unreached) as error:
        yield Result("failed", "elasticsearch", f"{', '.join(options.url)}: {error}")
        return
    if status in (401, 403):
        yield Result("failed", "elasticsearch", f"{', '.join(options.url)}: credentials are refused (HTTP {status})")
    else:
        yield Result("ok", "elasticsearch", f"{', '.join(options.url)} answers")


def existing(path: Path) -> Path:
    """The directory if it is there. Raises `SidecarError` with what to do if it is not."""
    if not path.is_dir():
        raise SidecarError(f"{path}: there is no journal here; set SIDECAR_JOURNAL__PATH to its directory")
    return path
