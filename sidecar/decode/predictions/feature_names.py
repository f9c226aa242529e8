"""Keys under which feature values stand in log records and spans. Data only."""

from __future__ import annotations

from sidecar.decode.predictions.attribute_names import ALIASES

INPUTS = ("inputs", "instances", "dataframe_split", "dataframe_records")
"""Inputs in payloads of serving protocols (Open Inference, TensorFlow Serving, MLflow) where they are arrays or maps. A
number so named is none."""
FEATURES = "features"
"""So may be many a thing: features of a model are an array or a map, or such in a text of JSON, beside a sign of a
prediction."""
TELLING = (
    *(name for concept in ("model", "class", "score", "value", "prediction") for name in ALIASES[concept]),
    "outputs",
)
"""Keys that tell of a prediction."""
