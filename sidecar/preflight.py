"""`sidecar check`: what would keep the program from doing its work, found out before it has to."""

from __future__ import annotations

import difflib
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sidecar.config.settings import Settings
from sidecar.decode.redaction.rules import Filter
from sidecar.decode.select import decoder
from sidecar.deliver.common.directory import check_directory
from sidecar.deliver.elasticsearch import trace_store
from sidecar.deliver.sink import Finding
from sidecar.derive import mounted_files
from sidecar.derive.drift import reference
from sidecar.derive.drift.options import DriftOptions
from sidecar.derive.quality import suite, suite_library
from sidecar.errors import SidecarError
from sidecar.loopback import is_loopback
from sidecar.push import registry as push
from sidecar.receive.credentials import Credentials
from sidecar.receive.file_tail.discovery import Finder
from sidecar.receive.file_tail.options import NAME as FILE_TAIL
from sidecar.receive.registry import listeners

State = Literal["ok", "warning", "failed"]
_NAMED = 5
"""Of many files that cannot be read."""
_MAX_SOCKET_PATH = 107
"""unix(7): a path has 108 bytes with the NUL behind it."""


@dataclass(frozen=True, slots=True)
class Result:
    """One thing checked."""

    state: State
    what: str
    detail: str


def check(settings: Settings) -> list[Result]:
    """Everything that can be checked without starting; nothing is changed."""
    return [
        _decoder(),
        _journal(settings),
        _credentials(settings),
        *_ports(settings),
        *_log_files(settings),
        *_drift(settings),
        *_redaction(settings),
        *_sinks(settings),
        *_lookup(settings),
        *_pushes(settings),
    ]


def _decoder() -> Result:
    name = decoder().name
    if name == "native":
        return Result("ok", "decoder", "native")
    return Result("warning", "decoder", "reference (pure Python): same results, more CPU; install model-sidecar-native")


def _journal(settings: Settings) -> Result:
    if settings.journal.backend == "memory":
        return Result("warning", "journal", "stored in memory: what was acknowledged is lost with the process")
    found = check_directory(
        settings.journal.path, settings.journal.quota_bytes, "SIDECAR_JOURNAL__PATH", "journal.[dl]*"
    )
    return Result(found.state, "journal", found.detail)


def _credentials(settings: Settings) -> Result:
    try:
        credentials = Credentials(settings.receive.tls, settings.receive.auth)
        Credentials(auth=settings.serve.auth, section="serve")
    except SidecarError as error:
        return Result("failed", "credentials", str(error))
    local = all(is_loopback(host) for _, host, _ in _ports_of(settings))
    if credentials.open and not local:
        return Result("warning", "credentials", "ingest is open to the network: set a token or client certificates")
    return Result("ok", "credentials", "none asked for, loopback only" if credentials.open else "asked for")


def _ports_of(settings: Settings) -> Iterator[tuple[str, str, int]]:
    """(name, host, port) of every receiver that listens on a port."""
    for name, listener in listeners(settings.receive):
        if listener.unix_socket is None:
            yield name, listener.host, listener.port


def _ports(settings: Settings) -> Iterator[Result]:
    used: list[tuple[str, str, int]] = []
    for name, host, port in [("serve", settings.serve.host, settings.serve.port), *_ports_of(settings)]:
        other = next((o for o, there, number in used if number == port != 0 and _overlap(host, there)), None)
        problem = f"{other} listens there" if other is not None else _cannot_bind(host, port)
        used.append((name, host, port))
        if problem:
            yield Result("failed", name, f"cannot listen on {host}:{port}: {problem}")
        else:
            yield Result("ok", name, f"{host}:{port} is free")
    for name, listener in listeners(settings.receive):
        if listener.unix_socket is not None:
            problem = _cannot_bind_path(listener.unix_socket)
            detail = f"cannot listen on {listener}: {problem}" if problem else f"{listener}"
            yield Result("failed" if problem else "ok", name, detail)


def _overlap(one: str, other: str) -> bool:
    """Whether what listens at one of the addresses uses a port of the other."""
    return one == other or bool({one, other} & {"0.0.0.0", "::", ""})


