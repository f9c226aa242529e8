"""What OpenTelemetry's SDK leaves open in processes that fork or that a signal ends, as gunicorn, `multiprocessing` and
uvicorn have them.

- A child inherits the exporters' connections. Requests of two processes in one socket are garbage to the server: the
  child gets connections of its own.
- A child inherits locks as the parent's threads held them, and none of those threads: it would wait for ever. The SDK's
  are released in the child; for locks of imports, exporters have nothing left to import (`IMPORTED`).
- Children of `multiprocessing` end without Python's exit functions, and would take what waits to be exported with them.
- uvicorn, when it has shut down in order, ends itself by the signal that it was sent: no exit functions either.
"""

from __future__ import annotations

import _thread
import functools
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from importlib import import_module
from typing import Any

from opentelemetry import metrics, trace
from opentelemetry._logs import get_logger_provider

from model_sidecar_instrumentation.ending import Ending
from model_sidecar_instrumentation.exporting import Tally, below, guards, never_by_proxy, sessions
from model_sidecar_instrumentation.log_calls import keep_off_the_app
from model_sidecar_instrumentation.patching import when_imported

IMPORTED = ("encodings.ascii", "encodings.idna", "netrc")
"""What an exporter imports with its first request, and with a host that has a name."""
LOCKS = (_thread.LockType, _thread.RLock)


def prepare() -> None:
    """Called by OpenTelemetry's auto-instrumentation when it is done (entry point `opentelemetry_post_instrument`)."""
    keep_off_the_app()
    providers = _providers()
    guarded = guards(providers)
    if not guarded:
        return
    for name in IMPORTED:
        with suppress(ImportError):
            import_module(name)
    ending = Ending(providers, guarded)
    _count(providers, ending)
    Tally(guarded)
    inherited = list(sessions(providers))
    for session in inherited:
        never_by_proxy(session)
    ending.at_exit()
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=lambda: _renew(providers, inherited, ending))
    when_imported("multiprocessing.util", lambda util: _kept.append(_Children(util, ending.flush)))
    when_imported("uvicorn.server", lambda uvicorn: _flush_when_it_stops(uvicorn, ending.flush))


def _count(providers: list[Any], ending: Ending) -> None:
    for provider in providers:
        for signal, method in (("logs", "add_log_record_processor"), ("spans", "add_span_processor")):
            if hasattr(provider, method):
                getattr(provider, method)(ending.counters[signal])


def _providers() -> list[Any]:
    return [get_logger_provider(), trace.get_tracer_provider(), metrics.get_meter_provider()]


def _flush_when_it_stops(uvicorn: Any, flush: Callable[[], None]) -> None:
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

    def __init__(self, util: Any, flush: Callable[[], None]) -> None:
        util.register_after_fork(self, lambda _: util.Finalize(None, flush, exitpriority=-100))


def _renew(providers: Iterable[Any], inherited: Iterable[Any], ending: Ending) -> None:
    """The inherited pools are kept, unused: to close them takes locks that a thread of the parent may have held."""
    for lock in below(providers, lambda item: isinstance(item, LOCKS)):
        with suppress(RuntimeError):  # A lock that is free, or one of this thread's own.
            lock._at_fork_reinit()
    ending.renew()
    for session in inherited:
        before = dict(session.adapters)
        _kept.append(before)
        for prefix, adapter in before.items():
            session.mount(prefix, type(adapter)(max_retries=adapter.max_retries))


_kept: list[Any] = []
