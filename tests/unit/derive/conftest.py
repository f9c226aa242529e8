"""Both decoders, for tests of what is read from payloads."""

from __future__ import annotations

import pytest

from sidecar.decode.api import Decoder
from sidecar.decode.native import native_decoder
from sidecar.decode.python import ReferenceDecoder


@pytest.fixture(params=["reference", "native"])
def decoder(request: pytest.FixtureRequest) -> Decoder:
    if request.param == "reference":
        return ReferenceDecoder()
    return native_decoder() or pytest.skip("the native core is not installed")
