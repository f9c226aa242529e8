"""Predictions and labels as they are sent to a running sidecar, a join of them by brute force, and figures beside those
of scikit-learn."""

from __future__ import annotations

import json
import random
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from sklearn import metrics

from support.engines import SidecarProcess, wait_for
from support.load import Samples
from support.outcome_data import event

Request = tuple[str, str, bytes]
"""(path, content type, body)."""


@dataclass
class Row:
    """One predicted row, and the label that it has."""

    model: str
    id: str
    row: int
    predicted: str | float
    score: float = float("nan")
    truth: str | float | None = None


@dataclass
class Traffic:
    """What is sent, in order, and what a join by brute force makes of it."""

    rng: random.Random = field(default_factory=lambda: random.Random(22))
    rows: list[Row] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    results: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(model, result) -> labels."""

    def _now(self) -> int:
        return time.time_ns() // 1_000_000

    def predictions(self) -> list[Request]:
        """Two classes as log lines, three as events of 20 rows each, numbers as log lines."""
        made: list[Request] = []
        lines: list[dict[str, Any]] = []
        for n in range(1500):
            score = 0.5 + self.rng.betavariate(2, 2) / 2
            name = self.rng.choice(["stays", "leaves"])
            self.rows.append(Row("churn", f"c-{n}", 0, name, score))
            lines.append({"model": "churn", "prediction_id": f"c-{n}", "predicted_class": name, "confidence": score})
        for n in range(600):
            value = self.rng.gauss(300, 80)
            self.rows.append(Row("price", f"p-{n}", 0, value))
            lines.append({"model": "price", "prediction_id": f"p-{n}", "predicted_value": value})
        self.rng.shuffle(lines)
        for begin in range(0, len(lines), 30):
            text = "\n".join(json.dumps({"time": self._now(), **line}) for line in lines[begin : begin + 30])
            made.append(("/v1/json", "application/x-ndjson", text.encode()))
        for n in range(1, 31):
            names = [self.rng.choice("abc") for _ in range(20)]
            self.rows += [Row("digits", f"{n:032x}", row, name) for row, name in enumerate(names)]
            about = {"ml.model.name": "digits", "ml.model.version": ""}
            made.append(("/v1/logs", "application/x-protobuf", event({"class": names}, n, int(time.time()), about)))
        return made

    def labels(self) -> list[Request]:
        """For most rows, of some two or three with other truths, of ids that nobody has, and texts for numbers."""
        labels: list[dict[str, Any]] = []
        for row in self.rows:
            if self.rng.random() < 0.8:
                labels += [self._label(row) for _ in range(self.rng.choice([1, 1, 1, 1, 2, 3]))]
        labels += [{"prediction_id": f"nobody-{n}", "label": "a"} for n in range(100)]
        labels += [{"prediction_id": f"p-{n}", "label": "a text"} for n in range(0, 600, 20)]
        self.rng.shuffle(labels)
        made: list[Request] = []
        for begin in range(0, len(labels), 40):
            text = "\n".join(json.dumps({"time": self._now(), **label}) for label in labels[begin : begin + 40])
            made.append(("/v1/labels", "application/x-ndjson", text.encode()))
        return made

    def _label(self, row: Row) -> dict[str, Any]:
        if isinstance(row.predicted, float):
            return {"prediction_id": row.id, "label": row.predicted + self.rng.gauss(5, 30)}
        right = self.rng.random() < (0.7 if row.score != row.score else row.score)
        others = [name for name in ("stays", "leaves") if name != row.predicted]
        others = others if row.model == "churn" else [name for name in "abc" if name != row.predicted]
        return {"prediction_id": row.id, "row": row.row, "label": row.predicted if right else self.rng.choice(others)}

    def make(self) -> None:
        """Fill `requests`, shuffled, and join."""
        self.requests = self.predictions()
        self.requests += self.labels()
        self.rng.shuffle(self.requests)
        by_id: dict[tuple[str, int], Row] = {(row.id, row.row): row for row in self.rows}
        for path, _, body in self.requests:
            for label in map(json.loads, body.splitlines() if path == "/v1/labels" else ()):
                row = by_id.get((label["prediction_id"], label.get("row", 0)))
                self._join(row, label["label"])

    def _join(self, row: Row | None, truth: str | float) -> None:
        if row is None:
            self.results["", "orphan"] += 1
        elif isinstance(row.predicted, float) and isinstance(truth, str):
            # A number without a label goes on waiting for one; with one it has the label that it has.
            self.results[row.model, "invalid" if row.truth is None else "duplicate"] += 1
        elif row.truth is not None:
            self.results[row.model, "duplicate"] += 1
        else:
            row.truth = truth
            self.results[row.model, "joined"] += 1

    def of(self, model: str) -> list[Row]:
        """The joined rows of a model."""
        return [row for row in self.rows if row.model == model and row.truth is not None]


def send(sidecar: SidecarProcess, requests: Iterable[Request]) -> None:
    """One after another, each until it is acknowledged."""
    for request in requests:
        wait_for(lambda request=request: post(sidecar, request) == 200, 120, "an acknowledgement", 0.1)  # type: ignore[misc]


def post(sidecar: SidecarProcess, request: Request) -> int:
    """The status of the reply; AssertionError where it is neither 200 nor one that asks to send again."""
    path, content_type, body = request
    made = urllib.request.Request(sidecar.otlp_url + path, body, {"Content-Type": content_type})
    try:
        with urllib.request.urlopen(made, timeout=30) as reply:
            return int(reply.status)
    except urllib.error.HTTPError as error:
        code = error.code
        error.close()
    assert code in (429, 503), code
    return code


def by_labels(values: Samples, name: str, *keys: str) -> dict[tuple[str, ...], int]:
    """Values of a family by these labels; a label that is not there is empty."""
    found: dict[tuple[str, ...], int] = {}
    for series, value in values.items():
        if series.partition("{")[0] == name and value:
            labels = dict(part.split('="', 1) for part in series.partition("{")[2].rstrip('}"').split('",') if part)
            found[tuple(labels.get(key, "") for key in keys)] = int(value)
    return found


def figure(values: Samples, name: str, model: str, *labels: str) -> float:
    """The figure of the window of one day."""
    found = [
        value
        for series, value in values.items()
        if series.partition("{")[0] == name
        and all(one in series for one in (f'model="{model}"', 'window="24h"', *labels))
    ]
    assert len(found) == 1, (name, model, labels, found)
    return found[0]


def check_figures(values: Samples, traffic: Traffic) -> None:
    """All figures of the window of a day."""
    for model in ("churn", "digits", "price"):
        assert figure(values, "model_outcome_samples", model) == len(traffic.of(model))
    check_two_classes(values, traffic.of("churn"))
    check_three_classes(values, traffic.of("digits"))
    check_numbers(values, traffic.of("price"))


def check_classes(values: Samples, rows: Sequence[Row], model: str) -> None:
    predicted, actual = [str(row.predicted) for row in rows], [str(row.truth) for row in rows]
    assert figure(values, "model_accuracy", model) == pytest.approx(metrics.accuracy_score(actual, predicted))
    averages = metrics.precision_recall_fscore_support(actual, predicted, average="weighted")[:3]
    found = [figure(values, f"model_{name}", model) for name in ("precision", "recall", "f1")]
    assert found == pytest.approx(averages)
    names = sorted(set(actual))
    by_class = metrics.precision_recall_fscore_support(actual, predicted, labels=names)[:3]
    for name, expected in zip(("precision", "recall", "f1"), by_class, strict=True):
        shown = [figure(values, f"model_class_{name}", model, f'class="{one}"') for one in names]
        assert shown == pytest.approx(expected.tolist())


def check_two_classes(values: Samples, rows: Sequence[Row]) -> None:
    check_classes(values, rows, "churn")
    actual = np.array([row.truth == "stays" for row in rows])  # The last one in order.
    positive = np.array([row.score if row.predicted == "stays" else 1 - row.score for row in rows])
    assert figure(values, "model_roc_auc", "churn") == pytest.approx(metrics.roc_auc_score(actual, positive), abs=0.005)
    both = np.column_stack([1 - positive, positive])
    assert figure(values, "model_log_loss", "churn") == pytest.approx(metrics.log_loss(actual, both))
    assert figure(values, "model_brier", "churn") == pytest.approx(metrics.brier_score_loss(actual, positive))
    scores = np.array([row.score for row in rows])
    correct = np.array([row.truth == row.predicted for row in rows])
    places = np.minimum((scores * 10).astype(int), 9)
    error = sum(
        abs(correct[places == place].mean() - scores[places == place].mean()) * (places == place).mean()
        for place in set(places.tolist())
    )
    assert figure(values, "model_calibration_error", "churn") == pytest.approx(error)


def check_three_classes(values: Samples, rows: Sequence[Row]) -> None:
    check_classes(values, rows, "digits")
    assert not [series for series in values if series.startswith("model_roc_auc{") and '"digits"' in series]


def check_numbers(values: Samples, rows: Sequence[Row]) -> None:
    predicted, actual = np.array([row.predicted for row in rows]), np.array([row.truth for row in rows])
    for name, expected in (
        ("mean_absolute_error", metrics.mean_absolute_error(actual, predicted)),
        ("root_mean_squared_error", metrics.root_mean_squared_error(actual, predicted)),
        ("mean_absolute_percentage_error", metrics.mean_absolute_percentage_error(actual, predicted)),
        ("r2", metrics.r2_score(actual, predicted)),
        ("mean_error", np.mean(predicted - actual)),
    ):
        assert figure(values, f"model_{name}", "price") == pytest.approx(float(expected))
