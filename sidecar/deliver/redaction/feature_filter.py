"""A redactor that takes feature values out of payloads of serving protocols as well."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from sidecar.decode.api import Decoder
from sidecar.decode.predictions.serving import kserve
from sidecar.decode.predictions.serving.bento_schemas import Schemas
from sidecar.decode.predictions.serving.protocols import contains_any
from sidecar.decode.predictions.serving.strip import LITERALS, strip
from sidecar.decode.redaction.rules import Redacted, Redactor, Rules
from sidecar.deliver.redaction.options import EVENT_FEATURES

_EVENTS = (kserve.MARK,)


class FeatureRedactor:
    """`inner`, then the rules for events of KServe's logger, then what key rules cannot say
    (`decode.predictions.serving.strip`).

    For one sink: it remembers the schemas of monitors that went by. Thread-safe as far as the decoder is."""

    def __init__(self, inner: Redactor, decoder: Decoder) -> None:
        self._inner = inner
        self._events = decoder.redactor(Rules(keys=EVENT_FEATURES))
        self._decoder = decoder
        self._schemas = Schemas()

    def spans(self, payload: bytes) -> Redacted:
        """As the inner one: payloads of serving protocols are looked for in logs only."""
        return self._inner.spans(payload)

    def logs(self, payload: bytes) -> Redacted:
        """Raises DecodeError if the payload is malformed."""
        redacted = self._inner.logs(payload)
        if self._decoder.contains_any(redacted.payload, _EVENTS):
            # What is left holds accepted records only: none is left out, and ordinals stay.
            events = self._events.logs(redacted.payload)
            redacted = replace(redacted, payload=events.payload, changed=redacted.changed + events.changed)
        if self._matches(redacted.payload):
            stripped = strip(redacted.payload, self._schemas)
            redacted = replace(redacted, payload=stripped.payload, changed=redacted.changed + stripped.count)
        return redacted

    def gate(self, literals: tuple[bytes, ...]) -> Callable[[bytes], bool] | None:
        """Whether a payload may change, where one of the literals stands, in any case, in each that the inner redactor
        changes; None where every one may (there are none: `sure_literals`)."""
        if not literals:
            return None
        every = (*literals, *_EVENTS, *LITERALS)
        # One search for all reads a payload once; what of them has a case of its own is then found in any.
        return lambda payload: self._decoder.contains_any(payload, every, fold=True) or self._schemas.marked(payload)

    def _matches(self, payload: bytes) -> bool:
        return contains_any(self._decoder, payload, LITERALS, self._schemas)
