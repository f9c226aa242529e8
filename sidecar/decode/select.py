"""Which decoder runs."""

from __future__ import annotations

from sidecar.decode.api import Decoder
from sidecar.decode.python import ReferenceDecoder


def decoder() -> Decoder:
    """The native decoder where its extension is installed, else the reference; `name` says which."""
    try:
        from sidecar.decode.native import native_decoder
    except ImportError:
        return ReferenceDecoder()
    return native_decoder() or ReferenceDecoder()
