"""Instrumentors that wait until the app has imported what they instrument.

OpenTelemetry applies all of them at once, when Python starts: it imports each framework that is installed, before the
app has set its path and its settings, and an exception in one of them ends the others. Here each is applied when its
module has been imported; what it needs of the app's own configuration is there by then. An instrumentor that fails is
reported in one line on stderr, and the app goes on without it.
"""

from __future__ import annotations

import functools
import inspect
import os
import socket
import sys
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib import import_module, metadata, util
from typing import Any

from model_sidecar_instrumentation.patching import when_imported

GROUP = "opentelemetry_instrumentor"
MODULES = {
    "aiohttp-client": "aiohttp",
    "aiohttp-server": "aiohttp.web",
    "celery": "celery.app.base",
    "falcon": "falcon",
    "fastapi": "fastapi",
    "flask": "flask",
    "grpc_aio_client": "grpc",
    "grpc_aio_server": "grpc",
    "grpc_client": "grpc",
    "grpc_server": "grpc",
    "httpx": "httpx",
    "httpx2": "httpx2",
    "pyramid": "pyramid",
    "requests": "requests",
    "starlette": "starlette.applications",
    "tornado": "tornado",
    "urllib": "urllib.request",
    "urllib3": "urllib3",
}
"""Entry point -> the module whose import it waits for."""
SERVERS = {
    "aiohttp-server": "aiohttp.web",
    "django": "django.core.handlers.base",
    "falcon": "falcon",
    "fastapi": "fastapi",
    "flask": "flask",
    "pyramid": "pyramid.config",
    "tornado": "tornado.web",
}
"""Web frameworks whose requests are not seen without their instrumentation."""
AT_ONCE = frozenset({"asyncio", "logging", "system_metrics", "threading"})
"""Of the standard library, where nothing is to wait for."""
DJANGO = "django"


def install() -> None:
    """Have OpenTelemetry's auto-instrumentation apply instrumentors this way; called before `initialize`."""
    auto: Any = import_module("opentelemetry.instrumentation.auto_instrumentation")
    if not hasattr(auto, "_load_instrumentors"):
        raise RuntimeError("this version of opentelemetry-instrumentation is not known")
    auto._load_instrumentors = load


def load(distro: Any) -> None:
    """Applies or defers every instrumentor that `OTEL_PYTHON_DISABLED_INSTRUMENTATIONS` does not name. `distro`: an
    OpenTelemetry distribution, whose `load_instrumentor` applies each."""
    _run("opentelemetry_pre_instrument")
    points = list(_entry_points(GROUP))
    turns = _Turns()
    for name in SERVERS.keys() - {point.name for point in points}:
        if not _is_disabled(name):
            when_imported(SERVERS[name], functools.partial(_miss, name))
    for point in points:
        if not _is_disabled(point.name):
            _arrange(point, functools.partial(turns.take, functools.partial(_apply, distro, point)))
    _run("opentelemetry_post_instrument")


class _Turns:
    """One instrumentor after the other: some import a second framework, whose own instrumentor is in the same module,
    which is halfway then (httpx and httpx2)."""

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], None]] = deque()
        self._taken = threading.Lock()

    def take(self, apply: Callable[[], None]) -> None:
        """Nobody waits here, as imports are under way that others wait for: who has the turn does this one too."""
        self._waiting.append(apply)
        while self._waiting and self._taken.acquire(blocking=False):
            try:
                with suppress(IndexError):
                    self._waiting.popleft()()
            finally:
                self._taken.release()


def _arrange(point: metadata.EntryPoint, apply: Callable[[], None]) -> None:
    if point.name == DJANGO:
        when_imported("django.core.handlers.base", functools.partial(_before_middleware, apply))
        return
    module = MODULES.get(point.name) or _module_of(point)
    if module is None:
        apply()
    else:
        when_imported(module, lambda _: apply())


def _module_of(point: metadata.EntryPoint) -> str | None:
    """What an instrumentation of OpenTelemetry's that is not in `MODULES` is named after, if there is such a module."""
    prefix, _, rest = point.value.partition("opentelemetry.instrumentation.")
    name = rest.split(":")[0].split(".")[0]
    if prefix or not name or point.name in AT_ONCE:
        return None
    try:
        return name if util.find_spec(name) is not None else None
    except (ImportError, ValueError):
        return None


