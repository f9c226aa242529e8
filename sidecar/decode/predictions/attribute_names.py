"""Which attributes of a span or log record say what about a prediction. Data only; the first that is there counts.

OpenTelemetry has no convention for predictions of classical models, so what serving programs write today is taken.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sidecar.decode.otlp.tags import KEY, LOG_EVENT_NAME, SPAN_NAME, VALUE
from sidecar.decode.otlp.wire import put_bytes

VERSION = 2

EVENT = "ml.prediction"
LOADED = "ml.model.loaded"
"""Names of the events of the zero-code instrumentation."""
FRAMEWORK = "ml.framework"
"""Only the zero-code instrumentation sets it: its event says what such a span or record says."""

ALIASES: dict[str, tuple[str, ...]] = {
    "model": (
        "ml.model.name", "model.name", "model_name", "model", "model_id", "inferenceservicename",
        "gen_ai.response.model", "gen_ai.request.model", "llm.response.model_name", "llm.model_name",
        "mlflow.llm.model",
    ),
    "version": ("ml.model.version", "model.version", "model_version", "modelversion", "version"),
    "class": ("ml.prediction.class", "predicted_class", "predicted_label", "prediction_label", "label"),
    "score": ("ml.prediction.score", "prediction_score", "confidence", "probability"),
    "value": ("ml.prediction.value", "prediction_value", "predicted_value"),
    "prediction": ("prediction", "predictions"),
    "rows": ("ml.prediction.count", "batch_size"),
    "seconds": ("ml.prediction.duration", "latency_seconds", "duration_seconds", "inference_seconds"),
    "milliseconds": ("latency_ms", "duration_ms", "inference_ms", "inference_time_ms"),
    "stage": ("ml.stage", "stage"),
    "error": ("error.type", "exception.type"),
}  # fmt: skip
"""Concept -> attributes. `class` is a label, `value` a number, `prediction` the one or the other by its type: text and
integers are classes, numbers with a point are values, an array is a batch. What became of a prediction later (its id,
the truth) has a table of its own, `label_names`."""

MEANINGS: dict[str, str] = {
    "model": "Name of the model. A record that names none is no prediction.",
    "version": "Version of the model.",
    "class": "Predicted class of one row.",
    "score": "Probability of the predicted class.",
    "value": "Predicted number of one row.",
    "prediction": "A class (text, integer) or a value (number with a point) by its type; an array is a batch of rows.",
    "rows": "Rows of the call; without it as many as there are answers.",
    "seconds": "Seconds that the model took. A span without it took its own duration.",
    "milliseconds": "The same in milliseconds.",
    "stage": "preprocess, inference (where nothing is said), postprocess or queue. A span that is named so is one too.",
    "error": "Class of the exception: the prediction failed. A failed span or an ERROR record is one too.",
}
"""Concept -> what it is, for the reference."""

STAGES = ("preprocess", "inference", "postprocess", "queue")
"""A span of one of these names, too, is a stage."""

EVENT_MARKS = tuple(put_bytes(LOG_EVENT_NAME >> 3, name.encode()) for name in (EVENT, LOADED))
"""LogRecord.event_name on the wire. A logs request in which neither stands has no event of the instrumentation."""
_TELLING = ("class", "score", "value", "prediction")


def _key(name: str) -> bytes:
    """A KeyValue's key as it stands on the wire, with the tag of the value behind it."""
    return put_bytes(KEY >> 3, name.encode()) + bytes((VALUE,))


def marks(names: Mapping[str, Sequence[str]]) -> tuple[bytes, ...]:
    """For a table of names: a logs request in which none of these stands has no prediction, and is not read for
    one."""
    return (*(_key(name) for concept in _TELLING for name in names[concept]), *EVENT_MARKS)


def span_marks(names: Mapping[str, Sequence[str]]) -> tuple[bytes, ...]:
    """The same for a trace request."""
    found = (_key(name) for concept in (*_TELLING, "stage") for name in names[concept])
    return (*found, *(put_bytes(SPAN_NAME >> 3, name.encode()) for name in STAGES))


MARKS = marks(ALIASES)
SPAN_MARKS = span_marks(ALIASES)

MAX_FURTHER = 16
"""Further names of one concept."""
MAX_NAME_BYTES = 127
"""Bytes of a name: its length is one byte on the wire."""


def aliases(extra: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """`ALIASES` with further names behind the built-in ones of each concept. A name that a concept has already stays
    where it is. Raises ValueError for a concept that there is not, for too many names, and for a name that is empty,
    too long, or another concept's."""
    names = dict(ALIASES)
    for concept, further in extra.items():
        if concept not in ALIASES:
            raise ValueError(f"no concept is called {concept!r}; there are {', '.join(ALIASES)}")
        if len(further) > MAX_FURTHER:
            raise ValueError(f"{concept}: {len(further)} further names; at most {MAX_FURTHER} are read")
        for name in further:
            if not 0 < len(name.encode()) <= MAX_NAME_BYTES:
                raise ValueError(f"{concept}: {name!r} is no attribute's name of 1 to {MAX_NAME_BYTES} bytes")
        names[concept] = tuple(dict.fromkeys([*ALIASES[concept], *further]))
    _check_distinct(names)
    return names


def _check_distinct(names: Mapping[str, Sequence[str]]) -> None:
    owner: dict[str, str] = {}
    for concept, own in names.items():
        for name in own:
            if owner.setdefault(name, concept) != concept:
                raise ValueError(f"{name!r} cannot be {owner[name]} and {concept}")
