"""Outcomes of a period from the documents of `sidecar outcomes`: of each model, version and window the last one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from sidecar.deliver.common.http import Request
from sidecar.options import read_duration
from sidecar.outcomes.point_in_time import PointInTime
from sidecar.report.document_queries import within
from sidecar.report.period import Period
from sidecar.serve.pages.metric_families import Series

_Key = tuple[str, str, str]
_Found = dict[_Key, Mapping[str, Any]]
_SORT = ({"@timestamp": {"order": "asc", "unmapped_type": "date"}},)
_SOURCE = {"includes": ["@timestamp", "model", "version", "window", "metrics", "classes", "confusion"]}


class Figures:
    """Those of a period, and of the one before it."""

    def __init__(self, period: Period) -> None:
        self._found: dict[Period, _Found] = {period: {}, period.before: {}}

    def read(self, request: Request, index: str, both: Period) -> None:
        """Raises `Unreached` and `Permanent`; an index that is not there has none."""
        with PointInTime(request, index) as documents:
            for hits in documents.pages(within(both), _SORT, _SOURCE):
                for hit in hits:
                    self._take(hit["_source"], int(hit["sort"][0]) / 1000)

    def _take(self, document: Mapping[str, Any], time: float) -> None:
        key = tuple(str(document.get(name) or "") for name in ("model", "version", "window"))
        for period, found in self._found.items():
            if period.start < time <= period.end:
                found[key[0], key[1], key[2]] = {**document, "time": time}

    def of(self, period: Period) -> _Found:
        """(model, version, window) -> its document."""
        return self._found[period]

    def joined_up_to(self, period: Period) -> str:
        """Time of the last run."""
        last = max(document["time"] for document in self.of(period).values())
        return f"{datetime.fromtimestamp(last, UTC):%Y-%m-%d %H:%M}"

    def families(self, period: Period) -> dict[str, list[Series]]:
        """Figures of all windows by the names of their metrics, and joined rows of the window that is nearest to the
        period: the longest that is no longer, else the shortest."""
        made: dict[str, list[Series]] = {}
        for (model, version, window), document in self.of(period).items():
            own = {"model": model, "version": version, "window": window}
            for labels, metrics in _metrics(document):
                for name, value in metrics.items():
                    if isinstance(value, int | float):
                        made.setdefault(name, []).append(Series({**own, **labels}, value))
        for (model, version), document in self._nearest(period).items():
            for row in _objects(document.get("confusion")):
                labels = {name: str(row.get(name, "")) for name in ("predicted", "actual")}
                series = Series({"model": model, "version": version, **labels}, int(row.get("rows", 0)))
                made.setdefault("model_outcomes", []).append(series)
        return made

    def _nearest(self, period: Period) -> dict[tuple[str, str], Mapping[str, Any]]:
        windows: dict[tuple[str, str], dict[float, Mapping[str, Any]]] = {}
        for (model, version, window), document in self.of(period).items():
            windows.setdefault((model, version), {})[read_duration(window)] = document
        return {
            key: own[max((seconds for seconds in own if seconds <= period.seconds), default=min(own))]
            for key, own in windows.items()
        }


def _metrics(document: Mapping[str, Any]) -> Iterator[tuple[dict[str, str], Mapping[str, Any]]]:
    metrics = document.get("metrics")
    if isinstance(metrics, Mapping):
        yield {}, metrics
    for one in _objects(document.get("classes")):
        yield {"class": str(one.get("class", ""))}, {k: v for k, v in one.items() if k != "class"}


def _objects(value: Any) -> list[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []
