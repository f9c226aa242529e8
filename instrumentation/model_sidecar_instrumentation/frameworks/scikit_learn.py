"""scikit-learn, and every estimator that is a subclass of its `BaseEstimator`: those of xgboost and lightgbm, of other
packages, and of the app itself.

Methods are replaced in the class that defines them, when a subclass of `BaseEstimator` comes into being. Objects have
nothing of it: pickles, `clone` and `get_params` are as they were.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar

from model_sidecar_instrumentation import outputs
from model_sidecar_instrumentation.capture import Operation, is_inside, run_quiet
from model_sidecar_instrumentation.identity import Known
from model_sidecar_instrumentation.instrumentor import FrameworkInstrumentor, Hooks, Operations, argument, loading
from model_sidecar_instrumentation.patching import cover_subclasses, wrap_function
from model_sidecar_instrumentation.sample import Sample
from model_sidecar_instrumentation.settings import CaptureSettings

LOCAL_BACKENDS = ("SequentialBackend", "ThreadingBackend", "LokyBackend", "MultiprocessingBackend")
TRAINING = ("fit", "fit_predict", "fit_transform", "partial_fit")


def classes_of(model: Any) -> Sequence[Any] | None:
    """`classes_` of a fitted classifier; of several outputs at once there are several, which are not told."""
    classes = getattr(model, "classes_", None)
    if classes is None or isinstance(classes, str):
        return None
    found: list[Any] = classes.tolist() if hasattr(classes, "tolist") else list(classes)
    return None if not found or isinstance(found[0], (list, tuple)) or hasattr(found[0], "shape") else found


def names_of(model: Any) -> Sequence[Any] | None:
    names: Any = getattr(model, "feature_names_in_", None)
    return list(names) if names is not None else None


def predict(model: Any, result: Any, sample: Sample, settings: CaptureSettings) -> dict[str, Any]:
    first = result[0] if isinstance(result, tuple) else result  # predict(X, return_std=True)
    return outputs.predicted(first, classes_of(model), sample, settings)


def predict_proba(model: Any, result: Any, sample: Sample, settings: CaptureSettings) -> dict[str, Any]:
    return outputs.probabilities(result, classes_of(model), sample, settings)


def decision_function(model: Any, result: Any, sample: Sample, settings: CaptureSettings) -> dict[str, Any]:
    return outputs.margins(result, classes_of(model), sample, settings)


OPERATIONS = {
    "sklearn.predict": Operation("predict", argument("X"), predict, names_of),
    "sklearn.predict_proba": Operation("predict_proba", argument("X"), predict_proba, names_of),
    "sklearn.decision_function": Operation("decision_function", argument("X"), decision_function, names_of),
}
METHODS = {operation.name: key for key, operation in OPERATIONS.items()}


def _cover_estimators(module: Any) -> None:
    cover_subclasses(module.BaseEstimator, METHODS, TRAINING)


def _cover_parallel(module: Any) -> None:
    """Work that an estimator hands to joblib's threads and processes is part of its call. Processes on other machines
    may not have this package; those of this machine come from the same installation."""

    def run(original: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        here = not is_inside() or len(args) != 2 or args[0].n_jobs == 1
        if here or type(args[0]._backend).__name__ not in LOCAL_BACKENDS:
            return original(*args, **kwargs)
        return original(args[0], ((partial(run_quiet, function), a, k) for function, a, k in args[1]), **kwargs)

    wrap_function(module.Parallel, "__call__", run)


def _cover_load(module: Any) -> None:
    wrap_function(module, "load", loading("sklearn.predict", lambda *_: Known()))


class ScikitLearnInstrumentor(FrameworkInstrumentor):
    operations: ClassVar[Operations] = OPERATIONS
    hooks: ClassVar[Hooks] = {
        "sklearn.base": _cover_estimators,
        "joblib.parallel": _cover_parallel,
        "joblib": _cover_load,
    }
