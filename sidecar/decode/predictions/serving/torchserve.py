"""TorchServe's own bodies (torchserve 0.12, `ts/torch_handler`): what a handler returns, without any envelope. An array
with an answer for each row; of an image classifier, maps of the likeliest labels to their probabilities; one answer
stands without the array. The request is whatever the handler takes, so only its response is read.

Such a body is recognised only where a record says that it is a response: in a CloudEvent of KServe's logger.
"""

from __future__ import annotations

from sidecar.decode.predictions.failures import all_errors, is_error
from sidecar.decode.predictions.serving import model_outputs
from sidecar.decode.predictions.serving.bento_schemas import Schemas
from sidecar.decode.predictions.serving.call import Asked, Call
from sidecar.decode.predictions.serving.exchange import Exchange, call

NAME = "torchserve"
KEYS = ()


def read(exchange: Exchange, schemas: Schemas) -> Call | None:
    """See `protocols.Protocol.read`."""
    del schemas
    if isinstance(exchange.asked, list):  # Only an event's body can be an array.
        return call(NAME, exchange, Asked(len(exchange.asked)), None)
    if not exchange.apart:
        return None
    match exchange.answered:
        case [*rows] if rows:
            return call(NAME, exchange, None, model_outputs.of_one(rows), all_errors(rows))
        case dict(found) if not is_error(found) and model_outputs.is_row(found):
            return call(NAME, exchange, None, model_outputs.of_predictions([found]))
        case _:
            return None
