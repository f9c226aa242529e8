"""MLflow: `PyFuncModel.predict`, and what a model is called in the registry, whichever flavour loads it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from model_sidecar_instrumentation import outputs
from model_sidecar_instrumentation.capture import Operation
from model_sidecar_instrumentation.frameworks import scikit_learn
from model_sidecar_instrumentation.identity import Known
from model_sidecar_instrumentation.instrumentor import FrameworkInstrumentor, Hooks, Operations, argument, loading
from model_sidecar_instrumentation.patching import cover, wrap_function
from model_sidecar_instrumentation.sample import Sample
from model_sidecar_instrumentation.settings import CaptureSettings

FLAVOURS = {
    "mlflow.sklearn": "sklearn.predict",
    "mlflow.xgboost": "sklearn.predict",
    "mlflow.lightgbm": "sklearn.predict",
    "mlflow.catboost": "catboost.predict",
    "mlflow.pytorch": "torch.__call__",
    "mlflow.keras": "keras.predict",
    "mlflow.tensorflow": "keras.predict",
    "mlflow.transformers": "transformers.pipeline",
    "mlflow.pyfunc": "mlflow.predict",
}
REGISTERED = re.compile(r"models:/(?P<name>[^/@]+)(?:/(?P<version>[^/@]+)|@(?P<alias>.+))?$")


def of_uri(uri: str) -> Known:
    """`models:/fraud/3` is version 3 of fraud; `models:/fraud@champion` is fraud in version champion (an alias). Other
    addresses name a run or a folder: the model in it says more."""
    match = REGISTERED.match(uri)
    return Known(match["name"], match["version"] or match["alias"] or "") if match else Known()


def _facts(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Known:
    return of_uri(str(args[0] if args else kwargs.get("model_uri", "")))


def _known(model: Any) -> Known:
    """From the file MLmodel: the name it was logged with; as version the registered one, else the start of an id."""
    meta = model.metadata
    path = str(getattr(meta, "artifact_path", "") or "")
    name = str(getattr(meta, "name", "") or "") or (path if "/" not in path and ":" not in path else "")
    version = getattr(meta, "registered_model_version", None) or getattr(meta, "model_id", None)
    version = version or getattr(meta, "run_id", None) or getattr(meta, "model_uuid", None) or ""
    return Known(name, str(version)[:12])


def _inner(model: Any) -> Any:
    """The estimator inside, which knows the classes; the pyfunc itself where it has none."""
    raw = getattr(model, "get_raw_model", None)
    found = raw() if callable(raw) else None
    return model if found is None else found


def _result(model: Any, result: Any, sample: Sample, settings: CaptureSettings) -> dict[str, Any]:
    frame = getattr(result, "columns", None)
    if frame is not None and getattr(result, "ndim", 1) == 2 and len(frame) > 1:
        names = [str(name) for name in list(frame)[: settings.columns]]
        return outputs.outputs(result.to_numpy(), sample, settings, names)
    return outputs.predicted(result, scikit_learn.classes_of(_inner(model)), sample, settings)


def _names(model: Any) -> Any:
    return scikit_learn.names_of(_inner(model))


def _cover(module: Any) -> None:
    cover(module.PyFuncModel, {"predict": "mlflow.predict"})


def _loader(key: str) -> Any:
    def hook(module: Any) -> None:
        wrap_function(module, "load_model", loading(key, _facts, lambda found: found is not None))
        if key == "mlflow.predict":
            _cover(module)

    return hook


class MLflowInstrumentor(FrameworkInstrumentor):
    operations: ClassVar[Operations] = {
        **scikit_learn.OPERATIONS,
        "mlflow.predict": Operation("predict", argument("data"), _result, _names, known=_known, framework="mlflow"),
    }
    hooks: ClassVar[Hooks] = {module: _loader(key) for module, key in FLAVOURS.items()}
