"""scikit-learn, and every estimator that is a subclass of its `BaseEstimator`: those of xgboost and lightgbm, of other
packages, and of the app itself.

Methods are replaced in the class that defines them, when a subclass of `BaseEstimator` comes into being. Objects have
nothing of it: pickles, `clone` and `get_params` are as they were.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar

from model_sidecar_instrumentation import outputs
from model_sidecar_instrumentation.capture import Operation, is_inside, run_quiet
from model_sidecar_instrumentation.frameworks import evaluation
from model_sidecar_instrumentation.instrumentor import (
    FrameworkInstrumentor,
    Hooks,
    Operations,
    argument,
    file_of,
    loading,
)
from model_sidecar_instrumentation.patching import cover_subclasses, wrap_function
from model_sidecar_instrumentation.sample import Sample
from model_sidecar_instrumentation.settings import CaptureSettings
from model_sidecar_instrumentation.values import to_numpy

SLACK = 0.01
"""What rows of probabilities may add up to beside one."""
LOCAL_BACKENDS = ("SequentialBackend", "ThreadingBackend", "LokyBackend", "MultiprocessingBackend")
TRAINING = ("fit", "fit_predict", "fit_transform", "partial_fit", "score")
OVA = ("multiclassova", "multiclass_ova", "ova", "ovr")
"""Objectives of lightgbm whose probabilities are of one class each against the others, and do not add up to one."""


def classes_of(model: Any) -> Sequence[Any] | None:
    """`classes_` of a fitted classifier; of several outputs at once there are several, which are left out."""
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
    if _is_of_several(result):
        return outputs.of_several(result, getattr(model, "classes_", ()), sample, settings)
    if _has_many_labels(model, result):
        return outputs.outputs(to_numpy(result), sample, settings)
    return outputs.probabilities(result, classes_of(model), sample, settings)


def predict_log_proba(model: Any, result: Any, sample: Sample, settings: CaptureSettings) -> dict[str, Any]:
    exp = sys.modules["numpy"].exp
    found = [exp(one) for one in result] if _is_of_several(result) else exp(result)
    return predict_proba(model, found, sample, settings)


def decision_function(model: Any, result: Any, sample: Sample, settings: CaptureSettings) -> dict[str, Any]:
    last = final(model)
    if getattr(last, "decision_function_shape", None) == "ovo":
        return outputs.votes(result, classes_of(model), sample, settings)
    if getattr(last, "_estimator_type", None) == "outlier_detector" or _is_detector(last):
        return outputs.outliers(result, sample, settings)
    if _has_many_labels(model, None):
        return outputs.outputs(to_numpy(result), sample, settings)
    return outputs.margins(result, classes_of(model), sample, settings)


def score_samples(model: Any, result: Any, sample: Sample, settings: CaptureSettings) -> dict[str, Any]:
    return outputs.numbers(result, sample, settings)


def _is_of_several(result: Any) -> bool:
    """Whether these are probabilities of several targets, an array for each."""
    return isinstance(result, (list, tuple)) and bool(result) and getattr(result[0], "ndim", 0) == 2


def _is_detector(model: Any) -> bool:
    return any(kind.__name__ == "OutlierMixin" for kind in type(model).__mro__)


def _has_many_labels(model: Any, proba: Any) -> bool:
    """Whether a row may have several labels or none: the columns are then no alternatives."""
    last = final(model)
    kind = getattr(getattr(last, "_label_binarizer", None), "y_type_", "")
    if getattr(last, "multilabel_", False) or kind == "multilabel-indicator" or _holds_several(model):
        return True
    array = None if proba is None else to_numpy(proba)
    if array is None or array.ndim != 2 or array.shape[1] < 2 or getattr(last, "objective", None) in OVA:
        return False
    return bool((abs(array[:64].sum(axis=1) - 1) > SLACK).any())


def _holds_several(model: Any) -> bool:
    classes = getattr(model, "classes_", None)
    return isinstance(classes, (list, tuple)) and bool(classes) and hasattr(classes[0], "shape")


def final(model: Any) -> Any:
    """The estimator at the end of a pipeline or a search, which decides what the results look like."""
    for _ in range(8):
        steps = getattr(model, "steps", None)
        inner = steps[-1][1] if isinstance(steps, list) and steps else getattr(model, "best_estimator_", None)
        if inner is None or isinstance(inner, str):
            break
        model = inner
    return model


OPERATIONS = {
    f"sklearn.{name}": Operation(name, argument("X"), result, names_of)
    for name, result in {
        "predict": predict,
        "predict_proba": predict_proba,
        "predict_log_proba": predict_log_proba,
        "decision_function": decision_function,
        "score_samples": score_samples,
    }.items()
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
    """joblib's, pickle's (which cloudpickle's is), dill's and skops's; what they load is often no model."""
    wrap_function(module, "load", loading("sklearn.predict", file_of("filename", "file")))


class ScikitLearnInstrumentor(FrameworkInstrumentor):
    operations: ClassVar[Operations] = OPERATIONS
    hooks: ClassVar[Hooks] = {
        "sklearn.base": _cover_estimators,
        "joblib.parallel": _cover_parallel,
        **dict.fromkeys(("joblib", "pickle", "dill", "skops.io"), _cover_load),
        **evaluation.HOOKS,
    }
