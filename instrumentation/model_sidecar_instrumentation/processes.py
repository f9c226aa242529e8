"""What OpenTelemetry's SDK leaves open in processes that fork or that a signal ends, as gunicorn, `multiprocessing` and
uvicorn have them.

- A child inherits the exporters' connections. Requests of two processes in one socket are garbage to the server: the
  child gets connections of its own.
- Children of `multiprocessing` end without Python's exit functions, and would take what waits to be exported with them.
- uvicorn, when it has shut down in order, ends itself by the signal that it was sent: no exit functions either.
"""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Iterable, Iterator
from typing import Any

from opentelemetry import metrics, trace
from opentelemetry._logs import get_logger_provider

from model_sidecar_instrumentation.patching import when_imported

PATIENCE_SECONDS = 3
DEPTH, MANY = 16, 5000


def prepare() -> None:
    """Called by OpenTelemetry's auto-instrumentation when it is done (entry point `opentelemetry_post_instrument`)."""
    sessions = list(_sessions(_providers()))
    if sessions and hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=lambda: _renew(sessions))
    when_imported("multiprocessing.util", lambda util: _kept.append(_Children(util)))
    when_imported("uvicorn.server", _flush_when_it_stops)


def flush() -> None:
    """Everything that waits, for at most three seconds: a lock that was held in the parent during the fork is never
    released in the child, and the app's end must not wait for it."""
    thread = threading.Thread(target=_flush_all, daemon=True)
    thread.start()
    thread.join(PATIENCE_SECONDS)


def _flush_all() -> None:
    for provider in _providers():
        force = getattr(provider, "force_flush", None)
        if force is not None:
            force(PATIENCE_SECONDS * 1000)


def _providers() -> list[Any]:
    return [get_logger_provider(), trace.get_tracer_provider(), metrics.get_meter_provider()]


def _flush_when_it_stops(uvicorn: Any) -> None:
    original = uvicorn.Server.shutdown

    @functools.wraps(original)
    async def shutdown(*args: Any, **kwargs: Any) -> Any:
        try:
            return await original(*args, **kwargs)
        finally:
            flush()  # Nothing else is left for the loop to do.

    uvicorn.Server.shutdown = shutdown


class _Children:
    """`multiprocessing` calls the function in a child after a fork, for as long as this object lives. Finalizers of the
    app, which have higher priorities, run before ours."""

    def __init__(self, util: Any) -> None:
        util.register_after_fork(self, lambda _: util.Finalize(None, flush, exitpriority=-100))


def _sessions(roots: Iterable[Any]) -> Iterator[Any]:
    """HTTP sessions of the `requests` package that the providers hold somewhere below them. Where exactly changes from
    release to release of the SDK."""
    seen: set[int] = set()
    level = list(roots)
    for _ in range(DEPTH):
        below: list[Any] = []
        for item in level:
            if id(item) in seen or len(seen) > MANY:
                continue
            seen.add(id(item))
            if type(item).__module__.startswith("requests.") and hasattr(item, "adapters"):
                yield item
            elif isinstance(item, (list, tuple, set, frozenset)):
                below.extend(item)
            elif isinstance(item, dict):
                below.extend(item.values())
            elif type(item).__module__.startswith("opentelemetry."):
                below.extend(getattr(item, "__dict__", {}).values())
        level = below


def _renew(sessions: Iterable[Any]) -> None:
    """The inherited pools are kept, unused: to close them takes locks that a thread of the parent may have held."""
    for session in sessions:
        before = dict(session.adapters)
        _kept.append(before)
        for prefix, adapter in before.items():
            session.mount(prefix, type(adapter)(max_retries=adapter.max_retries))


_kept: list[Any] = []
