"""Where the native core is promised, its absence must not pass as so many skips."""

from __future__ import annotations

import os
import shutil

import pytest

from sidecar.decode.select import native_decoder


@pytest.mark.skipif(
    os.environ.get("CI", "").lower() != "true" and shutil.which("cargo") is None,
    reason="no Rust toolchain: running on the reference decoder",
)
def test_the_native_core_is_installed() -> None:
    assert native_decoder() is not None
