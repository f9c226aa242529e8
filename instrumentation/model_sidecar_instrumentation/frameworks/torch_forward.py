"""`model.forward(x)`, which goes past `Module.__call__`: without this each layer of the model would look like a model.

`forward` is replaced in the class of a module that the app readies for use (`eval`, `load_state_dict`, `to`), not in
those of its layers. Where compilers read its source, the original stands in its place meanwhile.
"""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import wrapt

from model_sidecar_instrumentation.capture import is_inside, observe
from model_sidecar_instrumentation.frameworks import evaluation
from model_sidecar_instrumentation.patching import is_ours, observed, wrap_function

KEY = "torch.__call__"
READY = ("eval", "to")
"""With `load_state_dict`, which `pytorch` replaces."""
PARTS = re.compile(r"_?(forward|encode|decode|embed|extract|get_\w*features)")
"""Methods by which a module runs some of its layers."""
_DEPTH = 64

Compiling = Callable[[], bool]


class Forwards:
    """The replaced `forward` of classes of modules."""

    def __init__(self, module: type, compiling: Compiling | None) -> None:
        self._module, self.compiling = module, compiling
        self._originals: dict[type, Callable[..., Any]] = {}

    def cover(self, kind: type) -> None:
        """Replace `forward` in the class that defines it for `kind`."""
        owner = next((k for k in kind.__mro__ if "forward" in k.__dict__), None)
        if owner is None:
            return
        found: Any = owner.__dict__["forward"]
        if owner is self._module or owner in self._originals or not hasattr(found, "__code__"):
            return
        if not is_ours(found):
            self._originals[owner] = found
            owner.forward = self._replacement(found)  # type: ignore[attr-defined]

    def _replacement(self, original: Any) -> Any:
        seen, compiling = observed(KEY, original), self.compiling
        if compiling is None:
            return seen

        @functools.wraps(original)
        def call(self: Any, *args: Any, **kwargs: Any) -> Any:
            return original(self, *args, **kwargs) if compiling() else seen(self, *args, **kwargs)

        return call

    def part_of(self, layer: Any) -> bool:
        """Whether `layer` was called by a method of another module that runs layers; the next call of that module's
        `forward` is seen as a whole."""
        frame = sys._getframe(1)
        for _ in range(_DEPTH):
            if frame is None:
                return False
            code = frame.f_code
            if code.co_argcount and PARTS.match(code.co_name):
                outer = frame.f_locals.get(code.co_varnames[0])
                if isinstance(outer, self._module) and outer is not layer:
                    self.cover(type(outer))
                    return True
            frame = frame.f_back  # type: ignore[assignment]
        return False

    @contextmanager
    def originals(self) -> Iterator[None]:
        """The classes as their authors wrote them."""
        now = {owner: owner.__dict__["forward"] for owner in self._originals}
        for owner, original in self._originals.items():
            owner.forward = original  # type: ignore[attr-defined]
        try:
            yield
        finally:
            for owner, replaced in now.items():
                owner.forward = replaced  # type: ignore[attr-defined]


def cover(torch: Any, forwards: Forwards) -> None:
    """Ready modules, the functions that read sources, and scripted modules."""

    def ready(original: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if not is_inside():
            forwards.cover(type(args[0]))
        return original(*args, **kwargs)

    def reading(original: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        with forwards.originals():
            return original(*args, **kwargs)

    for name in READY:
        wrap_function(torch.nn.Module, name, ready)
    wrap_function(torch.jit, "script", reading)
    for name in ("trace", "trace_module"):
        wrap_function(torch.jit, name, evaluation.quiet)
    tracer = getattr(getattr(torch, "fx", None), "Tracer", None)
    if tracer is not None:
        wrap_function(tracer, "trace", reading)
    _cover_scripted(torch.jit.ScriptModule)


class _Scripted(wrapt.CallableObjectProxy):  # type: ignore[type-arg]  # wrapt 1 has no parameters
    """A compiled method `forward` of `_self_module`, with all that can be asked of it."""

    def __init__(self, method: Any, module: Any) -> None:
        super().__init__(method)
        self._self_module = module

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if is_inside():
            return self.__wrapped__(*args, **kwargs)
        method = self.__wrapped__
        return observe(KEY, lambda _, *given, **named: method(*given, **named), self._self_module, args, kwargs)


class _ScriptedForward:
    """In the place of torch's own descriptor, which looks the compiled method up and leaves it in the module. This one
    comes first, as it can be set."""

    def __init__(self, original: Any) -> None:
        self._original = original

    def __get__(self, module: Any, kind: type | None = None) -> Any:
        if module is None:
            return self._original
        found = module.__dict__.get("forward") or module.__getattr__("forward")
        return found if is_inside() else _Scripted(found, module)

    def __set__(self, module: Any, value: Any) -> None:
        module.__dict__["forward"] = value


def _cover_scripted(base: type) -> None:
    todo = [base]
    while todo:
        kind = todo.pop()
        found = kind.__dict__.get("forward")
        if type(found).__name__ == "_CachedForward":
            kind.forward = _ScriptedForward(found)  # type: ignore[attr-defined]
        todo.extend(type.__subclasses__(kind))
