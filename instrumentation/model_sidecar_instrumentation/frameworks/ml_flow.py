"""MLflow: `PyFuncModel.predict`, and what a model is called in the registry, whichever flavour loads it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from model_sidecar_instrumentation import outputs
from model_sidecar_instrumentation.capture import Operation, capture
from model_sidecar_instrumentation.frameworks import evaluation, scikit_learn
from model_sidecar_instrumentation.identity import Known
from model_sidecar_instrumentation.instrumentor import (
    MANY,
    FrameworkInstrumentor,
    Hooks,
    Operations,
    argument,
    loading,
)
from model_sidecar_instrumentation.model_file import of_file
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


LOGGED = re.compile(r"models:/(?P<id>m-[0-9a-f]+)/?$")
RUN = re.compile(r"runs:/(?P<run>[^/]+)/(?P<path>.+)$")
_ID = 12


class Logged:
    """Names of logged models by their ids, as MLflow's own client got them while it loaded the models."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}

    def cover(self, client: Any) -> None:
        def get(original: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            found = original(*args, **kwargs)
            if len(self._names) < MANY and isinstance(getattr(found, "name", None), str):
                self._names[str(getattr(found, "model_id", ""))] = found.name
            return found

        wrap_function(client.TrackingServiceClient, "get_logged_model", get)

    def name(self, model_id: Any) -> str:
        return self._names.get(str(model_id), "")


logged = Logged()


def of_uri(uri: str) -> Known:
    """`models:/fraud/3` is version 3 of fraud; `models:/fraud@champion` is fraud in version champion (an alias);
    `runs:/8c1f…/fraud` is fraud of that run. Of other addresses the last folder that says something is the name."""
    found = LOGGED.match(uri)
    if found:
        return Known(logged.name(found["id"]), found["id"][:_ID])
    registered, run = REGISTERED.match(uri), RUN.match(uri)
    if registered:
        return Known(registered["name"], registered["version"] or registered["alias"] or "")
    if run:
        return Known(of_file(run["path"]).name or run["path"].rpartition("/")[2], run["run"][:_ID])
    return of_file(uri.partition("://")[2] or uri)


def _facts(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Known:
    return of_uri(str(args[0] if args else kwargs.get("model_uri", "")))


def _known(model: Any) -> Known:
    """From the file MLmodel: the name it was logged with; as version the registered one, else the start of an id."""
    meta = model.metadata
    path = str(getattr(meta, "artifact_path", "") or "")
    model_id = getattr(meta, "model_id", None)
    name = logged.name(model_id) or (path if "/" not in path and ":" not in path else "")
    version = getattr(meta, "registered_model_version", None) or model_id
    version = version or getattr(meta, "run_id", None) or getattr(meta, "model_uuid", None) or ""
    return Known(name, str(version)[:_ID])


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
    load = loading(key, _facts, lambda found: found is not None)

    def load_pyfunc(original: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        found = load(original, args, kwargs)
        try:
            about, inner = capture().known(found), _inner(found)
            if about is not None and inner is not found:
                capture().remember(inner, about)
        except Exception:
            capture().complain("mlflow inner model")
        return found

    def hook(module: Any) -> None:
        wrap_function(module, "load_model", load_pyfunc if key == "mlflow.predict" else load)
        if key == "mlflow.predict":
            _cover(module)

    return hook


class MLflowInstrumentor(FrameworkInstrumentor):
    operations: ClassVar[Operations] = {
        **scikit_learn.OPERATIONS,
        "mlflow.predict": Operation(
            "predict", argument("data"), _result, _names, known=_known, framework="mlflow", inner=_inner
        ),
    }
    hooks: ClassVar[Hooks] = {
        **{module: _loader(key) for module, key in FLAVOURS.items()},
        "mlflow.tracking._tracking_service.client": logged.cover,
        "mlflow.models.evaluation.base": evaluation.functions("evaluate"),
        "mlflow.models.model": evaluation.class_methods({"Model": "log"}),
        "mlflow.models.signature": evaluation.functions("_infer_signature_from_input_example"),
    }
