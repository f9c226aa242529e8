"""A redactor before which what is derived of a record is added to it: that may need what redaction takes away."""

from __future__ import annotations

from collections.abc import Callable

from sidecar.decode.api import Decoder
from sidecar.decode.redaction.rules import Redacted, Redactor
from sidecar.derive.deriver import Annotator
from sidecar.pipeline import Signal


class AnnotatingRedactor:
    """For one sink. Filters and rules see what was added."""

    def __init__(self, inner: Redactor, annotator: Annotator, decoder: Decoder) -> None:
        self._inner, self._annotator, self._decoder = inner, annotator, decoder

    def spans(self, payload: bytes) -> Redacted:
        """Raises DecodeError if the payload is malformed."""
        return self._inner.spans(self._annotated(payload, "spans"))

    def logs(self, payload: bytes) -> Redacted:
        """Raises DecodeError if the payload is malformed."""
        return self._inner.logs(self._annotated(payload, "logs"))

    def gate(self, inner: Callable[[bytes], bool] | None) -> Callable[[bytes], bool] | None:
        """Whether a payload may change, where `inner` says that of the inner redactor; None where every one may."""
        if inner is None:
            return None
        return lambda payload: inner(payload) or self._annotator.may_annotate(self._decoder, payload)

    def _annotated(self, payload: bytes, signal: Signal) -> bytes:
        annotator, decoder = self._annotator, self._decoder
        if signal in annotator.signals and annotator.may_annotate(decoder, payload):
            return annotator.annotate(decoder, payload, signal)
        return payload
