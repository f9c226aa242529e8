"""A shaper that takes feature values out of payloads of serving protocols as well."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from sidecar.decode.api import Decoder
from sidecar.decode.predictions.serving import kserve
from sidecar.decode.predictions.serving.bento_schemas import Schemas
from sidecar.decode.predictions.serving.protocols import mentions
from sidecar.decode.predictions.serving.strip import NEEDLES, strip
from sidecar.decode.redaction.rules import Rules, Shaped, Shaper
from sidecar.deliver.redaction.options import EVENT_FEATURES

_EVENTS = (kserve.MARK,)


class FeatureShaper:
    """`inner`, then the rules for events of KServe's logger, then what key rules cannot say
    (`decode.predictions.serving.strip`).

    For one sink: it remembers the schemas of monitors that went by. Thread-safe as far as the decoder is."""

    def __init__(self, inner: Shaper, decoder: Decoder) -> None:
        self._inner = inner
        self._events = decoder.shaper(Rules(keys=EVENT_FEATURES))
        self._decoder = decoder
        self._schemas = Schemas()

    def spans(self, payload: bytes) -> Shaped:
        """As the inner one: payloads of serving protocols are looked for in logs only."""
        return self._inner.spans(payload)

    def logs(self, payload: bytes) -> Shaped:
        """Raises DecodeError if the payload is malformed."""
        shaped = self._inner.logs(payload)
        if self._decoder.mentions(shaped.payload, _EVENTS):
            # What is left holds accepted records only: none is left out, and ordinals stay.
            events = self._events.logs(shaped.payload)
            shaped = replace(shaped, payload=events.payload, changed=shaped.changed + events.changed)
        if self._tells(shaped.payload):
            stripped = strip(shaped.payload, self._schemas)
            shaped = replace(shaped, payload=stripped.payload, changed=shaped.changed + stripped.count)
        return shaped

    def gate(self, inner: Callable[[bytes], bool] | None) -> Callable[[bytes], bool] | None:
        """Whether a payload may change, where `inner` says that of the inner shaper; None where every one may."""
        if inner is None:
            return None
        return lambda payload: inner(payload) or self._decoder.mentions(payload, _EVENTS) or self._tells(payload)

    def _tells(self, payload: bytes) -> bool:
        return mentions(self._decoder, payload, NEEDLES, self._schemas)
