"""Figures of a period from the embedded store of one sidecar: the payloads that it keeps, counted again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from sidecar.decode.api import Decoder
from sidecar.decode.predictions.label_names import MARK
from sidecar.decode.select import decoder
from sidecar.deliver.store.stored_payloads import StoredPayloads
from sidecar.derive.registry import DeriveOptions
from sidecar.report.figure_source import ALERTS, DRIFT, ESTIMATE, QUALITY, About
from sidecar.report.period import Period
from sidecar.report.replay import Payload, Replay, Timeline, options_for
from sidecar.report.selection import of_models
from sidecar.report.sources import Asked
from sidecar.serve.pages.metric_families import Metrics

_EXPECTED = (
    "expected spans of kind server, or log records with predictions: are the folder, the period and --model right?"
)
_COUNTING = (
    "Counts are of the spans and log records that one sidecar received in the period and still keeps, each read; one "
    "that was sampled counts as many as it stands for. Quantiles are within 2 %."
)


class StoreSource:
    """What one store has of a period and the one before it. It is read once."""

    def __init__(
        self, path: Path, decoder: Decoder, derive: DeriveOptions, period: Period, models: Sequence[str] = ()
    ) -> None:
        """`derive`: the options of the sidecar that keeps the store. Raises `Permanent`."""
        self._payloads, self._period, self._models = StoredPayloads(path), period, models
        self._decoder, self._end = decoder, int(period.end * 1e9)
        self._first = self._payloads.first_ns()
        # Rows that wait for labels cost more than all else.
        without = () if self._has_labels() else ("outcomes",)
        self._replay = Replay(options_for(derive, period), decoder, without)
        self._timeline: Timeline | None = None

    def about(self) -> About:
        lost = self._payloads.damaged + self._replay.unreadable
        first = None if self._first is None else self._first / 1e9
        complete = first is None or first <= self._period.before.start + self._period.step
        return About(
            f"the store {self._payloads.path}",
            _EXPECTED,
            _COUNTING,
            missing=(DRIFT, QUALITY, ESTIMATE, ALERTS),
            experiments="Of all that the store keeps",
            begins=None if complete else first,
            notes=(f"{lost} payloads of the store are damaged, and in no figure.",) if lost else (),
        )

    def metrics(self, period: Period) -> Metrics:
        return of_models(self._read().between(period.start, period.end), self._models)

    def history(self, period: Period) -> Sequence[tuple[float, Metrics]]:
        return [(end, of_models(metrics, self._models)) for end, metrics in self._read().history()]

    def alerts(self, period: Period) -> None:
        return None

    def _has_labels(self) -> bool:
        return any(
            stored.signal == "logs" and self._decoder.contains_any(stored.payload, MARK)
            for stored in self._payloads.until(self._end)
        )

    def _read(self) -> Timeline:
        if self._timeline is None:
            self._timeline = Timeline(self._replay, self._period)
            for stored in self._payloads.until(self._end):
                if not self._timeline.add(Payload(stored.signal, stored.time_ns, stored.items, stored.payload)):
                    break
            self._timeline.end()
        return self._timeline


@contextmanager
def opened(asked: Asked) -> Iterator[StoreSource]:
    """See `sources.SourceType`."""
    yield StoreSource(Path(asked.place), decoder(), asked.settings().derive, asked.period, asked.models)
