"""TLS of the connections that the program makes."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from sidecar.errors import Permanent
from sidecar.options import ClientTls
from sidecar.watched_files import WatchedFiles

T = TypeVar("T")


def client_context(tls: ClientTls) -> ssl.SSLContext:
    """A context with the files as they are now. Raises OSError where one cannot be used."""
    context = ssl.create_default_context(cafile=str(tls.ca_file) if tls.ca_file else None)
    if tls.insecure_skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if tls.cert_file:
        context.load_cert_chain(tls.cert_file, tls.key_file)
        context.post_handshake_auth = True  # Apache asks for a certificate when it has seen the path.
    return context


def made_of_files(tls: ClientTls, make: Callable[[], T]) -> WatchedFiles[T]:
    """What `make` makes of the files, made again when they have changed. Raises `Permanent` where one cannot be used
    now."""
    files = _files(tls)
    try:
        return WatchedFiles(files, make, time.monotonic)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        named = ", ".join(str(file) for file in files) or "of the system"
        raise Permanent(f"files of the TLS connection cannot be used: {named}: {error}") from error


def missing_file(tls: ClientTls) -> Path | None:
    """A file that the options name and that is not there."""
    return next((file for file in _files(tls) if not file.is_file()), None)


def _files(tls: ClientTls) -> list[Path]:
    return [file for file in (tls.ca_file, tls.cert_file, tls.key_file) if file is not None]
