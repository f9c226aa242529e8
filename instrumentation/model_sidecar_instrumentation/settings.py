"""What is captured, from the environment of the model's process; read once, when the first instrumentor starts."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field

_log = logging.getLogger(__name__)

EXIT_SECONDS = 1.0
WHAT = ("features", "predictions", "none")


@dataclass(frozen=True)
class CaptureSettings:
    """Caps of one event. Bytes of an event are bounded by `cells` times (`text` or 8)."""

    features: bool = True
    """Feature values are in the event."""
    predictions: bool = True
    """Predicted values, classes and scores are in the event. Without them an event has counts and times only."""
    rows: int = 100
    """At most this many rows of one call; of more, one in so many is taken, evenly, from a random start."""
    one_in: int = 1
    """At most one row in this many."""
    columns: int = 256
    """At most this many features of one call."""
    cells: int = 2000
    """At most this many feature values of one call: wide rows are thinned further."""
    classes: int = 100
    """At most this many classes are counted by name in one event; columns of scores: a tenth of it."""
    text: int = 256
    """Texts are cut to this many characters."""
    model_name: str = ""
    model_names: Mapping[str, str] = field(default_factory=dict)
    """Name by which a model would be known -> the one that it gets."""
    model_version: str = ""
    class_names: tuple[str, ...] = ()
    """Names of the classes of a network whose output has one column for each; its rows are then read as logits."""


def read(environ: Mapping[str, str] = os.environ) -> CaptureSettings:
    """`SIDECAR_CAPTURE` (features, predictions or none), `SIDECAR_CAPTURE_ROWS`, `_ONE_IN`, `_COLUMNS`, `_CELLS`,
    `SIDECAR_MODEL_NAME` (a name, or `own=name,...`), `SIDECAR_MODEL_VERSION` and `SIDECAR_MODEL_CLASSES`
    (comma-separated). An invalid value is warned of and its default used: a slip in a variable must not stop the app.
    """
    what = environ.get("SIDECAR_CAPTURE", "").strip().lower() or "features"
    if what not in WHAT:
        _log.warning("SIDECAR_CAPTURE=%s is none of %s: capturing predictions only", what, ", ".join(WHAT))
        what = "predictions"
    default = CaptureSettings()
    name = environ.get("SIDECAR_MODEL_NAME", "").strip()
    names = _names(name)
    return CaptureSettings(
        features=what == "features",
        predictions=what != "none",
        rows=_number(environ, "SIDECAR_CAPTURE_ROWS", default.rows, 0, 10_000),
        one_in=_number(environ, "SIDECAR_CAPTURE_ONE_IN", default.one_in, 1, 1_000_000),
        columns=_number(environ, "SIDECAR_CAPTURE_COLUMNS", default.columns, 0, 10_000),
        cells=_number(environ, "SIDECAR_CAPTURE_CELLS", default.cells, 0, 1_000_000),
        model_name="" if names else name[: default.text],
        model_names=names,
        model_version=environ.get("SIDECAR_MODEL_VERSION", "").strip()[: default.text],
        class_names=tuple(c.strip() for c in environ.get("SIDECAR_MODEL_CLASSES", "").split(",") if c.strip()),
    )


def exit_seconds(environ: Mapping[str, str] = os.environ) -> float:
    """`SIDECAR_EXIT_TIMEOUT`: seconds that a process may be kept at its end to send what waits; 0 for not at all."""
    text = environ.get("SIDECAR_EXIT_TIMEOUT", "").strip()
    if not text:
        return EXIT_SECONDS
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 600:
        _log.warning("invalid SIDECAR_EXIT_TIMEOUT: %s; expected seconds from 0 to 600; using %g", text, EXIT_SECONDS)
        return EXIT_SECONDS
    return seconds


def _names(text: str) -> dict[str, str]:
    """`own=name,own=name`; empty where there is no `=`."""
    pairs = [part.partition("=") for part in text.split(",")] if "=" in text else []
    return {own.strip(): name.strip() for own, _, name in pairs if own.strip() and name.strip()}


def _number(environ: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    text = environ.get(name, "").strip()
    if not text:
        return default
    try:
        value = int(text)
    except ValueError:
        value = low - 1
    if not low <= value <= high:
        _log.warning("%s=%s is no number from %d to %d: using %d", name, text, low, high, default)
        return default
    return value
