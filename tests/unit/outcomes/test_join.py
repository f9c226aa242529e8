"""Joins of documents beside the join in the pod, fed with the records that the documents are of."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
from support.derive_fakes import lines
from support.outcome_data import START, Outcomes, event, logged, posted

from sidecar.decode.documents.otel import log_lines
from sidecar.decode.predictions.label_record import Label
from sidecar.decode.predictions.prediction_rows import Answer, PredictedRows, PredictionRowReader
from sidecar.deliver.elasticsearch.conflicts import move_field
from sidecar.derive.families import read_labels
from sidecar.derive.outcomes.options import OutcomeOptions
from sidecar.outcomes.join import Joined, TooMuch, join
from sidecar.outcomes.label_sources import Labels
from sidecar.outcomes.prediction_documents import label_of, prediction_of
from sidecar.outcomes.results import documents, metrics, strangers

OPTIONS = OutcomeOptions()
READER = PredictionRowReader(())
NOW = START + 600


class Given:
    """Labels that are there already, in parts."""

    def __init__(self, labels: Sequence[Label]) -> None:
        self.labels = labels

    def read(self, found: Labels) -> Iterator[list[Label]]:
        for begin in range(0, len(self.labels), 7):
            yield list(self.labels[begin : begin + 7])


def hits(payloads: Sequence[bytes], conflict: str = "") -> list[dict[str, Any]]:
    """Documents of requests as a search gives them; `conflict`: the engine's reason why each was refused at first."""
    found = []
    for n, payload in enumerate(payloads):
        body = log_lines([payload], [f"j-{n}"]).body
        pairs = body.splitlines(keepends=True)
        for action, source in zip(pairs[::2], pairs[1::2], strict=True):
            moved = move_field(action + source, conflict) if conflict else None
            document = json.loads((moved or action + source).splitlines()[1])
            nanoseconds = int(document["@timestamp"].replace(".", ""))
            found.append({"_id": f"{n}", "_source": document, "sort": [nanoseconds, n]})
    return found


def joined(payloads: Sequence[bytes], conflict: str = "", **options: Any) -> tuple[Joined, dict[str, float]]:
    """The join of their documents, and its figures."""
    found = hits(payloads, conflict)
    labels = [label for hit in found if isinstance(label := label_of(hit), Label)]
    predictions = [row for hit in found if (row := prediction_of(hit, READER)) is not None]
    chosen = OutcomeOptions(**options)
    result = join(Given(labels), [predictions[::2], predictions[1::2]], chosen, NOW)
    shown = lines(metrics(result, chosen, NOW))
    return result, {series: float(value) for series, value in shown.items()}


def payloads() -> list[bytes]:
    """Predictions in all forms and labels for most of them, in the order in which they come."""
    rng = random.Random(31)
    given = []
    for n in range(1, 60):
        score = rng.random()
        given.append(
            logged(
                {
                    "time": (START + n) * 1000,
                    "model": "churn",
                    "prediction_id": f"c-{n}",
                    "predicted_class": rng.choice(["stays", "leaves"]),
                    "confidence": score,
                }
            )
        )
        body = {
            "class": [rng.choice(["a", 1, True]) for _ in range(3)],
            "first": n,
            "one_in": 2,
            "features": {"x": [1.0]},
        }
        given.append(event(body, n, START + n, {"ml.model.name": "digits"}))
        given.append(event({"value": [rng.gauss(5, 2), float(n)]}, 1000 + n, START + n, {"ml.model.name": "price"}))
        given.append(logged({"event": "ml.prediction", "model": "churn", "request_id": f"r-{n}"}))
    given.append(
        event(
            {"class": ["a"], "score": [0.5], "counted": False, "first": 1}, 1, START + 99, {"ml.model.name": "digits"}
        )
    )
    labels = [{"prediction_id": f"c-{n}", "label": rng.choice(["stays", "leaves"])} for n in range(1, 70)]
    labels += [{"prediction_id": f"{n:032X}", "row": n, "label": rng.choice(["a", 1, True])} for n in range(1, 60)]
    labels += [{"prediction_id": f"{1000 + n:032x}", "label": rng.gauss(5, 2)} for n in range(1, 50)]
    labels += [{"prediction_id": f"{1000 + n:032x}", "label": "no number"} for n in range(40, 60)]
    labels += [{"prediction_id": "c-3", "label": "other", "model": "else"}, {"prediction_id": "c-4", "label": "twice"}]
    rng.shuffle(labels)
    given += [posted(*labels[begin : begin + 10]) for begin in range(0, len(labels), 10)]
    given.append(logged({"event": "ml.label", "prediction_id": "c-69", "label": "stays", "model": "churn"}))
    return given


