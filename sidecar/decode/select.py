"""Which decoder runs."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from sidecar.decode.api import Decoder

if TYPE_CHECKING:
    from sidecar.decode.native import NativeDecoder

ABI_VERSION = 19
"""Shape of the native core that its adapter knows (`native/sidecar_native.pyi`); a core of another version is not
used."""


def decoder() -> Decoder:
    """The native decoder where its core is installed, else the reference; `name` says which."""
    return native_decoder() or _reference()


def _reference() -> Decoder:
    from sidecar.decode.python import ReferenceDecoder  # Half of `decode`, which the native core does without.

    return ReferenceDecoder()


def native_decoder() -> NativeDecoder | None:
    """The decoder on the native core; None where there is none that this program can use."""
    if not has_native_core():
        return None
    from sidecar.decode.native import NativeDecoder

    return NativeDecoder()


def has_native_core() -> bool:
    """Whether the native core is installed, and of this program's version."""
    try:
        core = importlib.import_module("sidecar_native")
    except ImportError:
        return False
    return getattr(core, "ABI_VERSION", None) == ABI_VERSION
