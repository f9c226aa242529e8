"""How much each feature counts in a fitted model, by the model's own account: the gain or impurity that trees won with
it, or the size of its coefficients. Shares of one, so that models of all kinds can be ranked alike.

Nothing is computed while the app waits: `Importance` is read by the exporter's thread. Forests are read tree by tree;
their own property would start the app's thread pool for it.
"""

from __future__ import annotations

import math
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from model_sidecar_instrumentation.values import plain, to_numpy

MOST = 100
"""At most so many features are reported, those that count most."""
_NESTED = 8


class Importance(Mapping[str, float]):
    """Name -> share, largest first; empty where the model does not say, or is gone. Computed when `items` is called."""

    __slots__ = ("_limit", "_model", "_names")

    def __init__(self, model: Any, names: Callable[[Any], Sequence[Any] | None], limit: int) -> None:
        """`names`: model -> names of the features it is given. `limit`: characters of a name. Raises `TypeError` for an
        object that cannot be weakly referred to."""
        self._model, self._names, self._limit = weakref.ref(model), names, limit

    def __getitem__(self, name: str) -> float:
        return float(dict(self.items())[name])

    def __iter__(self) -> Iterator[str]:
        return iter(dict(self.items()))

    def __len__(self) -> int:
        return len(dict(self.items()))

    def items(self) -> Any:
        """What is raised in here would cost the whole batch that is being sent."""
        try:
            model = self._model()
            found = {} if model is None else shares(model, self._names(model))
            return [(str(plain(name, self._limit)), share) for name, share in found.items()]
        except Exception:
            return []


def shares(model: Any, names: Sequence[Any] | None) -> dict[str, float]:
    """Name -> share of the `MOST` features that count most; of a pipeline its inputs. Empty where nothing is known."""
    reported = _reported(_last(model))
    if reported is None:
        return {}
    inputs, sizes = reported
    columns = _columns_of(model, names, len(sizes)) if inputs is None else inputs
    if len(columns) != len(sizes):
        return {}
    summed: dict[str, float] = {}
    for name, size in zip(columns, sizes):
        size = abs(float(size))
        if math.isfinite(size):
            summed[name] = summed.get(name, 0.0) + size
    total = sum(summed.values())
    if not total or not math.isfinite(total):
        return {}
    ranked = sorted(summed.items(), key=lambda pair: -pair[1])[:MOST]
    return {name: size / total for name, size in ranked if size}


def _reported(model: Any) -> tuple[list[str] | None, Sequence[float]] | None:
    """(names, sizes) of the estimator that predicts; no names where they are those of the columns it is given."""
    if hasattr(model, "get_score") and hasattr(model, "num_features"):  # xgboost.Booster
        scores: Mapping[str, Any] = model.get_score(importance_type="gain")
        return list(scores), [float(sum(s) if isinstance(s, list) else s) for s in scores.values()]
    booster = _own(model, "_Booster") or model
    if hasattr(booster, "feature_importance") and hasattr(booster, "feature_name"):  # lightgbm
        return list(map(str, booster.feature_name())), booster.feature_importance("gain")
    if any(kind.__name__ == "BaseForest" for kind in type(model).__mro__):
        return None, _of_trees(model.estimators_)
    sizes = getattr(model, "feature_importances_", None)
    if sizes is None:
        sizes = getattr(model, "coef_", None)
    array = None if sizes is None else to_numpy(sizes.toarray() if hasattr(sizes, "toarray") else sizes)
    if array is None or array.dtype.kind not in "fiu" or not array.size or array.ndim > 2:
        return None
    return None, abs(array).mean(axis=0).tolist() if array.ndim == 2 else array.tolist()


def _of_trees(trees: Sequence[Any]) -> list[float]:
    """The mean of the trees that have more than a root, as scikit-learn's forests have it."""
    summed: list[float] = []
    for tree in trees:
        time.sleep(0)
        if tree.tree_.node_count > 1:
            one = tree.feature_importances_.tolist()
            summed = [a + b for a, b in zip(summed, one)] if summed else one
    return summed


def _columns_of(model: Any, names: Sequence[Any] | None, width: int) -> list[str]:
    """The input that each column of the estimator at the end was made from."""
    steps = _steps(model)
    before = getattr(steps, "n_features_in_", None) if steps is not None else None
    given = [str(name) for name in names] if names is not None else [f"f{n}" for n in range(before or width)]
    if steps is None or len(steps.steps) < 2:
        return given
    made = steps[:-1].get_feature_names_out(given)
    known = set(given)
    return [_origin(str(name), known) for name in made]


def _origin(column: str, inputs: set[str]) -> str:
    """`city` of `onehot__city_Paris`: what transformers make of a name is a prefix with `__`, a suffix with `_`. The
    column itself where no input is recognised, as with principal components."""
    for name in (column, column.partition("__")[2]):
        while name:
            if name in inputs:
                return name
            name = name.rpartition("_")[0]
    return column


def _steps(model: Any) -> Any:
    for _ in range(_NESTED):
        if isinstance(_own(model, "steps"), list):
            return model
        model = _own(model, "best_estimator_")
        if model is None:
            break
    return None


def _last(model: Any) -> Any:
    for _ in range(_NESTED):
        steps = _own(model, "steps")
        inner = steps[-1][1] if isinstance(steps, list) and steps else _own(model, "best_estimator_")
        if inner is None or isinstance(inner, str):
            break
        model = inner
    return model


def _own(model: Any, name: str) -> Any:
    return getattr(model, "__dict__", {}).get(name)
