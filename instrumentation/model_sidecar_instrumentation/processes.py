"""Children made by `multiprocessing` with fork end without Python's exit functions, and would take what waits to be
exported with them."""

from __future__ import annotations

import os
from typing import Any

from opentelemetry import metrics, trace
from opentelemetry._logs import get_logger_provider

from model_sidecar_instrumentation.patching import when_imported

PATIENCE_MS = 3000


class _Children:
    """`multiprocessing` calls `arm` in a child after a fork, for as long as this object lives."""

    def __init__(self, util: Any) -> None:
        self.parent = os.getpid()
        util.register_after_fork(self, lambda _: util.Finalize(None, flush, exitpriority=-100))


def flush_in_children() -> None:
    """Export what is waiting before such a child ends. Finalizers of the app run before it."""

    def hook(util: Any) -> None:
        _kept.append(_Children(util))

    when_imported("multiprocessing.util", hook)


def flush() -> None:
    """Everything that waits, at most three seconds for each signal."""
    for provider in (get_logger_provider(), trace.get_tracer_provider(), metrics.get_meter_provider()):
        force = getattr(provider, "force_flush", None)
        if force is not None:
            force(PATIENCE_MS)


_kept: list[_Children] = []
