"""TLS of the connections that the program makes."""

from __future__ import annotations

import ssl
from pathlib import Path

from sidecar.options import ClientTls


def client_context(tls: ClientTls) -> ssl.SSLContext:
    """A context with the files as they are now. Raises OSError where one cannot be used."""
    context = ssl.create_default_context(cafile=str(tls.ca_file) if tls.ca_file else None)
    if tls.insecure_skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if tls.cert_file:
        context.load_cert_chain(tls.cert_file, tls.key_file)
    return context


def missing_file(tls: ClientTls) -> Path | None:
    """A file that the options name and that is not there."""
    files = (tls.ca_file, tls.cert_file, tls.key_file)
    return next((file for file in files if file is not None and not file.is_file()), None)