def figures(values: Mapping[str, float]) -> dict[str, float]:
    return {series: value for series, value in values.items() if 'window="' in series}


@pytest.mark.parametrize("conflict", ["", "failed to parse field [attributes] of type [x]"])
def test_documents_give_the_figures_that_the_records_give(conflict: str) -> None:
    given = payloads()
    live = Outcomes(prediction_ttl=60)
    for payload in given:
        live.feed(payload, NOW)
    found, values = joined(given, conflict)
    assert figures(values) == figures(live.shown())
    assert len(figures(values)) > 60
    counted = Counter({key: n for key, n in found.labels.items() if key[2] != "orphan"})
    names = ("model", "version", "result")
    read = ((read_labels(series), n) for series, n in live.shown("model_labels_total{").items())
    assert counted == {tuple(labels.get(name, "") for name in names): n for labels, n in read}
    assert found.labels["else", "", "orphan"] == 1


@pytest.mark.parametrize(
    ("truths", "said"),
    [
        (["1", "0", "1"], ["churn 7: no label is a class that was predicted: 0, 1; predicted: leaves, stays"]),
        (["1", "0", "stays"], []),
    ],
)
def test_labels_in_other_words_than_predictions_are_said(truths: list[str], said: list[str]) -> None:
    classes = ("stays", "leaves", "stays")
    given = [event({"class": [name]}, n, START + n) for n, name in enumerate(classes, 1)]
    given += [posted({"prediction_id": f"{n:032x}", "label": truth}) for n, truth in enumerate(truths, 1)]
    found, _ = joined(given)
    assert list(strangers(found, OPTIONS, NOW)) == said


def test_the_body_of_an_event_that_did_not_fit_its_mapping_is_read() -> None:
    given = [event({"class": ["a", 1]}, 1), posted({"prediction_id": f"{1:032x}", "label": "a", "row": 0})]
    found, _ = joined(given, "mapper [body.structured.class] cannot be changed from type [long] to [keyword]")
    assert found.labels == {("churn", "7", "joined"): 1}
    assert found.rows == {("churn", "7"): 2}


def test_the_first_of_two_labels_counts_whatever_their_times_are() -> None:
    rows = PredictedRows("p", "m", "", START * 10**9, [Answer("a")])
    labels = [Label("p", "a", time=START * 2 * 10**9), Label("p", "b", time=1)]
    found = join(Given(labels), [[rows]], OPTIONS, NOW)
    assert found.labels == {("m", "", "joined"): 1, ("m", "", "duplicate"): 1}
    ((_, document), *_) = documents(found, OPTIONS, NOW)
    assert document["confusion"] == [{"predicted": "a", "actual": "a", "rows": 1}]


def test_predictions_that_no_label_names_take_no_memory() -> None:
    rows = [[PredictedRows(f"p-{n}", "m", "", START * 10**9, [Answer("a")])] for n in range(5000)]
    found = join(Given([Label("p-7", "a")]), rows, OPTIONS, NOW)
    assert found.rows == {("m", ""): 5000}
    assert found.predictions == {("m", "", "kept"): 1}


def test_more_than_memory_holds_is_refused() -> None:
    least = 1 << 20  # Less than may be set.
    options = OutcomeOptions().model_copy(update={"max_bytes": least})
    n = least // 48
    labels = [Label(f"p-{i}", "a") for i in range(5)]
    rows = [
        [PredictedRows(f"p-{i % 5}", f"m-{i}", "", START * 10**9, [Answer("a")] * 1_000)] for i in range(n // 1_000)
    ]
    with pytest.raises(TooMuch, match="max_bytes"):
        join(Given(labels), rows, options, NOW)


def test_models_beyond_the_bound_are_named() -> None:
    rows = [PredictedRows(f"p-{i}", f"m-{i}", "", START * 10**9, [Answer("a")]) for i in range(3)]
    found = join(Given([Label(f"p-{i}", "a") for i in range(3)]), [rows], OutcomeOptions(max_models=2), NOW)
    assert found.left_out == {("m-2", "")}
    assert set(found.models) == {("m-0", ""), ("m-1", "")}


def test_documents_have_the_same_ids_within_a_step_and_others_in_the_next() -> None:
    found = join(
        Given([Label("p", "a")]), [[PredictedRows("p", "m", "", START * 10**9, [Answer("a")])]], OPTIONS, START
    )
    ids = [[id_ for id_, _ in documents(found, OPTIONS, at)] for at in (START, START + 299, START + 300)]
    assert ids[0] == ids[1]
    assert [a == b for a, b in zip(ids[0], ids[2], strict=True)] == [False, True, True]
