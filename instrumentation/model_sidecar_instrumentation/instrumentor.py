"""What the instrumentors of all frameworks have in common."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from typing import Any, ClassVar

from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined]

from model_sidecar_instrumentation.capture import Operation, capture, is_inside, run_quiet
from model_sidecar_instrumentation.identity import Known
from model_sidecar_instrumentation.model_file import of_file
from model_sidecar_instrumentation.patching import when_imported

MANY = 100
"""Things in a file that are looked at."""

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
        found = run_quiet(original, *args, **kwargs)  # loaders within it know less of the model
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
    """A loader that is called by another one is part of the outer one, which is timed and knows more."""
    try:
        models = {} if is_inside() else models_in(found, is_model)
        known = facts(args, kwargs) if models else Known()
    except Exception:
        known = Known()
        capture().complain(operation)
        return
    for part, model in models.items():
        name = f"{known.name}.{part}" if known.name and len(models) > 1 else known.name
        capture().remember(model, Known(name, known.version, seconds))
        capture().announce(model, operation)


def models_in(found: Any, is_model: Callable[[Any], bool]) -> dict[str, Any]:
    """What a file held: a model, or a dict or list with models among other things, by key or place."""
    if isinstance(found, (dict, list, tuple)) and len(found) <= MANY:
        parts = found.items() if isinstance(found, dict) else enumerate(found)
        return {str(key): part for key, part in parts if is_model(part)}
    return {"": found} if is_model(found) else {}


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


def filled(operation: str, *names: str) -> Callable[..., Any]:
    """A wrapper for a method that fills a model from the file of its first argument, which may be given by one of
    `names`."""

    def fill(original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        began = time.perf_counter()
        result = run_quiet(original, *args, **kwargs)
        source = argument(*names)(args[0], args[1:], kwargs)
        _loaded(
            args[0], operation, time.perf_counter() - began, lambda *_: of_file(source), args, kwargs, lambda _: True
        )
        return result

    return fill


def file_of(*names: str) -> Callable[[tuple[Any, ...], Mapping[str, Any]], Known]:
    """`facts` for `loading`: of the file that is the first argument, which may be given by one of `names`."""

    def facts(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Known:
        return of_file(argument(*names)(None, args, kwargs))

    return facts
