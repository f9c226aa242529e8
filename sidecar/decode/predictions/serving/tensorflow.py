"""TensorFlow Serving's REST API (documentation of 2.19, "RESTful API"), whose predict format is also that of KServe's
protocol v1 and of TorchServe's JSON envelope (torchserve 0.12, `ts/torch_handler/request_envelope/json.py`).

Row format: `instances`, an element for each row, answered by `predictions`, an element for each row (a map where there
is more than one output). Column format: `inputs`, answered by `outputs`, each one tensor or a map of tensors by name.
"""

from __future__ import annotations

from functools import partial

from sidecar.decode.otlp.message import Value
from sidecar.decode.predictions.serving import feature_tables, model_outputs
from sidecar.decode.predictions.serving.bento_schemas import Schemas
from sidecar.decode.predictions.serving.call import Answers, Asked, Call
from sidecar.decode.predictions.serving.exchange import Exchange, Members, call, has_failed, members, model_of

NAME = "tensorflow"
KEYS = ("instances", "predictions", "inputs", "outputs")


def read(exchange: Exchange, schemas: Schemas) -> Call | None:
    """See `protocols.Protocol.read`. Many programs log `inputs` and `outputs`: where a record does not say that they
    are a request's or response's body, it must name a model."""
    del schemas
    if not exchange.apart and not model_of(exchange):
        return None
    asked = _asked(members(exchange.asked))
    answered = _answered(members(exchange.answered), asked is not None and asked.rows == 1)
    return call(NAME, exchange, asked, answered, has_failed(exchange, asked, answered))


def _asked(request: Members) -> Asked | None:
    match request:
        case {"instances": list(rows)}:
            return Asked(len(rows), partial(feature_tables.of_rows, rows))
        case {"inputs": list(rows)}:
            return Asked(len(rows), partial(feature_tables.of_rows, rows))
        case {"inputs": dict(columns)}:
            arrays = [values for values in columns.values() if isinstance(values, list)]
            return Asked(max(map(len, arrays)), partial(feature_tables.of_columns, columns)) if arrays else None
        case _:
            return None


def _answered(response: Members, one: bool) -> Answers | None:
    """`one`: one row was asked for."""
    if "predictions" in response:
        found = _rows(response["predictions"])
        return model_outputs.of_one(found) if one else model_outputs.of_predictions(found)
    return model_outputs.of_predictions(_rows(response.get("outputs")))


def _rows(found: Value) -> Value:
    """A text or number is no tensor."""
    return found if isinstance(found, list | dict) else None
