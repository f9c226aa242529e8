"""Figures of a period from the documents that sidecars have delivered to Elasticsearch or OpenSearch.

Predictions and experiments are read, record by record, and counted as a sidecar counts them. Requests are added up by
the engine. Outcomes are those that `sidecar outcomes` has put there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from sidecar.decode.api import Decoder
from sidecar.decode.select import decoder
from sidecar.deliver.common.connection import Connection
from sidecar.deliver.common.http import Request
from sidecar.deliver.elasticsearch.answers import answer
from sidecar.derive.registry import DeriveOptions
from sidecar.errors import Permanent
from sidecar.options import ClientAuth, ClientTls
from sidecar.outcomes.point_in_time import PointInTime, patient
from sidecar.report.document_payloads import SORT, SOURCE, payload_of
from sidecar.report.document_queries import PERCENTS, first_search, records_query, services_search
from sidecar.report.figure_source import (
    ALERTS,
    BUSINESS_FIGURES,
    DRIFT,
    ESTIMATE,
    LABELS,
    OUTCOMES,
    QUALITY,
    TOKENS,
    About,
)
from sidecar.report.outcome_documents import Figures
from sidecar.report.period import Period
from sidecar.report.replay import Replay, Timeline, options_for
from sidecar.report.selection import of_models
from sidecar.report.sources import Asked
from sidecar.serve.pages.metric_families import Histogram, Metrics, Series

_LENIENT = "ignore_unavailable=true&allow_no_indices=true"
_TOGETHER = 500
"""Documents that are counted as one request."""
_COUNTING = (
    "Predictions are of the records of the period, by their own time, each read. Requests are the spans of kind server "
    "that were delivered, added up by the engine; their quantiles have three digits, those of models are within 2 %."
)
_NONE = (DRIFT, QUALITY, ESTIMATE, LABELS, ALERTS, TOKENS, BUSINESS_FIGURES)


@dataclass(frozen=True, slots=True)
class Places:
    """Indices or data streams: patterns, and the index of `sidecar outcomes`."""

    logs: str
    traces: str
    figures: str


class ElasticsearchSource:
    """What the documents of one cluster say. They are read once."""

    def __init__(
        self,
        request: Request,
        address: str,
        places: Places,
        decoder: Decoder,
        derive: DeriveOptions,
        period: Period,
        models: Sequence[str] = (),
    ) -> None:
        self._request, self._address, self._places = request, address, places
        self._period, self._models = period, models
        self._derive = _of_documents(options_for(derive, period))
        self._replay = Replay(self._derive, decoder, ("genai", "rules", "outcomes"))
        self._figures = Figures(period)
        self._timeline: Timeline | None = None
        self._begins: float | None = None
        self._strange = self._sampled = 0

    def about(self) -> About:
        return About(
            f"Elasticsearch or OpenSearch at {self._address}",
            f"expected documents of predictions in {self._places.logs} or of spans in {self._places.traces}: does a "
            "sidecar deliver to them, and are the period and --model right?",
            _COUNTING,
            missing=_NONE if self._figures.of(self._period) else (OUTCOMES, *_NONE),
            labelled="of the rows of the window of the job of labels (sidecar outcomes) that is nearest to the period",
            experiments="Of both periods",
            begins=self._begins,
            notes=tuple(self._notes()),
        )

    def metrics(self, period: Period) -> Metrics:
        found = self._read().between(period.start, period.end)
        found.by_name.update(self._services(period))
        found.by_name.update(self._figures.families(period))
        return of_models(found, self._models)

    def history(self, period: Period) -> Sequence[tuple[float, Metrics]]:
        return [(end, of_models(metrics, self._models)) for end, metrics in self._read().history()]

    def alerts(self, period: Period) -> None:
        return None

    def _notes(self) -> Iterator[str]:
        if self._figures.of(self._period):
            yield f"Labels were joined up to {self._figures.joined_up_to(self._period)}."
        else:
            yield f"The job of labels (sidecar outcomes) has put no figures of this time into {self._places.figures}."
        if self._sampled:
            yield f"{self._sampled} requests of the period were sampled: those of services count what was delivered."
        if lost := self._strange + self._replay.unreadable:
            yield f"{lost} documents cannot be read, and are in no figure."

    def _read(self) -> Timeline:
        if self._timeline is None:
            both = Period(self._period.before.start, self._period.end)
            timeline = Timeline(self._replay, self._period, _TOGETHER)
            with PointInTime(self._request, f"{self._places.logs},{self._places.traces}") as documents:
                if documents.is_empty:
                    raise Permanent(
                        f"no index at {self._address} matches {self._places.logs} or {self._places.traces}; expected "
                        "those that sidecars deliver to (outcomes.elasticsearch.logs, lookup.elasticsearch.traces)"
                    )
                for hits in documents.pages(records_query(self._derive, both), SORT, SOURCE):
                    self._add(timeline, hits)
            timeline.end()
            self._begins = self._late_begin(both)
            self._figures.read(self._request, self._places.figures, both)
            self._timeline = timeline
        return self._timeline

    def _add(self, timeline: Timeline, hits: Sequence[Mapping[str, Any]]) -> None:
        for hit in hits:
            try:
                payload = payload_of(hit)
            except (KeyError, TypeError, ValueError, AttributeError):
                self._strange += 1
                continue
            if payload is not None:
                timeline.add(payload)

    def _late_begin(self, both: Period) -> float | None:
        """Unix seconds of the first document, where it is later than the begin."""
        found = self._search(f"{self._places.logs},{self._places.traces}", first_search(both))
        first = found.get("aggregations", {}).get("first", {}).get("value")
        late = first is not None and first / 1000 > both.start + self._period.step
        return first / 1000 if late else None

    def _services(self, period: Period) -> dict[str, list[Series]]:
        found: dict[str, list[Series]] = {"calls": [], "durations": []}
        answered = self._search(self._places.traces, services_search(period))
        for bucket in answered.get("aggregations", {}).get("services", {}).get("buckets", ()):
            own, n, failed = {"service_name": str(bucket["key"])}, bucket["doc_count"], bucket["failed"]["doc_count"]
            counts = {"STATUS_CODE_ERROR": failed, "STATUS_CODE_UNSET": n - failed}
            found["calls"] += [Series({**own, "status_code": status}, value) for status, value in counts.items()]
            found["durations"].append(Series(own, n, _of_percentiles(bucket["durations"]["values"], n)))
            self._sampled += bucket["sampled"]["doc_count"] if period == self._period else 0
        return found

    def _search(self, indices: str, body: Mapping[str, Any]) -> dict[str, Any]:
        target = f"/{quote(indices, safe='*,')}/_search?{_LENIENT}&allow_partial_search_results=false"
        found: dict[str, Any] = answer(self._request("POST", target, json.dumps(body).encode()), "searching") or {}
        return found


def _of_documents(derive: DeriveOptions) -> DeriveOptions:
    """Of payloads of serving protocols documents keep what redaction leaves: they are not read."""
    predictions = derive.section("predictions").model_copy(update={"payloads": False})
    return derive.model_copy(update={"predictions": predictions})


def _of_percentiles(values: Mapping[str, float | None], count: int) -> Histogram | None:
    """A histogram of seconds that has these quantiles, of nanoseconds; None without values."""
    ends = [values.get(f"{percent:.1f}") for percent in PERCENTS]
    known = [end / 1e9 for end in ends if end is not None]
    if len(known) < len(PERCENTS):
        return None
    return Histogram(tuple(known), (*(percent / 100 * count for percent in PERCENTS), count))


@contextmanager
def opened(asked: Asked) -> Iterator[ElasticsearchSource]:
    """See `sources.SourceType`. Credentials and certificates are those of `outcomes.elasticsearch`, where none are
    given."""
    settings, server = asked.settings(), asked.server
    given: dict[str, Any] = {"hosts": server.hosts, "timeout": server.timeout}
    given |= {"auth": server.auth} if server.auth != ClientAuth() else {}
    given |= {"tls": server.tls} if server.tls != ClientTls() else {}
    options = settings.outcomes.elasticsearch.model_copy(update=given)
    places = Places(options.logs, settings.lookup.elasticsearch.traces, options.index)
    with Connection(options) as connection:
        request = patient(connection.ask, server.timeout)
        yield ElasticsearchSource(request, asked.place, places, decoder(), settings.derive, asked.period, asked.models)
