"""Predictions and labels for tests of outcomes, and a join by brute force to compare with."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any, Generic, TypeVar

import numpy as np
from opentelemetry.exporter.otlp.proto.common._internal import _encode_value as encode_value
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from sidecar.decode.predictions.label_bodies import from_lines
from sidecar.decode.python import ReferenceDecoder
from sidecar.derive.outcomes.deriver import OutcomeDeriver
from sidecar.derive.outcomes.options import OutcomeOptions
from sidecar.derive.series import Arrival, Budget
from support.derive_fakes import lines

SECOND = 10**9
START = 1_790_000_000 // 3600 * 3600
"""Unix seconds."""
DECODER = ReferenceDecoder()


def event(
    body: Mapping[str, Any], trace: int = 0, time: int = START, attributes: Mapping[str, Any] | None = None
) -> bytes:
    """A request with one event `ml.prediction`. `time`: Unix seconds."""
    request = ExportLogsServiceRequest()
    record = request.resource_logs.add().scope_logs.add().log_records.add()
    record.event_name, record.time_unix_nano, record.trace_id = (
        "ml.prediction",
        time * SECOND,
        trace.to_bytes(16, "big"),
    )
    given = {"ml.model.name": "churn", "ml.model.version": "7", **(attributes or {})}
    for key, value in given.items():
        record.attributes.add(key=key).value.CopyFrom(encode_value(value))
    record.body.CopyFrom(encode_value(dict(body)))
    return request.SerializeToString()


def logged(*records: Mapping[str, Any]) -> bytes:
    """A request with JSON log lines."""
    return DECODER.json_lines("\n".join(map(json.dumps, records)).encode(), 5).payload


def posted(*labels: Mapping[str, Any]) -> bytes:
    """A request as `POST /v1/labels` stores it."""
    return from_lines("\n".join(map(json.dumps, labels)).encode(), 5).payload


class Outcomes:
    """A deriver, and what it shows."""

    def __init__(self, **options: Any) -> None:
        self.options = OutcomeOptions(enabled=True, **options)
        self.deriver = OutcomeDeriver(self.options, Budget())
        self.kept: dict[bytes, bytes] = {}

    def feed(self, payload: bytes, time: int = START) -> None:
        """A payload that came at `time` (Unix seconds)."""
        arrival = Arrival(np.array([1]), np.array([time * SECOND]), time * SECOND)
        self.deriver.apply(self.deriver.decode(DECODER, [payload]), arrival)

    def restart(self) -> None:
        """Go on with what was committed at this moment."""
        for kept in self.deriver.kept:
            for key, value in kept.checkpoint():
                if value is None:
                    self.kept.pop(key, None)
                else:
                    self.kept[key] = bytes(value)
        self.deriver = OutcomeDeriver(self.options, Budget())
        used = [kept.restore(self.kept) for kept in self.deriver.kept]
        assert set().union(*used) == self.kept.keys()

    def shown(self, beginning: str = "") -> dict[str, float]:
        """Series -> value."""
        for table in (self.deriver.outcomes, self.deriver.labels, self.deriver.predictions):
            table.mark_exported()
        found = lines(list(self.deriver.collect()))
        return {key: float(value) for key, value in found.items() if key.startswith(beginning)}

    def figure(self, name: str, window: str = "1h", **labels: str) -> float | None:
        """A figure of one window."""
        wanted = {"window": window, **labels}
        found = [
            value
            for key, value in self.shown(name + "{").items()
            if all(f'{label}="{text}"' in key for label, text in wanted.items())
        ]
        assert len(found) <= 1
        return found[0] if found else None

    def results(self) -> dict[str, int]:
        """Result -> labels of all models."""
        return _by_result(self.shown("model_labels_total{"))

    def predicted(self) -> dict[str, int]:
        """What became of predicted rows."""
        return _by_result(self.shown("model_outcome_predictions_total{"))

    def matrix(self) -> dict[tuple[str, str], int]:
        """(predicted, actual) -> rows."""
        return {
            (key.split('predicted="')[1].split('"')[0], key.split('actual="')[1].split('"')[0]): int(n)
            for key, n in self.shown("model_outcomes_total{").items()
        }


def _by_result(series: Mapping[str, float]) -> dict[str, int]:
    found: dict[str, int] = {}
    for key, n in series.items():
        result = key.split('result="')[1].split('"')[0]
        found[result] = found.get(result, 0) + int(n)
    return found


Answer = TypeVar("Answer", str, frozenset[str])
"""A class, or a set of classes."""


class BruteForce(Generic[Answer]):
    """What becomes of labels and rows, of classes or of sets: each new one is compared with all before it."""

    def __init__(self, label_ttl: int, prediction_ttl: int) -> None:
        self._label_ttl, self._prediction_ttl = label_ttl, prediction_ttl
        self._predictions: list[dict[str, Any]] = []
        self._waiting: list[tuple[int, str, Answer]] = []
        self.now = 0
        self.results: Counter[str] = Counter()
        self.rows: list[tuple[int, Answer, Answer]] = []
        """(when it was predicted, predicted, actual) of what was joined."""

    @property
    def matrix(self) -> Counter[tuple[Answer, Answer]]:
        """(predicted, actual) -> rows."""
        return Counter((predicted, actual) for _, predicted, actual in self.rows)

    def step(self, what: str, after: int, id_: str, name: Answer) -> None:
        """One "prediction" or "label", so many seconds after the one before."""
        self.now += after
        late = [one for one in self._waiting if self.now - one[0] >= self._prediction_ttl]
        self.results["orphan"] += len(late)
        self._waiting = [one for one in self._waiting if one not in late]
        known = [one for one in self._predictions if one["id"] == id_ and self._age(one) <= 2 * self._label_ttl]
        live = [one for one in known if one["joined"] or self._age(one) < self._label_ttl]
        if what == "label":
            self._label(known, live, id_, name)
        elif not live:
            self._predictions.append({"id": id_, "class": name, "time": self.now, "joined": False})
            own = [one for one in self._waiting if one[1] == id_]
            self._waiting = [one for one in self._waiting if one not in own]
            for _, _, actual in own:
                self._join(self._predictions[-1:], actual)

    def _age(self, prediction: dict[str, Any]) -> int:
        return int(self.now - prediction["time"])

    def _label(self, known: list[dict[str, Any]], live: list[dict[str, Any]], id_: str, name: Answer) -> None:
        if live:
            self._join(live, name)
        elif known:
            self.results["expired"] += 1
        else:
            self._waiting.append((self.now, id_, name))

    def _join(self, live: list[dict[str, Any]], actual: Answer) -> None:
        found = [one for one in live if not one["joined"]]
        self.results["joined" if found else "duplicate"] += 1
        for one in found:
            one["joined"] = True
            self.rows.append((one["time"], one["class"], actual))
