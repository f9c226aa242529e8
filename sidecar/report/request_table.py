"""Requests that services answered, from their spans."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from sidecar.decode.api import SpanBatch
from sidecar.derive.series import OTHER
from sidecar.serve.pages.metric_families import Histogram, Series

BOUNDS = tuple(1e-5 * 1.02**n for n in range(1_048))
"""Upper bounds of durations in seconds, up to three hours: each 2 % above the one before, so that a quantile is as near
to the true one."""
_BOUNDS_NS = np.array(BOUNDS) * 1e9
_SERVER = "SPAN_KIND_SERVER"
_MAX_SERVICES = 1_000
"""More are counted as one, `OTHER`."""


@dataclass(slots=True)
class _Service:
    by_status: dict[str, float] = field(default_factory=dict)
    buckets: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(len(BOUNDS) + 1))


class RequestTable:
    """Spans of kind server, by service and status. A span that was sampled counts as many as it stands for."""

    def __init__(self) -> None:
        self._services: dict[str, _Service] = {}

    def add(self, batch: SpanBatch) -> None:
        """Add the spans of a batch."""
        timed = batch.start > 0
        places = np.searchsorted(_BOUNDS_NS, batch.duration)
        for number, (service, _, kind, status, *_) in enumerate(batch.groups):
            if kind != _SERVER:
                continue
            own: npt.NDArray[Any] = batch.group == number
            of = self._service(service)
            of.by_status[status] = of.by_status.get(status, 0.0) + float(batch.adjusted_count[own].sum())
            own &= timed
            of.buckets += np.bincount(places[own], batch.adjusted_count[own], len(of.buckets))

    def families(self) -> dict[str, list[Series]]:
        """`calls` and `durations` as sources of figures have them."""
        calls = [
            Series({"service_name": name, "status_code": status}, n)
            for name, of in self._services.items()
            for status, n in of.by_status.items()
        ]
        durations = []
        for name, of in self._services.items():
            counts = tuple(np.cumsum(of.buckets).tolist())
            durations.append(Series({"service_name": name}, counts[-1], Histogram(BOUNDS, counts)))
        return {"calls": calls, "durations": durations}

    def _service(self, name: str) -> _Service:
        if name not in self._services and len(self._services) >= _MAX_SERVICES:
            name = OTHER
        return self._services.setdefault(name, _Service())
