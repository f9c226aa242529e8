"""What records say of the inputs and answers of models, in one shape whatever they came as.

Read are the events of the zero-code instrumentation, payloads of serving protocols, and predictions with features in
plain attributes of log records and spans. An event that says that it repeats another one counts for its answers only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from sidecar.decode.api import F64, U32, U64, Decoder, FeatureColumns, PredictionBatch
from sidecar.decode.predictions import attribute_features, span_features
from sidecar.decode.predictions.attribute_names import EVENT_MARKS, LOADED
from sidecar.decode.predictions.feature_columns import FeatureCollector
from sidecar.decode.predictions.serving import bento, candidates, protocols
from sidecar.decode.predictions.serving.bento_schemas import Schemas
from sidecar.decode.predictions.serving.call import Call, CutColumns, no_columns
from sidecar.decode.predictions.serving.exchange import Record
from sidecar.derive.prediction_events import PredictionEvents, others

Model = tuple[str, str]
"""(name, version)."""
_GATE = (*protocols.GATE, bento.FILE_MARK)


@dataclass(frozen=True, slots=True)
class Observations:
    """n records, in the order of their payloads."""

    payload: U32
    """Index of each record's payload, ascending."""
    record: U32
    """Place of each among the accepted records of the payload, where one payload was read."""
    model: U32
    """Row of `models` for each record."""
    models: list[Model]
    features: FeatureColumns
    """Of which each event is a record."""
    repeated: U32
    """Records (ascending) whose features were counted before."""
    class_of: U32
    """Record of each pair of a record and a class, ascending; so are `score_of` and `value_of`."""
    class_name: U32
    class_names: list[str]
    class_rows: U64
    score_of: U32
    score: F64
    value_of: U32
    value: F64

    def __len__(self) -> int:
        return len(self.payload)


def of_events(batch: PredictionBatch) -> Observations:
    """What events say. They were decoded with their features."""
    assert batch.features is not None
    models: dict[Model, int] = {}
    codes = [models.setdefault((group[1] or "unknown", group[2]), len(models)) for group in batch.groups]
    loaded = np.array([group[0] == LOADED for group in batch.groups], np.bool_)
    failed = np.array([bool(group[3]) for group in batch.groups], np.bool_)
    repeated = loaded[batch.group] | ((batch.counted == 0) & ~failed[batch.group])
    return Observations(
        payload=batch.payload,
        record=batch.record,
        model=np.array(codes, np.uint32)[batch.group],
        models=list(models),
        features=batch.features,
        repeated=np.flatnonzero(repeated).astype(np.uint32),
        class_of=batch.class_event,
        class_name=batch.class_name,
        class_names=batch.class_names,
        class_rows=batch.class_rows,
        score_of=batch.score_event,
        score=batch.score,
        value_of=batch.value_event,
        value=batch.value,
    )


def of_calls(calls: Sequence[Call], payload: Sequence[int], record: Sequence[int]) -> Observations:
    """What calls say. `payload` and `record`: of each, as `Observations` has them."""
    models: dict[Model, int] = {}
    names: dict[str, int] = {}
    collector = FeatureCollector()
    for call in calls:
        features = call.features
        if isinstance(features, CutColumns):
            collector.add(features, features.left_out, features.names_left_out)
        else:
            collector.add(features)
    classes = [(at, names.setdefault(name, len(names)), n) for at, c in enumerate(calls) for name, n in _classes(c)]
    scores = [(at, score) for at, call in enumerate(calls) for score in call.scores]
    values = [(at, value) for at, call in enumerate(calls) for value in call.values]
    model = [models.setdefault((call.model or "unknown", call.version), len(models)) for call in calls]
    return Observations(
        payload=np.array(payload, np.uint32),
        record=np.array(record, np.uint32),
        model=np.array(model, np.uint32),
        models=list(models),
        features=collector.columns(),
        repeated=np.zeros(0, np.uint32),
        class_of=np.array([at for at, _, _ in classes], np.uint32),
        class_name=np.array([name for _, name, _ in classes], np.uint32),
        class_names=list(names),
        class_rows=np.array([n for _, _, n in classes], np.uint64),
        score_of=np.array([at for at, _ in scores], np.uint32),
        score=np.array([score for _, score in scores], np.float64),
        value_of=np.array([at for at, _ in values], np.uint32),
        value=np.array([value for _, value in values], np.float64),
    )


