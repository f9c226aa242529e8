"""xgboost, lightgbm and catboost. The estimators of the first two are scikit-learn's where that is installed, and are
covered with it; here are those that are not, and the boosters themselves."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from model_sidecar_instrumentation import outputs
from model_sidecar_instrumentation.capture import Operation, capture, run_quiet
from model_sidecar_instrumentation.frameworks import scikit_learn
from model_sidecar_instrumentation.identity import Known, file_stem
from model_sidecar_instrumentation.instrumentor import FrameworkInstrumentor, Hooks, Operations, argument, initialised
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
    return any(kwargs.get(name) for name in RAW) or kwargs.get("prediction_type") in ("RawFormulaVal", "Exponent")


def _by_objective(objective: str, result: Any, sample: Sample, settings: CaptureSettings) -> dict[str, Any]:
    """A booster answers numbers whose meaning its objective tells."""
    array = to_numpy(result)
    if array is None:
        return {}
    if objective in ("binary:logistic", "binary", "cross_entropy", "xentropy"):
        return outputs.probabilities(array, None, sample, settings)
    if objective in ("multi:softprob", "multiclass", "softmax", "multiclassova") and array.ndim == 2:
        return outputs.probabilities(array, None, sample, settings)
    if objective == "multi:softmax":
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


def _cover_xgboost_estimators(module: Any) -> None:
    cover_subclasses(module.XGBModel, scikit_learn.METHODS, scikit_learn.TRAINING)


def _cover_training(module: Any) -> None:
    """`train` and `cv` predict on the way, to see how far they are."""
    for name in ("train", "cv"):
        wrap_function(module, name, lambda original, args, kwargs: run_quiet(original, *args, **kwargs))


def _lightgbm_file(model: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Known:
    return Known(file_stem(kwargs.get("model_file")))


def _cover_lightgbm(module: Any) -> None:
    cover(module.Booster, {"predict": "lightgbm.predict"})
    load = initialised("lightgbm.predict", _lightgbm_file)

    def init(original: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return load(original, args, kwargs) if kwargs.get("model_file") is not None else original(*args, **kwargs)

    wrap_function(module.Booster, "__init__", init)


def _cover_lightgbm_estimators(module: Any) -> None:
    cover_subclasses(module.LGBMModel, scikit_learn.METHODS, scikit_learn.TRAINING)


def _catboost_names(model: Any) -> Sequence[Any] | None:
    names = getattr(model, "feature_names_", None)
    return list(names) if names else None


def _cover_catboost(module: Any) -> None:
    cover_subclasses(
        module.CatBoost,
        {"predict": "catboost.predict", "predict_proba": "catboost.predict_proba"},
        ("fit",),
    )


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
        "catboost.predict": Operation("predict", argument("data"), scikit_learn.predict, _catboost_names, skip=_is_raw),
        "catboost.predict_proba": Operation(
            "predict_proba", argument("X", "data"), scikit_learn.predict_proba, _catboost_names
        ),
    }
    hooks: ClassVar[Hooks] = {"catboost.core": _cover_catboost}
