"""What the instrumentors of all frameworks have in common."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from typing import Any, ClassVar

from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined]

from model_sidecar_instrumentation.capture import Operation, capture, is_inside
from model_sidecar_instrumentation.identity import Known
from model_sidecar_instrumentation.patching import when_imported

Operations = Mapping[str, Operation]
Hooks = Mapping[str, Callable[[Any], None]]


class FrameworkInstrumentor(BaseInstrumentor):  # type: ignore[misc]
    """Waits for the framework's modules. Uninstrumented, the replaced methods only call the original ones."""

    operations: ClassVar[Operations] = {}
    """By key; `Operation.name` is the part after the dot where they are alike."""
    hooks: ClassVar[Hooks] = {}
    """Module -> what to do with it once the app has imported it."""

    def instrumentation_dependencies(self) -> Collection[str]:
        """None: a framework that is not there is never imported, so its hook never runs."""
        return ()

    def _instrument(self, **kwargs: Any) -> None:
        capture().operations.update(self.operations)
        for module, hook in self.hooks.items():
            when_imported(module, hook)

    def _uninstrument(self, **kwargs: Any) -> None:
        for key in self.operations:
            capture().operations.pop(key, None)


def argument(*names: str) -> Callable[[Any, tuple[Any, ...], Mapping[str, Any]], Any]:
    """The first argument, which may be given by one of `names`."""

    def take(model: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        if args:
            return args[0]
        return next((kwargs[name] for name in names if name in kwargs), None)

    return take


def loading(
    operation: str,
    facts: Callable[[tuple[Any, ...], Mapping[str, Any]], Known],
    is_model: Callable[[Any], bool] = lambda found: hasattr(type(found), "predict"),
) -> Callable[..., Any]:
    """A wrapper for a function that loads a model and returns it: remembers how long it took and what `facts` reads
    from the arguments. `operation`: a key of an operation of that framework."""

    def load(original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        began = time.perf_counter()
        found = original(*args, **kwargs)
        _loaded(found, operation, time.perf_counter() - began, facts, args, kwargs, is_model)
        return found

    return load


def _loaded(
    found: Any,
    operation: str,
    seconds: float,
    facts: Callable[[tuple[Any, ...], Mapping[str, Any]], Known],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    is_model: Callable[[Any], bool],
) -> None:
    """A loader that is called by another one is of the outer one's making, and is timed there too: both are kept, the
    longer one counts as it comes last."""
    try:
        if is_inside() or not is_model(found):
            return
        known = facts(args, kwargs)
    except Exception:
        known = Known()
        capture().complain(operation)
    capture().remember(found, Known(known.name, known.version, seconds))
    capture().announce(found, operation)


def initialised(
    operation: str, facts: Callable[[Any, tuple[Any, ...], Mapping[str, Any]], Known]
) -> Callable[..., Any]:
    """A wrapper for the `__init__` of a class whose making is its loading."""

    def init(original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        model, rest = args[0], args[1:]
        began = time.perf_counter()
        original(*args, **kwargs)
        seconds = time.perf_counter() - began

        def about(given: tuple[Any, ...], named: Mapping[str, Any]) -> Known:
            return facts(model, given, named)

        _loaded(model, operation, seconds, about, rest, kwargs, lambda _: True)

    return init
