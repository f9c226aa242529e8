"""Open Inference Protocol, version 2 (open-inference-protocol, `open_inference_rest.yaml`; spoken by Triton, KServe,
MLServer, TorchServe, OpenVINO). A request has `inputs`, a response `outputs`, each a list of tensors
`{name, shape, datatype, data}`; data is flat in row-major order, or nested. The first dimension counts the rows.

Triton's binary data extension keeps a tensor's data outside of the JSON: then its shape is all that is known.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

from sidecar.decode.otlp.message import Value
from sidecar.decode.predictions.serving import feature_tables, model_outputs
from sidecar.decode.predictions.serving.bento_schemas import Schemas
from sidecar.decode.predictions.serving.call import Answers, Asked, Call, Columns
from sidecar.decode.predictions.serving.exchange import Exchange, Members, call, first, has_failed, members

NAME = "open_inference"
KEYS = ("inputs", "outputs")

_NEEDED = {"name", "shape", "datatype"}
_MAX_DIMENSIONS = 8
_REAL = ("FP", "BF")


def read(exchange: Exchange, schemas: Schemas) -> Call | None:
    """See `protocols.Protocol.read`."""
    del schemas
    asked, answered = _asked(members(exchange.asked)), _answered(members(exchange.answered))
    return call(NAME, exchange, asked, answered, has_failed(exchange, asked, answered))


def _asked(request: Members) -> Asked | None:
    tensors = _tensors(request.get("inputs"))
    if tensors is None:
        return None
    return Asked(_rows(tensors), partial(_features, tensors), first(request, ("id",)))


def _answered(response: Members) -> Answers | None:
    tensors = _tensors(response.get("outputs"))
    if tensors is None:
        return None
    outputs = [
        model_outputs.Output(str(tensor["name"]), rows, str(tensor["datatype"]).startswith(_REAL))
        for tensor in tensors
        if (rows := _data(tensor)) is not None
    ]
    count = _rows(tensors)
    return model_outputs.of_columns(outputs, count) if outputs else Answers(count)


def _tensors(found: Value) -> Sequence[Members] | None:
    """The tensors; None where it is no list of tensors (the outputs that a request asks for have no shape)."""
    if not isinstance(found, list) or not found:
        return None
    tensors = [tensor for tensor in found if isinstance(tensor, dict) and tensor.keys() >= _NEEDED]
    return tensors if len(tensors) == len(found) else None


def _rows(tensors: Sequence[Members]) -> int:
    shapes = [_shape(tensor) for tensor in tensors]
    return next((shape[0] if shape else 1 for shape in shapes if shape is not None), 0)


def _shape(tensor: Members) -> list[int] | None:
    """None for what is no shape."""
    shape = tensor["shape"]
    if not isinstance(shape, list) or len(shape) > _MAX_DIMENSIONS:
        return None
    sizes = [size for size in shape if isinstance(size, int) and size >= 0]
    return sizes if len(sizes) == len(shape) else None


def _data(tensor: Members) -> list[Value] | None:
    """An element for each row: a scalar, or an array of all that the row has. None where there is no data, or it is not
    of the shape."""
    shape, data = _shape(tensor), tensor.get("data")
    if shape is None or not isinstance(data, list):
        return None
    flat = _flat(data)
    rows, width = (shape[0], math.prod(shape[1:])) if shape else (1, 1)
    if len(flat) != rows * width or not width:
        return None
    return flat if len(shape) <= 1 else [flat[at : at + width] for at in range(0, len(flat), width)]


def _flat(data: list[Value]) -> list[Value]:
    while data and isinstance(data[0], list):
        data = [value for part in data if isinstance(part, list) for value in part]
    return data


def _features(tensors: Sequence[Members]) -> Columns:
    """A column for each tensor with one number a row; for one with more, as many columns (`name.0`, `name.1`)."""
    return feature_tables.of_columns(
        {str(tensor["name"]): rows for tensor in tensors if (rows := _data(tensor)) is not None}
    )
