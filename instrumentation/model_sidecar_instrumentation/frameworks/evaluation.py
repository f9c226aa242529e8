"""Functions that ask a model many times to learn something of the model: how good it is, what it depends on. What they
have it predict is no prediction of the app's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from model_sidecar_instrumentation.capture import run_quiet
from model_sidecar_instrumentation.patching import cover, cover_subclasses, wrap_function, wrapped

FUNCTIONS: Mapping[str, tuple[str, ...]] = {
    "sklearn.model_selection._validation": (
        "cross_validate",
        "cross_val_score",
        "cross_val_predict",
        "learning_curve",
        "validation_curve",
        "permutation_test_score",
    ),
    "sklearn.inspection._permutation_importance": ("permutation_importance",),
    "sklearn.inspection._partial_dependence": ("partial_dependence",),
    # What scorers and displays ask a model with, since scikit-learn 1.3; predictions of meta-estimators are inside of
    # their own calls already.
    "sklearn.utils._response": ("_get_response_values", "_get_response_values_binary"),
}
"""Module -> functions. They are replaced in the module that defines them before others import them from there."""
STAGED = ("staged_predict", "staged_predict_proba", "staged_decision_function", "staged_score")
METHODS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "sklearn.metrics._scorer": {"_BaseScorer": ("__call__",), "_MultimetricScorer": ("__call__",)},
    # What the members of an ensemble answer is a part of its answers, stage by stage or as columns.
    "sklearn.ensemble._weight_boosting": dict.fromkeys(("AdaBoostClassifier", "AdaBoostRegressor"), STAGED),
    "sklearn.ensemble._gb": dict.fromkeys(("GradientBoostingClassifier", "GradientBoostingRegressor"), STAGED),
    "sklearn.ensemble._voting": dict.fromkeys(("VotingClassifier", "VotingRegressor"), ("transform",)),
    "sklearn.ensemble._stacking": dict.fromkeys(("StackingClassifier", "StackingRegressor"), ("transform",)),
    "lime.lime_tabular": {"LimeTabularExplainer": ("explain_instance",)},
    "lime.lime_text": {"LimeTextExplainer": ("explain_instance",)},
    "lime.lime_image": {"LimeImageExplainer": ("explain_instance",)},
}
CLASS_METHODS: Mapping[str, Mapping[str, str]] = {
    "sklearn.metrics._plot.confusion_matrix": {"ConfusionMatrixDisplay": "from_estimator"},
    "sklearn.metrics._plot.regression": {"PredictionErrorDisplay": "from_estimator"},
    "sklearn.inspection._plot.decision_boundary": {"DecisionBoundaryDisplay": "from_estimator"},
}
EXPLAINING = ("__init__", "__call__", "shap_values")
"""Methods of shap's explainers."""


def quiet(original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return run_quiet(original, *args, **kwargs)


def functions(*names: str) -> Callable[[Any], None]:
    """A hook that makes functions of a module quiet."""

    def hook(module: Any) -> None:
        for name in names:
            wrap_function(module, name, quiet)

    return hook


def _methods(classes: Mapping[str, tuple[str, ...]]) -> Callable[[Any], None]:
    def hook(module: Any) -> None:
        for kind, names in classes.items():
            if hasattr(module, kind):
                cover(getattr(module, kind), {}, names)

    return hook


def class_methods(classes: Mapping[str, str]) -> Callable[[Any], None]:
    """A hook that makes class methods (class -> method) of a module quiet."""

    def hook(module: Any) -> None:
        for name, method in classes.items():
            kind = getattr(module, name, None)
            found = getattr(kind, "__dict__", {}).get(method)
            if isinstance(found, classmethod):
                setattr(kind, method, classmethod(wrapped(found.__func__, quiet)))

    return hook


def _cover_explainers(module: Any) -> None:
    cover_subclasses(module.Explainer, {}, EXPLAINING)


HOOKS: Mapping[str, Callable[[Any], None]] = {
    **{module: functions(*names) for module, names in FUNCTIONS.items()},
    **{module: _methods(classes) for module, classes in METHODS.items()},
    **{module: class_methods(classes) for module, classes in CLASS_METHODS.items()},
    "shap.explainers._explainer": _cover_explainers,
}
