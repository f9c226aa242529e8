"""What the SDK's configuration in this process keeps the sidecar from knowing; said once, in the log."""

from __future__ import annotations

import logging
import re

from opentelemetry import trace

_SILENT = re.compile(r"\bTraceIdRatioBased\{([0-9.eE+-]+)\}")
_log = logging.getLogger(__name__)


def advise() -> None:
    """Warn of a sampler that does not tell its ratio (entry point `opentelemetry_post_instrument`)."""
    ratio = _untold_ratio()
    if ratio < 1:
        _log.warning(
            "spans are sampled at %g and do not say so, so that metrics made from them are too low by that factor; "
            "OTEL_TRACES_SAMPLER=sidecar_ratio says it",
            ratio,
        )


def _untold_ratio() -> float:
    """From what the sampler says of itself, so that this needs no SDK; 1 for what is not known."""
    try:
        found = _SILENT.search(trace.get_tracer_provider().sampler.get_description())  # type: ignore[attr-defined]
        return float(found[1]) if found else 1.0
    except Exception:  # Another SDK, or a sampler of the app's own: nothing here may keep the app from starting.
        return 1.0
