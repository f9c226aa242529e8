"""A shaper that takes feature values out of payloads of serving protocols as well."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from sidecar.decode.batch import Decoder
from sidecar.decode.serving.schemas import Schemas
from sidecar.decode.serving.strip import NEEDLES, strip
from sidecar.decode.shaping import Shaped, Shaper


class FeatureShaper:
    """`inner`, and what key rules cannot say: see `decode.serving.strip`. For one sink: it remembers the schemas of
    monitors that went by. Thread-safe as far as the decoder is."""

    def __init__(self, inner: Shaper, decoder: Decoder) -> None:
        self._inner = inner
        self._decoder = decoder
        self._schemas = Schemas()

    def spans(self, payload: bytes) -> Shaped:
        """As the inner one: payloads of serving protocols are looked for in logs only."""
        return self._inner.spans(payload)

    def logs(self, payload: bytes) -> Shaped:
        """Raises DecodeError if the payload is malformed."""
        shaped = self._inner.logs(payload)
        if not self._tells(shaped.payload):
            return shaped
        stripped = strip(shaped.payload, self._schemas)
        return replace(shaped, payload=stripped.payload, changed=shaped.changed + stripped.count)

    def gate(self, inner: Callable[[bytes], bool] | None) -> Callable[[bytes], bool] | None:
        """Whether a payload may change, where `inner` says that of the inner shaper; None where every one may."""
        return None if inner is None else lambda payload: inner(payload) or self._tells(payload)

    def _tells(self, payload: bytes) -> bool:
        return self._decoder.mentions(payload, NEEDLES) or any(mark in payload for mark in self._schemas.marks)