def _before_middleware(apply: Callable[[], None], base: Any) -> None:
    """Django's settings are complete when a handler reads its middleware from them. Where they cannot be read, the app
    gets Django's own error and no settings of ours."""
    original = base.BaseHandler.load_middleware
    waiting = [apply]

    @functools.wraps(original)
    def load_middleware(self: Any, *args: Any, **kwargs: Any) -> Any:
        if waiting and _are_django_settings_there():
            waiting.pop()()
        return original(self, *args, **kwargs)

    base.BaseHandler.load_middleware = load_middleware


def _are_django_settings_there() -> bool:
    settings = sys.modules["django.conf"].settings
    try:
        return settings.MIDDLEWARE is not None
    except Exception:
        return False


def _apply(distro: Any, point: metadata.EntryPoint) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            before = _signatures(point.name)
            distro.load_instrumentor(point, raise_exception_on_conflict=True)
    except ModuleNotFoundError:
        return  # What it instruments is not installed.
    except Exception as error:
        if not _is_absent(error):
            _report(point.name, error)
        return
    _repair(point.name, before)


def _miss(name: str, _: Any) -> None:
    sys.stderr.write(
        f"model-sidecar: requests give no spans here: opentelemetry-instrumentation-{name} is not installed "
        f"(OTEL_PYTHON_DISABLED_INSTRUMENTATIONS={name} ends this line)\n"
    )


def _is_absent(error: Exception) -> bool:
    """A conflict of versions in which there is no version of what is instrumented."""
    conflict = getattr(error, "conflict", None)
    return conflict is not None and not getattr(conflict, "found", None) and not getattr(conflict, "found_any", None)


def _report(name: str, error: Exception) -> None:
    sys.stderr.write(f"model-sidecar: {name} is not instrumented: {type(error).__name__}: {error}\n")


_REPLACED = {
    "grpc_server": ("grpc", ("server",)),
    "grpc_aio_server": ("grpc.aio", ("server",)),
    "grpc_aio_client": ("grpc.aio", ("insecure_channel", "secure_channel")),
}


def _signatures(name: str) -> list[tuple[Any, str, inspect.Signature]]:
    """Functions that the instrumentor replaces by ones that take interceptors by keyword only."""
    module, functions = _REPLACED.get(name, ("", ()))
    found = sys.modules.get(module)
    return [(found, f, inspect.signature(getattr(found, f))) for f in functions if hasattr(found, f)]


def _repair(name: str, before: list[tuple[Any, str, inspect.Signature]]) -> None:
    """What replacements of OpenTelemetry's do otherwise than the originals."""
    try:
        for module, function, signature in before:
            setattr(module, function, _by_keywords(getattr(module, function), signature))
        if name == "urllib":
            _keep_default_timeout(sys.modules["urllib.request"])
    except Exception as error:
        _report(name, error)


def _by_keywords(function: Callable[..., Any], signature: inspect.Signature) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        return function(**signature.bind(*args, **kwargs).arguments)

    return call


def _keep_default_timeout(request: Any) -> None:
    """Without a timeout the default of `socket` holds, not none at all."""
    replaced = request.OpenerDirector.open
    default = getattr(socket, "_GLOBAL_DEFAULT_TIMEOUT", None)

    @functools.wraps(replaced)
    def open(self: Any, fullurl: Any, data: Any = None, timeout: Any = default) -> Any:
        return replaced(self, fullurl, data, timeout)

    request.OpenerDirector.open = open


def _is_disabled(name: str) -> bool:
    disabled = [word.strip() for word in os.environ.get("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "").split(",")]
    return name in disabled or "*" in disabled


def _run(group: str) -> None:
    for point in _entry_points(group):
        try:
            point.load()()
        except Exception as error:
            _report(point.name, error)


def _entry_points(group: str) -> Iterator[metadata.EntryPoint]:
    """By name, so that their order does not hang on the order of files in a folder."""
    found: Any = metadata.entry_points()
    points = found.select(group=group) if hasattr(found, "select") else found.get(group, ())
    yield from sorted({(p.name, p.value): p for p in points}.values(), key=lambda p: (p.name, p.value))
