"""`sidecar outcomes`: one join of what is in Elasticsearch or OpenSearch now. Keeps nothing between runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from sidecar.decode.predictions.prediction_rows import PredictedRows, PredictionRowReader
from sidecar.deliver.common.connection import Connection
from sidecar.deliver.elasticsearch.outcome_options import OutcomeElasticsearchOptions
from sidecar.derive.families import FamilySnapshot
from sidecar.derive.outcomes.options import OutcomeOptions
from sidecar.outcomes import figure_index, results
from sidecar.outcomes.join import Joined, join
from sidecar.outcomes.label_sources import LabelSource, StoredLabels
from sidecar.outcomes.point_in_time import PointInTime, patient
from sidecar.outcomes.prediction_documents import PREDICTION_SORT, SOURCE, prediction_of, prediction_query
from sidecar.push.once import push_once
from sidecar.push.options import PushOptions
from sidecar.serve.exposition import render
from sidecar.whole_file import write_whole

JOB = "model-sidecar-outcomes"
"""Label `job` and `instance` of what is pushed: the same from one run to the next."""


@dataclass(slots=True)
class Progress:
    """How far a run is."""

    documents: int = 0
    """With predictions, or what may be some."""
    show: Callable[[], None] = lambda: None


@dataclass(frozen=True, slots=True)
class Finished:
    """What a run found, and where it was put."""

    joined: Joined
    metrics: list[FamilySnapshot]
    no_index: bool
    stored: int = 0
    pushed: dict[str, str] = field(default_factory=dict)
    """Destination -> why it was not pushed there; empty where it was."""


@dataclass(frozen=True, slots=True)
class Run:
    """What one run works with."""

    options: OutcomeOptions
    elasticsearch: OutcomeElasticsearchOptions
    push: PushOptions
    now: int
    """Unix seconds at which windows end."""
    timeout: float
    """Seconds without an answer after which to give up."""
    labels: LabelSource | None = None
    """Those that are in the engine, where it is None."""
    textfile: Path | None = None


def run(work: Run, progress: Progress) -> Finished:
    """Read, join, and put the figures where they are wanted. Raises `Unreached` and `SidecarError`."""
    begin = work.now - int(max(work.options.windows))
    early = begin - int(work.options.prediction_ttl)
    with Connection(work.elasticsearch) as connection:
        request = patient(connection.ask, work.timeout)
        with PointInTime(request, work.elasticsearch.logs) as documents:
            labels = work.labels or StoredLabels(documents, early, work.now)
            reader = PredictionRowReader(work.options.id_attributes)
            predictions = _predictions(documents, reader, begin, work.now, progress)
            joined = join(labels, predictions, work.options, work.now)
            nothing = documents.is_empty
        stored = 0
        if work.elasticsearch.documents:
            stored = figure_index.store(
                request, work.elasticsearch.index, results.documents(joined, work.options, work.now)
            )
    metrics = results.metrics(joined, work.options, work.now)
    if work.textfile is not None:
        write_whole(work.textfile, render(metrics, openmetrics=False))
    labels_of = {"job": JOB, "instance": JOB, **work.push.labels}
    return Finished(joined, metrics, nothing, stored, push_once(work.push, labels_of, metrics, work.timeout))


def _predictions(
    documents: PointInTime, reader: PredictionRowReader, begin: int, end: int, progress: Progress
) -> Iterator[list[PredictedRows]]:
    for hits in documents.pages(prediction_query(reader, begin, end), PREDICTION_SORT, SOURCE):
        progress.documents += len(hits)
        progress.show()
        yield [found for hit in hits if (found := prediction_of(hit, reader)) is not None]
