"""Keras, by itself and as TensorFlow's: `predict`, `predict_on_batch` and the call of a model. A call that builds a
graph or traces a function has no data yet, and is not seen; a SavedModel's bare signatures are not Keras's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from model_sidecar_instrumentation import outputs
from model_sidecar_instrumentation.capture import Operation
from model_sidecar_instrumentation.identity import Known
from model_sidecar_instrumentation.instrumentor import (
    FrameworkInstrumentor,
    Hooks,
    Operations,
    argument,
    file_of,
    filled,
    loading,
)
from model_sidecar_instrumentation.patching import observed, training, wrap_function
from model_sidecar_instrumentation.sample import Sample
from model_sidecar_instrumentation.settings import CaptureSettings

SYMBOLIC = ("KerasTensor", "SymbolicTensor", "Placeholder")
METHODS = {"predict": "keras.predict", "predict_on_batch": "keras.predict_on_batch", "__call__": "keras.__call__"}
TRAINING = ("fit", "evaluate", "train_on_batch", "test_on_batch")


def _is_symbolic(model: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
    data = args[0] if args else next(iter(kwargs.values()), None)
    parts = data if isinstance(data, (list, tuple)) else data.values() if isinstance(data, dict) else [data]
    names = {type(part).__name__ for part in list(parts)[:16]}
    return bool(kwargs.get("training")) or any(n in SYMBOLIC or n.endswith("Tracer") for n in names)


def _known(model: Any) -> Known:
    """The name that its author gave; not one that Keras made up, such as sequential_3."""
    name = str(getattr(model, "name", ""))
    made_up = name.rstrip("0123456789").rstrip("_") in (
        "sequential",
        "functional",
        "model",
        type(model).__name__.lower(),
    )
    return Known("" if made_up else name)


def _result(model: Any, result: Any, sample: Sample, settings: CaptureSettings) -> dict[str, Any]:
    return outputs.network(result, sample, settings)


def _rows_of(result: Any) -> int | None:
    shape = getattr(result, "shape", None)
    return int(shape[0]) if shape is not None and len(shape) else None


def _cover(module: Any) -> None:
    """What `Model` inherits from layers and trainers is replaced in `Model` alone: layers are called in thousands."""
    model = module.Model
    for name, key in METHODS.items():
        if name not in model.__dict__ and hasattr(model, name):
            setattr(model, name, observed(key, getattr(model, name)))
    for name in TRAINING:
        if name not in model.__dict__ and hasattr(model, name):
            setattr(model, name, training(getattr(model, name)))
    for name in ("saving", "models"):
        part = getattr(module, name, None)
        if part is not None:
            wrap_function(part, "load_model", loading("keras.predict", file_of("filepath")))
    if hasattr(model, "load_weights"):
        wrap_function(model, "load_weights", filled("keras.predict", "filepath"))


class KerasInstrumentor(FrameworkInstrumentor):
    operations: ClassVar[Operations] = {
        key: Operation(
            name.strip("_"),
            argument("x", "inputs"),
            _result,
            known=_known,
            skip=_is_symbolic,
            count=_rows_of,
            framework="keras",
        )
        for name, key in METHODS.items()
    }
    hooks: ClassVar[Hooks] = {"keras": _cover, "tf_keras": _cover}
