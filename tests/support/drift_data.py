"""Events with features, references and a deriver for tests of drift."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from opentelemetry.exporter.otlp.proto.common._internal import _encode_value as encode_value
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from sidecar.decode.api import FeatureKind
from sidecar.derive.drift.column_bins import ColumnBins
from sidecar.derive.drift.methods.method import Comparison
from sidecar.derive.drift.reference import Reference
from sidecar.derive.drift.reference_builder import CategoryBuilder, NumberBuilder
from sidecar.derive.series import Arrival

HOUR = 3600 * 10**9
START = 1_790_000_000 * 10**9 // HOUR * HOUR


def event_request(
    features: Mapping[str, Sequence[Any]], model: str = "churn", version: str = "7", **body: Any
) -> bytes:
    """A request with one event `ml.prediction`."""
    return events_request([(features, body)], model, version)


def events_request(
    events: Sequence[tuple[Mapping[str, Sequence[Any]], Mapping[str, Any]]], model: str = "churn", version: str = "7"
) -> bytes:
    """A request with one event for each pair of features and further members."""
    request = ExportLogsServiceRequest()
    records = request.resource_logs.add().scope_logs.add().log_records
    for features, body in events:
        rows = max((len(column) for column in features.values()), default=0)
        record = records.add(event_name="ml.prediction", time_unix_nano=5)
        for key, value in (("ml.model.name", model), ("ml.model.version", version), ("ml.prediction.count", rows)):
            record.attributes.add(key=key).value.CopyFrom(encode_value(value))
        columns = {name: [_plain(value) for value in column] for name, column in features.items()}
        record.body.CopyFrom(encode_value({"rows": rows, "features": columns, **body}))
    return request.SerializeToString()


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def numbers(values: Any) -> tuple[Any, Any]:
    """(kind, number) of numbers, NaN being missing."""
    found = np.asarray(values, np.float64)
    kind = np.where(np.isnan(found), FeatureKind.MISSING, FeatureKind.NUMBER).astype(np.uint8)
    return kind, np.nan_to_num(found, nan=0.0, posinf=np.inf, neginf=-np.inf)


def reference(columns: Mapping[str, Any], model: str = "", version: str = "") -> Reference:
    """A reference of these columns: arrays of numbers, or lists of texts."""
    made: list[Any] = []
    for name, values in columns.items():
        if isinstance(values[0], str):
            categories = CategoryBuilder(name, "feature")
            texts = list(dict.fromkeys(values))
            places = np.array([texts.index(value) for value in values], np.float64)
            categories.add(np.full(len(values), FeatureKind.TEXT, np.uint8), places, texts)
            made.append(categories.column())
            continue
        kind, number = numbers(values)
        builder = NumberBuilder(name, "feature", number[kind == FeatureKind.NUMBER])
        builder.add(kind, number)
        made.append(builder.column())
    rows = max(column.rows for column in made)
    return Reference(model=model, model_version=version, rows=rows, columns=tuple(made))


def bins_of_numbers(values: Any) -> ColumnBins:
    """The bins of a reference of these numbers."""
    return ColumnBins(reference({"x": values}).columns[0])


def live(bins: ColumnBins, values: Any) -> Comparison:
    """A window of these numbers beside a reference."""
    observed = bins.observe(*numbers(values), [])
    tails = bins.value(observed.tails, observed.cells[[0, -1]]).tolist()
    counts = np.bincount(bins.bin_of_cell, observed.cells, bins.bins).astype(np.int64)
    return Comparison(
        True,
        bins.edges,
        bins.counts,
        observed.cells,
        bins.bin_counts,
        counts,
        bins.std,
        bins.tails,
        (tails[0], tails[1]),
    )


def compared(before: Any, after: Any) -> Comparison:
    """Two arrays of numbers, the first as reference."""
    return live(bins_of_numbers(before), after)


def at(*times: int) -> Arrival:
    """One payload of one record at each of these times (Unix ns)."""
    return Arrival(np.arange(1, len(times) + 1), np.array(times, np.int64), times[-1])
