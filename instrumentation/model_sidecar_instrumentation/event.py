"""The event `ml.prediction`: what one prediction call looks like on the wire (version 1).

An OTLP log record with `event_name` = `ml.prediction`, severity INFO (ERROR if the call raised), the trace context of
the call's span, and as time the end of the call. Log records are not sampled by the head sampling of traces.

Attributes:

    ml.model.name           text: SIDECAR_MODEL_NAME, else the name in MLflow or of the model's file, else its class
    ml.model.version        text: of the registry, run, folder or file's content; absent where nothing is known
    ml.framework            text: top-level package of the model's class (sklearn, xgboost, ...)
    ml.operation            text: the method (predict, predict_proba, run, ...)
    ml.stage                text: inference
    ml.prediction.count     int: rows predicted by this call. 0 if it raised, and for a repeat (see `counted`)
    ml.prediction.duration  double: seconds that the call took
    error.type              text: class of the exception, only if the call raised

Body: a map. Columns are arrays of equal length `kept`, in the order of the rows.

    schema     int: 1
    rows       int: rows that were given to the model; absent if that cannot be known
    kept       int: rows that the columns have
    first      int: index of the first kept row; row i of the columns is row first + i * one_in of the call
    one_in     int: one row in so many is kept (1 = all); each row had the same probability
    counted    bool: false if another method of the same model was asked for the same rows before, within the trace or
               some seconds (`predict` after `predict_proba`): the columns complete that event, and count nothing
    features   map: name -> array of double, int, bool, text or empty (missing). Unnamed features are f0, f1, ...
    features_left_out  int: features beyond the cap, absent if none
    class      array of text: the predicted class
    class_counts  map: class as text -> int, over all rows of the call, not only the kept ones; absent if there are more
               classes than the cap
    score      array of double in 0..1: the probability of the predicted class
    scores     map: class as text -> array of double in 0..1, at most a tenth of the cap of classes
    value      array of double, int or empty: the predicted number
    decision   array of double: the margin of a two-class decision function (positive: the second class)
    outputs    map: name -> array: outputs whose meaning cannot be known

With SIDECAR_CAPTURE=predictions there are no `features`; with `none` there are only `schema`, `rows` and `counted`.
Doubles may be NaN or infinite.

The event `ml.model.loaded` (attributes ml.model.name, ml.model.version, ml.framework, and ml.model.load.duration in
seconds where the loading was seen) is sent for each model and process when it is loaded, else at its first call, and
again every quarter of an hour while it is used, then without ml.model.load.duration. Body: a map.

    schema     int: 1
    features   map: name -> double, how much the feature counts by the model's own account, a share of one; the 100 that
               count most. Empty where the model does not say, and with SIDECAR_CAPTURE=predictions or none
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from model_sidecar_instrumentation.columns import Paced

SCHEMA = 1
PREDICTION = "ml.prediction"
LOADED = "ml.model.loaded"


def attributes(name: str, version: str, framework: str) -> dict[str, Any]:
    """What spans, events and metrics say about a model."""
    given: dict[str, Any] = {"ml.model.name": name, "ml.framework": framework}
    if version:
        given["ml.model.version"] = version
    return given


def body(rows: int | None, counted: bool, columns: Mapping[str, Any]) -> dict[str, Any]:
    """The body of an `ml.prediction` event; `columns` as the module says."""
    made = Paced(schema=SCHEMA, counted=counted)
    if rows is not None:
        made["rows"] = rows
    made.update(columns)
    return made


def facts(importance: Mapping[str, float]) -> dict[str, Any]:
    """The body of an `ml.model.loaded` event."""
    return Paced(schema=SCHEMA, features=importance)
