"""The id of the prediction in the header of the response, so that the caller can name it in a label later.

`SIDECAR_RESPONSE_HEADER` names the header. Its value is the id that the sidecar gives events without one of their own:
the trace id, 32 hexadecimal digits. OpenTelemetry's instrumentations of web frameworks ask one propagator for
headers of responses; one that is there already goes on being asked.
"""

from __future__ import annotations

import logging
import os
import re
from typing import Any

from opentelemetry import trace
from opentelemetry.instrumentation.propagators import (
    ResponsePropagator,
    default_setter,
    get_global_response_propagator,
    set_global_response_propagator,
)

VARIABLE = "SIDECAR_RESPONSE_HEADER"
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")
"""Names of header fields (RFC 9110, 5.6.2)."""
_log = logging.getLogger(__name__)


class PredictionIdHeader(ResponsePropagator):
    """Sets one header, after what another propagator sets."""

    def __init__(self, header: str, other: Any = None) -> None:
        self._header, self._other = header, other

    def inject(self, carrier: Any, context: Any = None, setter: Any = default_setter) -> None:
        if self._other is not None:
            self._other.inject(carrier, context, setter)
        found = trace.get_current_span(context).get_span_context()
        if found.is_valid:
            setter.set(carrier, self._header, trace.format_trace_id(found.trace_id))


def prepare() -> None:
    """Called by OpenTelemetry's auto-instrumentation when it is done (entry point `opentelemetry_post_instrument`)."""
    header = os.environ.get(VARIABLE, "").strip()
    if not header:
        return
    if not _TOKEN.fullmatch(header):
        _log.warning("invalid %s: %s; expected a header's name, as X-Prediction-Id: setting none", VARIABLE, header)
        return
    other = get_global_response_propagator()  # type: ignore[no-untyped-call]
    set_global_response_propagator(PredictionIdHeader(header, other))  # type: ignore[no-untyped-call]
