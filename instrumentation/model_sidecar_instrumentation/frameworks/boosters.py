"""xgboost, lightgbm and catboost. The estimators of the first two are scikit-learn's where that is installed, and are
covered with it; here are those that are not, and the boosters themselves."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from model_sidecar_instrumentation import outputs
from model_sidecar_instrumentation.capture import Operation, capture, run_quiet
from model_sidecar_instrumentation.frameworks import scikit_learn
from model_sidecar_instrumentation.identity import Known
from model_sidecar_instrumentation.instrumentor import (
    FrameworkInstrumentor,
    Hooks,
    Operations,
    argument,
    filled,
    initialised,
)
from model_sidecar_instrumentation.model_file import of_file
from model_sidecar_instrumentation.patching import cover, cover_subclasses, wrap_function
from model_sidecar_instrumentation.sample import Sample
from model_sidecar_instrumentation.settings import CaptureSettings
from model_sidecar_instrumentation.values import to_numpy

RAW = ("output_margin", "pred_leaf", "pred_contribs", "pred_interactions", "raw_score", "pred_contrib")
"""Options of a prediction that make its result something else than a prediction."""


def _names(booster: Any) -> Sequence[Any] | None:
    names = getattr(booster, "feature_names", None)
    return names() if callable(names) else names


def _lightgbm_names(booster: Any) -> Sequence[Any] | None:
    return list(booster.feature_name())


def _is_raw(model: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
    return any(kwargs.get(name) for name in RAW)


def _is_raw_catboost(model: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
    return (args[1] if len(args) > 1 else kwargs.get("prediction_type")) in ("RawFormulaVal", "Exponent")


def _by_objective(objective: str, result: Any, sample: Sample, settings: CaptureSettings) -> dict[str, Any]:
    """A booster answers numbers whose meaning its objective gives."""
    array = to_numpy(result)
    if array is None:
        return {}
    if objective in ("binary:logistic", "binary", "cross_entropy", "xentropy"):
        return outputs.probabilities(array, None, sample, settings)
    if objective in ("multi:softprob", "multiclass", "softmax", "multiclassova") and array.ndim == 2:
        return outputs.probabilities(array, None, sample, settings)
    if objective in ("multi:softmax", "binary:hinge"):
        return outputs.classified(array.reshape(-1).astype("int64"), sample, settings)
    return outputs.predicted(array, None, sample, settings)


def _xgboost_known(booster: Any) -> Known:
    """The objective stands in the configuration, which costs some milliseconds to write out: once."""
    learner = json.loads(booster.save_config())["learner"]
    return Known(extra={"objective": learner["objective"]["name"]})


def _xgboost_result(booster: Any, result: Any, sample: Sample, settings: CaptureSettings) -> dict[str, Any]:
    return _by_objective(capture().extra(booster).get("objective", ""), result, sample, settings)


def _lightgbm_result(booster: Any, result: Any, sample: Sample, settings: CaptureSettings) -> dict[str, Any]:
    objective = str(booster.params.get("objective", "")).split(" ")[0]
    return _by_objective(objective, result, sample, settings)


def _cover_xgboost(module: Any) -> None:
    cover(module.Booster, {"predict": "xgboost.predict", "inplace_predict": "xgboost.inplace_predict"})
    wrap_function(module.Booster, "load_model", filled("xgboost.predict", "fname"))


def _cover_xgboost_estimators(module: Any) -> None:
    cover_subclasses(module.XGBModel, scikit_learn.METHODS, scikit_learn.TRAINING)
    wrap_function(module.XGBModel, "load_model", filled("sklearn.predict", "fname"))


def _cover_training(module: Any) -> None:
    """`train` and `cv` predict on the way, to see how far they are."""
    for name in ("train", "cv"):
        wrap_function(module, name, lambda original, args, kwargs: run_quiet(original, *args, **kwargs))


def _lightgbm_file(model: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Known:
    return of_file(_lightgbm_source(args, kwargs))


def _lightgbm_source(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    return args[2] if len(args) > 2 else kwargs.get("model_file")


def _cover_lightgbm(module: Any) -> None:
    cover(module.Booster, {"predict": "lightgbm.predict"})
    load = initialised("lightgbm.predict", _lightgbm_file)

    def init(original: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        from_file = _lightgbm_source(args[1:], kwargs) is not None
        return load(original, args, kwargs) if from_file else original(*args, **kwargs)

    wrap_function(module.Booster, "__init__", init)


def _cover_lightgbm_estimators(module: Any) -> None:
    cover_subclasses(module.LGBMModel, scikit_learn.METHODS, scikit_learn.TRAINING)


def _catboost_names(model: Any) -> Sequence[Any] | None:
    names = getattr(model, "feature_names_", None)
    return list(names) if names else None


CATBOOST_TRAINING = (
    "fit",
    "score",
    "eval_metrics",
    "calc_feature_statistics",
    "get_feature_importance",
    "grid_search",
    "randomized_search",
    "select_features",
)


def _catboost_rows(model: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """A list, array or Series of values, and not of rows, is one object."""
    data = argument("data", "X")(model, args, kwargs)
    return [data] if _is_one(data) else data


def _is_one(data: Any) -> bool:
    if isinstance(data, (list, tuple)):
        return bool(data) and (isinstance(data[0], (str, bytes)) or not hasattr(data[0], "__len__"))
    return getattr(data, "ndim", 0) == 1


def _one_answer(result: Any, sample: Sample) -> Any:
    """The answer for one object, which has no dimension of rows, with one."""
    numpy = sys.modules["numpy"]
    array = numpy.asarray(result)
    is_bare = sample.rows == 1 and (array.ndim == 0 or array.shape[0] != 1)
    return array.reshape(1, -1) if is_bare else result


def _catboost_predict(model: Any, result: Any, sample: Sample, settings: CaptureSettings) -> dict[str, Any]:
    """Labels or numbers; with `prediction_type="Probability"` a column for each class."""
    answer = _one_answer(result, sample)
    classes = scikit_learn.classes_of(model)
    if classes and getattr(answer, "ndim", 0) == 2 and answer.shape[1] == len(classes) and answer.dtype.kind == "f":
        return scikit_learn.predict_proba(model, answer, sample, settings)
    return scikit_learn.predict(model, answer, sample, settings)


def _catboost_proba(model: Any, result: Any, sample: Sample, settings: CaptureSettings) -> dict[str, Any]:
    return scikit_learn.predict_proba(model, _one_answer(result, sample), sample, settings)


def _catboost_log_proba(model: Any, result: Any, sample: Sample, settings: CaptureSettings) -> dict[str, Any]:
    return scikit_learn.predict_log_proba(model, _one_answer(result, sample), sample, settings)


def _cover_catboost(module: Any) -> None:
    methods = {name: f"catboost.{name}" for name in ("predict", "predict_proba", "predict_log_proba")}
    cover_subclasses(module.CatBoost, methods, CATBOOST_TRAINING)
    wrap_function(module.CatBoost, "load_model", filled("catboost.predict", "fname"))


class XGBoostInstrumentor(FrameworkInstrumentor):
    operations: ClassVar[Operations] = {
        **scikit_learn.OPERATIONS,
        "xgboost.predict": Operation("predict", argument("data"), _xgboost_result, _names, _xgboost_known, _is_raw),
        "xgboost.inplace_predict": Operation(
            "inplace_predict", argument("data"), _xgboost_result, _names, _xgboost_known, _is_raw
        ),
    }
    hooks: ClassVar[Hooks] = {
        "xgboost.core": _cover_xgboost,
        "xgboost.sklearn": _cover_xgboost_estimators,
        "xgboost.training": _cover_training,
    }


class LightGBMInstrumentor(FrameworkInstrumentor):
    operations: ClassVar[Operations] = {
        **scikit_learn.OPERATIONS,
        "lightgbm.predict": Operation("predict", argument("data"), _lightgbm_result, _lightgbm_names, skip=_is_raw),
    }
    hooks: ClassVar[Hooks] = {
        "lightgbm.basic": _cover_lightgbm,
        "lightgbm.sklearn": _cover_lightgbm_estimators,
        "lightgbm.engine": _cover_training,
    }


class CatBoostInstrumentor(FrameworkInstrumentor):
    operations: ClassVar[Operations] = {
        f"catboost.{name}": Operation(name, _catboost_rows, result, _catboost_names, skip=_is_raw_catboost)
        for name, result in {
            "predict": _catboost_predict,
            "predict_proba": _catboost_proba,
            "predict_log_proba": _catboost_log_proba,
        }.items()
    }
    hooks: ClassVar[Hooks] = {"catboost.core": _cover_catboost}
