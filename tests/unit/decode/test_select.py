"""Which decoder is chosen."""

from __future__ import annotations

import sys

import pytest

from sidecar.decode.select import decoder


def test_reference_where_the_extension_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sidecar_native", None)
    assert decoder().name == "reference"


def test_digest_is_xxh3_128() -> None:
    # The empty input's canonical digest with seed 0, from the xxHash specification's reference program.
    from sidecar.decode.python import ReferenceDecoder

    reference = ReferenceDecoder()
    assert reference.digest(b"", 0).hex() == "99aa06d3014798d86001c324468d497f"
    assert reference.digest(b"a", 0) != reference.digest(b"a", 1)