def _cannot_bind(host: str, port: int) -> str:
    with closing(socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return error.strerror or str(error)
        except (UnicodeError, TypeError):
            return "invalid host name"
    return ""


def _cannot_bind_path(path: Path) -> str:
    """A socket that is there may be a former run's, and is replaced."""
    if len(os.fsencode(path)) > _MAX_SOCKET_PATH:
        return f"the path is too long; expected at most {_MAX_SOCKET_PATH} bytes"
    if path.exists() and not path.is_socket():
        return "invalid path: it exists and is not a socket"
    if not path.parent.is_dir():
        return f"{path.parent} is not a directory"
    if not os.access(path.parent, os.W_OK | os.X_OK):
        return f"{path.parent} cannot be written"
    return ""


def _log_files(settings: Settings) -> Iterator[Result]:
    """What `receive.file_tail.include` leads to."""
    options = settings.receive.section(FILE_TAIL)
    if not options.switched_on:
        return
    finder = Finder(options.include, options.exclude, options.rotated)
    closed = finder.closed_directories()
    for directory in closed:
        yield Result("warning", FILE_TAIL, f"{directory}: this user may not look into it")
    files = finder.find()
    refused = [file.path for file in files if not os.access(file.path, os.R_OK)]
    for path in refused[:_NAMED]:
        yield Result("warning", FILE_TAIL, f"{path}: this user may not read it")
    readable = len(files) - len(refused)
    detail = f"files to read: {readable}" if files else f"no file matches {', '.join(options.include)} as yet"
    yield Result("ok" if readable else "warning", FILE_TAIL, detail)


def _drift(settings: Settings) -> Iterator[Result]:
    """The files of drift and data quality. A running sidecar does without those that are not there."""
    drift = settings.derive.section("drift")
    if drift.enabled:
        yield from _mounted("reference", drift.reference, _reference)
        yield from _mounted("suites", drift.suites, _suite)
        yield from _features(drift)


def _mounted(what: str, path: Path | None, read: Callable[[Path], Result]) -> Iterator[Result]:
    if path is None:
        return
    files = mounted_files.paths(path)
    if not files:
        yield Result(
            "failed", what, f"{path}: {'no file *.json in it' if path.is_dir() else 'no such file or directory'}"
        )
    for file in files:
        try:
            yield read(file)
        except SidecarError as error:
            yield Result("failed", what, str(error))


def _reference(path: Path) -> Result:
    found = reference.load(path)
    features = sum(column.role == "feature" for column in found.columns)
    return Result(
        "ok", "reference", f"{path}: {_model(found.model, found.model_version)}, {features} features, {found.rows} rows"
    )


def _features(drift: DriftOptions) -> Iterator[Result]:
    """Names of single features that no reference has: what is set for them would do nothing."""
    known: set[str] = set()
    for file in mounted_files.paths(drift.reference) if drift.reference else ():
        with suppress(SidecarError):
            known |= {column.name for column in reference.load(file).columns if column.role == "feature"}
    for name in sorted(drift.features.keys() - known) if known else ():
        close = difflib.get_close_matches(name, known, 1)
        meant = f"; did you mean {close[0]!r}?" if close else ""
        yield Result("warning", "features", f"derive.drift.features: no reference has {name!r}{meant}")


def _suite(path: Path) -> Result:
    found = suite_library.compiled(suite.load(path))
    detail = f"{path}: {_model(found.suite.model, found.suite.model_version)}, {len(found.evaluated)} expectations"
    left = len(found.not_evaluated)
    if left:
        return Result("warning", "suites", f"{detail}, {left} more are not evaluated: sidecar expectations {path}")
    return Result("ok", "suites", detail)


def _model(name: str, version: str) -> str:
    return f"model {name} {version}".rstrip() if name else "any model"


def _redaction(settings: Settings) -> Iterator[Result]:
    redaction = settings.deliver.redaction
    if not redaction.redacts:
        return
    try:
        redaction.rules(Filter(), export_features=True)
    except SidecarError as error:
        yield Result("failed", "redaction", str(error))
        return
    unredacted = [name for name, _, options in settings.deliver.enabled() if "metrics" in options.selected_signals]
    if unredacted:
        detail = (
            f"metrics go to {', '.join(unredacted)} as they are: rules apply to spans and logs; leave metrics out by"
        )
        yield Result("warning", "redaction", f"{detail} `signals` where their attributes may hold secrets")
    else:
        yield Result("ok", "redaction", f"{len(redaction.keys)} keys, {len(redaction.values)} patterns")


def _sinks(settings: Settings) -> Iterator[Result]:
    """Each enabled sink by its name, and named ones that are not enabled."""
    enabled = list(settings.deliver.enabled())
    for name in sorted(settings.deliver.additional.keys() - {name for name, _, _ in enabled}):
        yield Result("warning", name, f"deliver.additional.{name} is not enabled: an option that it needs is missing")
    for name, kind, options in enabled:
        if kind.health_check is not None:
            try:
                finding = kind.health_check(options)
            except SidecarError as error:
                finding = Finding("failed", str(error))
            yield Result(finding.state, name, finding.detail)


def _lookup(settings: Settings) -> Iterator[Result]:
    """Where `sidecar lookup` reads, if that is set."""
    options = settings.lookup.elasticsearch
    if not options.hosts:
        return
    try:
        finding = trace_store.health_check(options, settings.lookup.timeout)
    except SidecarError as error:
        finding = Finding("failed", str(error))
    yield Result(finding.state, "lookup", finding.detail)


def _pushes(settings: Settings) -> Iterator[Result]:
    """Each destination of metrics that is on."""
    for name, options in push.enabled(settings.push):
        try:
            finding = push.health_check(name, options)
        except SidecarError as error:
            finding = Finding("failed", str(error))
        yield Result(finding.state, f"push.{name}", finding.detail)
