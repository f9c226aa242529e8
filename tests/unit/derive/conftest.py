"""Both decoders, for tests of what is read from payloads."""

from __future__ import annotations

import pytest

from sidecar.decode.api import Decoder
from sidecar.decode.python import ReferenceDecoder
from sidecar.decode.select import native_decoder


@pytest.fixture(params=["reference", "native"])
def decoder(request: pytest.FixtureRequest) -> Decoder:
    if request.param == "reference":
        return ReferenceDecoder()
    return native_decoder() or pytest.skip("the native core is not installed")
