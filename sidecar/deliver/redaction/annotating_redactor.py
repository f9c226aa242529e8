"""A redactor before which what is derived of a record is added to it: that may need what redaction takes away."""

from __future__ import annotations

from collections.abc import Callable

from sidecar.decode.api import Decoder
from sidecar.decode.redaction.rules import Redacted, Redactor
from sidecar.derive.deriver import Annotator


class AnnotatingRedactor:
    """For one sink. Filters and rules see what was added."""

    def __init__(self, inner: Redactor, annotator: Annotator, decoder: Decoder) -> None:
        self._inner, self._annotator, self._decoder = inner, annotator, decoder

    def spans(self, payload: bytes) -> Redacted:
        """As the inner one."""
        return self._inner.spans(payload)

    def logs(self, payload: bytes) -> Redacted:
        """Raises DecodeError if the payload is malformed."""
        if self._annotator.may_annotate(self._decoder, payload):
            payload = self._annotator.annotate(self._decoder, payload)
        return self._inner.logs(payload)

    def gate(self, inner: Callable[[bytes], bool] | None) -> Callable[[bytes], bool] | None:
        """Whether a payload may change, where `inner` says that of the inner redactor; None where every one may."""
        if inner is None:
            return None
        return lambda payload: inner(payload) or self._annotator.may_annotate(self._decoder, payload)
