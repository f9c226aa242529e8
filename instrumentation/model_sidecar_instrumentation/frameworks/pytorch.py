"""torch: the outermost call of a module in evaluation mode. What a module calls inside of itself, calls in training
mode and what a compiler or tracer walks through are not seen.

Reading the result of a model on a GPU waits for it, as the app does when it reads it.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, ClassVar

from model_sidecar_instrumentation import outputs
from model_sidecar_instrumentation.capture import Operation
from model_sidecar_instrumentation.identity import Known, file_stem
from model_sidecar_instrumentation.instrumentor import FrameworkInstrumentor, Hooks, Operations, loading
from model_sidecar_instrumentation.patching import cover, is_ours, wrap_function
from model_sidecar_instrumentation.sample import Sample
from model_sidecar_instrumentation.settings import CaptureSettings


def _rows(model: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    if args:
        return args[0]
    return next(iter(kwargs.values()), None)


def _skip(model: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
    tracing = getattr(sys.modules["torch"].jit, "is_tracing", None)
    return bool(model.training) or (tracing is not None and bool(tracing()))


def _result(model: Any, result: Any, sample: Sample, settings: CaptureSettings) -> dict[str, Any]:
    """A tensor, the `logits` of a result with such a field, or the first of a tuple, if it has a row for each row."""
    value = getattr(result, "logits", None)
    if value is None:
        value = result[0] if isinstance(result, (tuple, list)) and result else result
    if getattr(value, "shape", (None,))[:1] != (sample.rows,):
        return {}
    return outputs.network(value, sample, settings)


def _cover(module: Any) -> None:
    kind = module.nn.Module
    if is_ours(kind.__call__):
        return
    cover(kind, {"__call__": "torch.__call__"})
    seen = kind.__call__
    plain = seen.__wrapped__
    compiling = getattr(getattr(module, "compiler", None), "is_compiling", None)
    if compiling is not None:
        # A compiler that walks through our function would have to stop at it; this one line it can follow.
        def call(self: Any, *args: Any, **kwargs: Any) -> Any:
            return plain(self, *args, **kwargs) if compiling() else seen(self, *args, **kwargs)

        kind.__call__ = call


def _file(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Known:
    return Known(file_stem(args[0] if args else kwargs.get("f")))


def _cover_loaders(module: Any) -> None:
    def is_module(found: Any) -> bool:
        return isinstance(found, module.nn.Module)

    wrap_function(module, "load", loading("torch.__call__", _file, is_module))
    wrap_function(module.jit, "load", loading("torch.__call__", _file, is_module))


def _both(module: Any) -> None:
    _cover(module)
    _cover_loaders(module)


class TorchInstrumentor(FrameworkInstrumentor):
    operations: ClassVar[Operations] = {
        "torch.__call__": Operation("forward", _rows, _result, skip=_skip, framework="torch")
    }
    hooks: ClassVar[Hooks] = {"torch": _both}