def _classes(call: Call) -> list[tuple[str, int]]:
    return [] if call.failed else list(call.classes.items())


def of_spans(decoder: Decoder, payloads: Sequence[bytes]) -> list[Observations]:
    """What attributes of spans say. Raises DecodeError."""
    found: list[tuple[int, int, Call]] = []
    for number, payload in enumerate(payloads):
        if attribute_features.may_read(decoder, payload):
            accepted = decoder.check_spans(payload).items
            found += [(number, place, call) for place, call in span_features.read(payload, accepted)]
    if not found:
        return []
    of, places, calls = zip(*found, strict=True)
    return [of_calls(calls, of, places)]


class ObservationReader:
    """Reads payloads of log records. Called from one thread."""

    def __init__(self, payloads: bool, attributes: bool, events: PredictionEvents | None = None) -> None:
        """`payloads`: read those of serving protocols too; `attributes`: and features in attributes."""
        self._events = (events or PredictionEvents()).join(features=True)
        self._payloads, self._attributes = payloads, attributes
        self._schemas = Schemas()

    def skip(self) -> None:
        """Instead of `read`, where there is nothing to compare with."""
        self._events.skip()

    def read(self, decoder: Decoder, payloads: Sequence[bytes]) -> list[Observations]:
        """What the payloads say. Raises DecodeError."""
        found: list[Observations] = []
        batch = self._events.read(decoder, payloads)
        if batch is not None:
            found.append(of_events(batch))
        calls: list[Call] = []
        of: list[int] = []
        places: list[int] = []
        wanted = self._payloads or self._attributes
        has_others = [wanted] * len(payloads) if batch is None or not wanted else others(batch)
        for number in np.flatnonzero(has_others).tolist():
            for place, call in self._calls(decoder, payloads[number]):
                calls.append(call)
                of.append(number)
                places.append(place)
        if calls:
            found.append(of_calls(calls, of, places))
        return [one for one in found if len(one)]

    def may_read(self, decoder: Decoder, payload: bytes) -> bool:
        """Whether there may be something to read in a logs request. Cheap."""
        return decoder.contains_any(payload, EVENT_MARKS) or bool(self._marks(decoder, payload))

    def _marks(self, decoder: Decoder, payload: bytes) -> tuple[bytes, ...]:
        """Of which one stands in each record that may say something; none where there is no such record."""
        found: tuple[bytes, ...] = ()
        if self._payloads and protocols.contains_any(decoder, payload, _GATE, self._schemas):
            found += protocols.MARKS + ((b"",) if bento.FILE_MARK in payload else ())
        if self._attributes and attribute_features.may_read(decoder, payload):
            found += attribute_features.MARKS
        return found

    def _calls(self, decoder: Decoder, payload: bytes) -> list[tuple[int, Call]]:
        marks = self._marks(decoder, payload)
        if not marks:
            return []
        accepted = decoder.check_logs(payload).items
        records = candidates.records(payload, lambda: marks + self._schemas.marks, accepted, EVENT_MARKS)
        return [(record.place, call) for record in records if (call := self._call(record)) is not None]

    def _call(self, record: Record) -> Call | None:
        call = protocols.read(record, self._schemas) if self._payloads else None
        if not self._attributes:
            return call
        if call is None:
            return attribute_features.read(record)
        if call.part == "request" or call.table is not no_columns:
            return call
        columns = attribute_features.features_of(record)
        return replace(call, table=lambda: columns)


def between(found: Observations, first: int, last: int) -> Observations:
    """Those of the payloads from `first` to before `last`."""
    a, b = np.searchsorted(found.payload, [first, last]).tolist()
    if (a, b) == (0, len(found)):
        return found
    pairs = [np.searchsorted(of, [a, b]).tolist() for of in (found.class_of, found.score_of, found.value_of)]
    (e, f), (g, h), (i, j) = pairs
    return replace(
        found,
        payload=found.payload[a:b],
        record=found.record[a:b],
        model=found.model[a:b],
        features=found.features.between(a, b),
        repeated=found.repeated[slice(*np.searchsorted(found.repeated, [a, b]).tolist())] - np.uint32(a),
        class_of=found.class_of[e:f] - np.uint32(a),
        class_name=found.class_name[e:f],
        class_rows=found.class_rows[e:f],
        score_of=found.score_of[g:h] - np.uint32(a),
        score=found.score[g:h],
        value_of=found.value_of[i:j] - np.uint32(a),
        value=found.value[i:j],
    )
