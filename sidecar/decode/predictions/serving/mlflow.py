"""MLflow's scoring protocol (mlflow 3.17, `mlflow/pyfunc/scoring_server`; since 2.0): a request is a table as
`dataframe_split` (`columns`, `data`) or `dataframe_records`. `instances` and `inputs`, which it takes too, are those of
TensorFlow Serving. A response has `predictions`: an array, an array of records (a DataFrame), or arrays by output.
"""

from __future__ import annotations

from functools import partial

from sidecar.decode.predictions.serving import feature_tables, model_outputs
from sidecar.decode.predictions.serving.bento_schemas import Schemas
from sidecar.decode.predictions.serving.call import Asked, Call
from sidecar.decode.predictions.serving.exchange import Exchange, Members, call, has_failed, members

NAME = "mlflow"
KEYS = ("dataframe_split", "dataframe_records")


def read(exchange: Exchange, schemas: Schemas) -> Call | None:
    """See `protocols.Protocol.read`."""
    del schemas
    asked = _asked(members(exchange.asked))
    if asked is None:  # A response alone looks like that of TensorFlow Serving.
        return None
    found = members(exchange.answered).get("predictions")
    answered = model_outputs.of_one(found) if asked.rows == 1 else model_outputs.of_predictions(found)
    return call(NAME, exchange, asked, answered, has_failed(exchange, asked, answered))


def _asked(request: Members) -> Asked | None:
    split = request.get("dataframe_split")
    if isinstance(split, dict):
        data, columns = split.get("data"), split.get("columns")
        if not isinstance(data, list):
            return None
        return Asked(len(data), partial(feature_tables.of_rows, data, columns if isinstance(columns, list) else ()))
    records = request.get("dataframe_records")
    if isinstance(records, list):
        return Asked(len(records), partial(feature_tables.of_rows, records))
    return None
