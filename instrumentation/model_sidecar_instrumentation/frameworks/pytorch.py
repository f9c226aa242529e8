"""torch: the outermost call of a module, by itself or by its `forward`, in evaluation mode or without gradients. What a
module calls inside of itself, training and what a compiler or tracer walks through are not seen.

Reading the result of a model on a GPU waits for it, as the app does when it reads it.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

from model_sidecar_instrumentation import outputs
from model_sidecar_instrumentation.capture import Operation, capture, is_inside
from model_sidecar_instrumentation.frameworks import hugging_face, torch_forward
from model_sidecar_instrumentation.frameworks.torch_forward import Forwards
from model_sidecar_instrumentation.identity import Known
from model_sidecar_instrumentation.instrumentor import (
    MANY,
    FrameworkInstrumentor,
    Hooks,
    Operations,
    file_of,
    filled,
    loading,
)
from model_sidecar_instrumentation.patching import cover, is_ours, wrap_function
from model_sidecar_instrumentation.sample import Sample
from model_sidecar_instrumentation.settings import CaptureSettings


def _rows(model: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    if args:
        return args[0]
    return next(iter(kwargs.values()), None)


def _skip(forwards: Forwards, model: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
    torch = sys.modules["torch"]
    tracing = getattr(torch.jit, "is_tracing", None)
    if (tracing is not None and tracing()) or getattr(model, "_is_replica", False) or _is_symbolic(args):
        return True
    if _inner(model).training and (torch.is_grad_enabled() or next(model.parameters(), None) is None):
        return True  # training; or a loss or a transform, which nobody puts into evaluation mode
    return forwards.part_of(model)


def _is_symbolic(args: tuple[Any, ...]) -> bool:
    return bool(args) and type(args[0]).__name__ in ("Proxy", "FakeTensor", "FunctionalTensor")


def _inner(model: Any) -> Any:
    """The module inside of DataParallel, DistributedDataParallel and what torch.compile makes."""
    for _ in range(4):
        wrapper = type(model).__name__
        name = "_orig_mod" if wrapper == "OptimizedModule" else "module" if wrapper.endswith("DataParallel") else ""
        inner = getattr(model, name, None) if name else None
        if inner is None:
            break
        model = inner
    return model


def _result(model: Any, result: Any, sample: Sample, settings: CaptureSettings) -> dict[str, Any]:
    """A tensor, the `logits` of a result with such a field, or the first of a tuple, if it has a row for each row."""
    value = getattr(result, "logits", None)
    if value is None:
        value = result[0] if isinstance(result, (tuple, list)) and result else result
    if getattr(value, "shape", (None,))[:1] != (sample.rows,):
        return {}
    return outputs.network(value, sample, settings)


def _cover(module: Any, forwards: Forwards) -> None:
    kind = module.nn.Module
    cover(kind, {"__call__": "torch.__call__"})
    seen = kind.__call__
    plain = seen.__wrapped__
    compiling = forwards.compiling
    capture().operations["torch.__call__"] = replace(_CALL, skip=partial(_skip, forwards))
    torch_forward.cover(module, forwards)
    if compiling is not None:
        # A compiler that walks through our function would have to stop at it; this one line it can follow.
        def call(self: Any, *args: Any, **kwargs: Any) -> Any:
            return plain(self, *args, **kwargs) if compiling() else seen(self, *args, **kwargs)

        kind.__call__ = call


def _known(model: Any) -> Known:
    """The name that transformers loaded it by, or the class that was compiled."""
    found = hugging_face.of_config(getattr(_inner(model), "config", None))
    compiled = getattr(model, "original_name", "")
    return found if found.name or not isinstance(compiled, str) else Known(compiled)


def _cover_loaders(module: Any, forwards: Forwards) -> None:
    """Whole modules, and tensors, from which `load_state_dict` knows the file again."""

    def is_module(found: Any) -> bool:
        return isinstance(found, module.nn.Module)

    facts = file_of("f")

    def load(original: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        found = loading("torch.__call__", facts, is_module)(original, args, kwargs)
        _remember_tensors(found, partial(facts, args, kwargs))
        return found

    wrap_function(module, "load", load)
    wrap_function(module.jit, "load", loading("torch.__call__", facts, is_module))

    def fill(original: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        result = original(*args, **kwargs)
        known = _of_tensors(args[1] if len(args) > 1 else kwargs.get("state_dict"))
        if not is_inside():
            forwards.cover(type(args[0]))
            if known is not None:
                capture().remember(args[0], known)
        return result

    wrap_function(module.nn.Module, "load_state_dict", fill)


def _remember_tensors(found: Any, facts: Any) -> None:
    """The first tensor of a dict, and of each dict in it (`{"model": state, "epoch": 3}`), knows its file."""
    try:
        parts = [found, *list(found.values())[:MANY]] if isinstance(found, dict) else []
        tensors = [t for t in map(_first, parts) if t is not None]
        known = facts() if tensors else Known()
        for tensor in tensors:
            capture().remember(tensor, known)
    except Exception:
        capture().complain("torch load")


def _first(state: Any) -> Any:
    value = next(iter(state.values()), None) if isinstance(state, dict) else None
    return value if hasattr(value, "detach") else None


def _of_tensors(state: Any) -> Known | None:
    tensor = _first(state)
    return None if tensor is None else capture().known(tensor)


def _cover_safetensors(module: Any) -> None:
    facts = file_of("filename")

    def load(original: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        found = original(*args, **kwargs)
        _remember_tensors(found, partial(facts, args, kwargs))
        return found

    wrap_function(module, "load_file", load)
    # load_model(model, filename): as a method of the model.
    wrap_function(module, "load_model", filled("torch.__call__", "filename"))


def _both(module: Any) -> None:
    if not is_ours(module.nn.Module.__call__):
        forwards = Forwards(module.nn.Module, getattr(getattr(module, "compiler", None), "is_compiling", None))
        _cover(module, forwards)
        _cover_loaders(module, forwards)


_CALL = Operation("forward", _rows, _result, framework="torch", known=_known, alone=True, inner=_inner)


class TorchInstrumentor(FrameworkInstrumentor):
    operations: ClassVar[Operations] = {"torch.__call__": _CALL}
    hooks: ClassVar[Hooks] = {"torch": _both, "safetensors.torch": _cover_safetensors}
