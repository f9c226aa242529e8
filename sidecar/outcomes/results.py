"""What is shown of a join: metrics by the names of `derive.outcomes`, and documents. Values in, values out."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sidecar.derive.families import FamilySnapshot, Points, label_text, read_labels, window_text
from sidecar.derive.outcomes.options import OutcomeOptions, step_of
from sidecar.derive.outcomes.outcome_families import families
from sidecar.outcomes.join import Joined

_WINDOW = ("model", "version", "window")
_NAMED = 5
"""Classes in a line for people."""
SUCCESS = "model_outcome_join_timestamp_seconds"


def metrics(joined: Joined, options: OutcomeOptions, now: int) -> list[FamilySnapshot]:
    """The figures of all windows that end at `now` (Unix seconds), and what was read for them."""
    rows = Counter({(*model, "read"): n for model, n in joined.rows.items()})
    return [
        *families(joined.models, options, now),
        _counted("model_outcome_join_labels", "Labels that were read, by what became of them.", joined.labels),
        _counted(
            "model_outcome_join_predictions",
            "Predicted rows: `read`, and those of them that a label names, by whether they were taken.",
            rows + joined.predictions,
        ),
        FamilySnapshot(SUCCESS, "gauge", "Time up to which labels were joined.", "seconds", (Points([""], [now]),)),
    ]


def _counted(name: str, about: str, found: Mapping[tuple[str, str, str], int]) -> FamilySnapshot:
    labels = [label_text(("model", "version", "result"), key) for key in found]
    return FamilySnapshot(name, "gauge", about, "", (Points(labels, list(found.values())),))


def documents(joined: Joined, options: OutcomeOptions, now: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """(id, document) of each model, version and window that has rows. The same id within a step of the window, so that
    a second run puts the same document, or corrects it."""
    figures, classes = _by_window(families(joined.models, options, now))
    for (model, version), state in joined.models.items():
        for window in options.windows:
            tally = state.window(window, now)
            if not tally.rows:
                continue
            key = model, version, window_text(window)
            yield (
                _id(*key, now // step_of(window)),
                {
                    "@timestamp": _iso(now),
                    "model": model,
                    "version": version,
                    "window": key[2],
                    "metrics": figures.get(key, {}),
                    "classes": [{"class": name, **of} for name, of in classes.get(key, {}).items()],
                    "confusion": _confusion(tally.matrix.tolist(), state.names),
                },
            )


Figures = dict[tuple[str, str, str], dict[str, float]]


def _by_window(
    found: Iterator[FamilySnapshot],
) -> tuple[Figures, dict[tuple[str, str, str], dict[str, dict[str, float]]]]:
    """Of each (model, version, window): metric -> value; class -> metric -> value."""
    figures: Figures = {}
    classes: dict[tuple[str, str, str], dict[str, dict[str, float]]] = {}
    for family in found:
        for block in family.blocks:
            assert isinstance(block, Points)
            for text, value in zip(block.labels, block.values, strict=True):
                labels = read_labels(text)
                model, version, window = (labels.get(name, "") for name in _WINDOW)
                if "class" in labels:
                    of_class = classes.setdefault((model, version, window), {}).setdefault(labels["class"], {})
                    of_class[family.name] = float(value)
                else:
                    figures.setdefault((model, version, window), {})[family.name] = float(value)
    return figures, classes


def _confusion(matrix: Sequence[Sequence[int]], names: Sequence[str]) -> list[dict[str, Any]]:
    return [
        {"predicted": names[predicted], "actual": names[actual], "rows": n}
        for predicted, row in enumerate(matrix)
        for actual, n in enumerate(row)
        if n
    ]


def _id(model: str, version: str, window: str, step: int) -> str:
    return hashlib.sha256(json.dumps([model, version, window, step]).encode()).hexdigest()[:32]


def _iso(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"


def strangers(joined: Joined, options: OutcomeOptions, now: int) -> Iterator[str]:
    """For people: models of whose predicted classes none is among the labels, so that they are never right."""
    longest = window_text(max(options.windows))
    for _, document in documents(joined, options, now):
        predicted, actual = ({cell[side] for cell in document["confusion"]} for side in ("predicted", "actual"))
        if document["window"] == longest and predicted and predicted.isdisjoint(actual):
            named = f"{document['model']} {document['version']}".rstrip()
            yield f"{named}: no label is a class that was predicted: {_some(actual)}; predicted: {_some(predicted)}"


def _some(names: set[str]) -> str:
    shown = sorted(names)
    return ", ".join(shown[:_NAMED]) + (" …" if len(shown) > _NAMED else "")


def lines(joined: Joined, options: OutcomeOptions, now: int) -> Iterator[str]:
    """For people."""
    for _, document in documents(joined, options, now):
        found = document["metrics"]
        shown = [
            f"{word} {found[name]:.4g}"
            for name, word in (
                ("model_accuracy", "accuracy"),
                ("model_f1", "F1"),
                ("model_roc_auc", "AUC"),
                ("model_mean_absolute_error", "mean absolute error"),
                ("model_r2", "R²"),
            )
            if name in found
        ]
        named = " ".join(part for part in (document["model"], document["version"]) if part)
        rows = f"{found['model_outcome_samples']:.0f} rows"
        yield f"{named}, {document['window']}: {', '.join([rows, *shown])}"
