"""Methods of classes replaced in place, as soon as the app imports their module.

The replacement is a plain function that holds nothing of ours but the name of an operation: `cloudpickle` takes such a
function with a class of the app's main module, and it must run where this package is not installed.
"""

from __future__ import annotations

import functools
import inspect
import logging
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import wrapt

_log = logging.getLogger(__name__)


def observed(key: str, original: Callable[..., Any]) -> Callable[..., Any]:
    """`original`, a method, seen as the operation `key` of the capture of the process."""

    @functools.wraps(original)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        capture = sys.modules.get("model_sidecar_instrumentation.capture")
        if capture is None or capture.is_inside():
            return original(self, *args, **kwargs)
        return capture.observe(key, original, self, args, kwargs)

    return call


def training(original: Callable[..., Any]) -> Callable[..., Any]:
    """`original`, a method inside of which predictions are not seen."""
    if inspect.isgeneratorfunction(original):
        return _training_by_steps(original)

    @functools.wraps(original)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        capture = sys.modules.get("model_sidecar_instrumentation.capture")
        if capture is None or capture.is_inside():
            return original(self, *args, **kwargs)
        return capture.run_quiet(original, self, *args, **kwargs)

    return call


def _training_by_steps(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        steps = original(self, *args, **kwargs)
        capture = sys.modules.get("model_sidecar_instrumentation.capture")
        while True:
            try:
                step = next(steps) if capture is None else capture.run_quiet(next, steps)
            except StopIteration:
                return
            yield step

    return call


def scoring(original: Callable[..., Any]) -> Callable[..., Any]:
    """`original`, a method `score`: with the truth beside the rows, and in scikit-learn's own classes, it evaluates the
    model, and predictions in it are not seen. In the app's classes it may be a name for predicting."""

    @functools.wraps(original)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        capture = sys.modules.get("model_sidecar_instrumentation.capture")
        evaluates = len(args) + len(kwargs) > 1 or original.__module__.startswith("sklearn.")
        if capture is None or capture.is_inside() or not evaluates:
            return original(self, *args, **kwargs)
        return capture.run_quiet(original, self, *args, **kwargs)

    return call


def is_ours(function: Any) -> bool:
    """By its code: the attributes of a function are copied by `functools.wraps` of others."""
    return isinstance(function, _Unbound) or getattr(function, "__code__", None) in _OURS


def cover(kind: type, operations: Mapping[str, str], train: Iterable[str] = ()) -> None:
    """Replace each method of `operations` (name -> key) and of `train` where `kind` or a base of it defines it."""
    for name, key in operations.items():
        _replace(kind, name, functools.partial(observed, key))
    for name in train:
        _replace(kind, name, scoring if name == "score" else training)


def _replace(kind: type, name: str, make: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    for owner in kind.__mro__:
        found = owner.__dict__.get(name)
        if found is None or owner is object or is_ours(found):
            continue
        if callable(getattr(found, "fn", None)):
            # scikit-learn's `available_if`: the descriptor decides whether there is such a method, and stays.
            found.fn = found.fn if is_ours(found.fn) else make(found.fn)
        elif inspect.isroutine(found) and not isinstance(found, (staticmethod, classmethod)):
            _set(owner, name, make(found))


def _set(owner: type, name: str, function: Callable[..., Any]) -> None:
    try:
        setattr(owner, name, function)
    except (AttributeError, TypeError):
        return  # a class of an extension module cannot be changed; its Python subclasses can


def cover_subclasses(base: type, operations: Mapping[str, str], train: Iterable[str] = ()) -> None:
    """`cover` of `base` and of every class below it, those that are there and those to come."""
    train = tuple(train)
    for kind in _below(base):
        cover(kind, operations, train)
    inherited: Any = base.__dict__.get("__init_subclass__")
    after: Any = super

    def init_subclass(cls: type, /, **kwargs: Any) -> None:
        if inherited is not None:
            inherited.__get__(None, cls)(**kwargs)
        else:
            after(base, cls).__init_subclass__(**kwargs)
        cover(cls, operations, train)

    if not is_marked(inherited):
        init_subclass.__model_sidecar__ = True  # type: ignore[attr-defined]
        base.__init_subclass__ = classmethod(init_subclass)  # type: ignore[assignment]


def is_marked(method: Any) -> bool:
    return bool(getattr(getattr(method, "__func__", None), "__model_sidecar__", False))


def _below(base: type) -> list[type]:
    found: dict[type, None] = {}
    todo = [base]
    while todo:
        kind = todo.pop()
        if kind not in found:
            found[kind] = None
            todo.extend(type.__subclasses__(kind))
    return list(found)


def wrapped(original: Callable[..., Any], wrapper: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def call(*args: Any, **kwargs: Any) -> Any:
        return wrapper(original, args, kwargs)

    return call


def wrap_function(module: Any, name: str, wrapper: Callable[..., Any]) -> None:
    """Replace the function `name` of `module`, once; `wrapper(original, args, kwargs)` is called instead."""
    original = getattr(module, name, None)
    if not callable(original) or is_ours(original):
        return
    made = wrapped(original, wrapper)
    if inspect.ismodule(module):
        # Pickle looks a function up by these, and refuses it where it finds another one: `pool.map(torch.load, ...)`.
        made.__module__, made.__qualname__ = module.__name__, name
        made = _Unbound(made) if inspect.isbuiltin(original) else made
    setattr(module, name, made)


class _Unbound:
    """In the place of a builtin function, which stays as it is in a class: `load = pickle.load` gets no `self`."""

    def __init__(self, function: Callable[..., Any]) -> None:
        functools.update_wrapper(self, function)
        self._function = function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._function(*args, **kwargs)

    def __reduce__(self) -> str:
        return str(vars(self)["__qualname__"])


def when_imported(module: str, hook: Callable[[Any], None]) -> None:
    """Call `hook(module)` when the app imports it; at once if it has. A hook that fails does not fail the import."""

    def guarded(found: Any) -> None:
        try:
            hook(found)
        except Exception:
            _log.warning("the predictions of %s are not captured", module, exc_info=True)

    wrapt.register_post_import_hook(guarded, module)


_OURS = (
    observed("", lambda: None).__code__,
    training(lambda: None).__code__,
    _training_by_steps(lambda: None).__code__,
    scoring(lambda: None).__code__,
    wrapped(lambda: None, lambda: None).__code__,
)
