"""Which model an object is: its name and version. What loaders tell of it (MLflow, a file) is remembered for as long as
the object lives, without keeping it alive."""

from __future__ import annotations

import os
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from model_sidecar_instrumentation import event
from model_sidecar_instrumentation.settings import CaptureSettings
from model_sidecar_instrumentation.values import text

_MANY = 1000


@dataclass(frozen=True)
class Known:
    """What a loader or a framework's own metadata says of a model; empty where it does not say."""

    name: str = ""
    version: str = ""
    seconds: float | None = None
    """How long loading took."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """What a framework's module looked up once for this object."""


@dataclass
class Turn:
    """When a model is to be announced again, by `time.monotonic()`."""

    at: float = 0.0


@dataclass(frozen=True)
class Identity:
    attributes: Mapping[str, Any]
    """As `event.attributes`."""
    known: Known
    turn: Turn = field(default_factory=Turn, compare=False)

    @property
    def name(self) -> str:
        return str(self.attributes["ml.model.name"])


class ByObject:
    """A bounded map from living objects, compared by identity; what cannot be weakly referred to is not kept."""

    def __init__(self) -> None:
        self._entries: dict[int, tuple[weakref.ref[Any], Any]] = {}

    def get(self, key: Any) -> Any | None:
        found = self._entries.get(id(key))
        return found[1] if found is not None and found[0]() is key else None

    def put(self, key: Any, value: Any) -> None:
        number, entries = id(key), self._entries
        if len(entries) >= _MANY:
            return
        try:
            entries[number] = (weakref.ref(key, lambda _: entries.pop(number, None)), value)
        except TypeError:
            return

    def drop(self, key: Any) -> None:
        if self.get(key) is not None:
            self._entries.pop(id(key), None)

    def __len__(self) -> int:
        return len(self._entries)

    def living(self) -> list[Any]:
        """Values of the objects that are still there."""
        return [value for ref, value in list(self._entries.values()) if ref() is not None]


class Names:
    """What `SIDECAR_MODEL_NAME` makes of the models of a process. A list `own=name,...` names each by its own name. One
    name alone is the name of the first model; what comes beside it is told apart as `name.own`."""

    def __init__(self, settings: CaptureSettings) -> None:
        self._settings = settings
        self._first: str | None = None

    def of(self, own: str, version: str) -> tuple[str, str]:
        """Name and version of the model that is called `own` by its file, registry or class."""
        settings = self._settings
        if settings.model_names:
            found = settings.model_names.get(own)
            return (found or own), (settings.model_version or version if len(settings.model_names) == 1 else version)
        if self._first is None:
            self._first = own
        if own == self._first:
            return settings.model_name or own, settings.model_version or version
        return (f"{settings.model_name}.{own}" if settings.model_name else own), version


def identify(
    model: Any, known: Known, framework: str, settings: CaptureSettings, names: Names | None = None
) -> Identity:
    """SIDECAR_MODEL_NAME and _VERSION, else what is known, else the class of the model or of what is inside of it."""
    own = known.name or class_name(model)
    name, version = (names or Names(settings)).of(own, known.version)
    limit = settings.text
    return Identity(event.attributes(text(name, limit), text(version, limit), text(framework, limit)), known)


def class_name(model: Any) -> str:
    """The class; of a pipeline or a search the one of the estimator that predicts at its end."""
    inner = model
    for _ in range(8):
        steps = _own(inner, "steps")
        nested = steps[-1][1] if isinstance(steps, list) and steps and len(steps[-1]) > 1 else None
        nested = nested or _own(inner, "best_estimator_")
        if nested is None or isinstance(nested, str):
            break
        inner = nested
    return type(inner).__name__


def _own(model: Any, name: str) -> Any:
    """An attribute that the object itself holds; properties of foreign classes are not run."""
    return getattr(model, "__dict__", {}).get(name)


def framework_of(model: Any) -> str:
    """The top-level package of the nearest class that is not the app's own: xgboost for an XGBClassifier, sklearn for a
    subclass in the app of an estimator of scikit-learn."""
    for kind in type(model).__mro__:
        package = kind.__module__.partition(".")[0]
        if package in FRAMEWORKS:
            return FRAMEWORKS[package]
    return type(model).__module__.partition(".")[0]


FRAMEWORKS = {
    "sklearn": "sklearn",
    "xgboost": "xgboost",
    "lightgbm": "lightgbm",
    "catboost": "catboost",
    "onnxruntime": "onnxruntime",
    "torch": "torch",
    "keras": "keras",
    "tf_keras": "keras",
    "transformers": "transformers",
    "mlflow": "mlflow",
}


def file_stem(path: Any) -> str:
    """The name of a model's file without folder and endings; empty for what is no path."""
    if not isinstance(path, (str, os.PathLike)):
        return ""
    return os.path.basename(os.fspath(path)).partition(".")[0] if not isinstance(os.fspath(path), bytes) else ""
