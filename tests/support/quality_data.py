"""Suites of Great Expectations, and a deriver that holds values against them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sidecar.decode.python import ReferenceDecoder
from sidecar.derive.drift.deriver import DriftDeriver
from sidecar.derive.drift.options import DriftOptions
from sidecar.derive.series import Budget
from sidecar.telemetry import Telemetry
from support.derive_fakes import lines
from support.drift_data import HOUR, START, at, events_request

DECODER = ReferenceDecoder()


def suite(expectations: Sequence[tuple[str, Mapping[str, Any]]], name: str = "s", **meta: str) -> str:
    """The JSON of a suite as 1.x writes it, in short."""
    listed = [{"type": kind, "kwargs": dict(kwargs), "meta": {}} for kind, kwargs in expectations]
    return json.dumps({"name": name, "expectations": listed, "meta": meta, "notes": None})


class Held:
    """A deriver with suites in a file or a folder."""

    def __init__(self, path: Path, telemetry: Telemetry | None = None, **options: Any) -> None:
        self.deriver = DriftDeriver(DriftOptions(suites=path, **options), Budget(), telemetry)

    def feed(
        self, hour: float, *events: Mapping[str, Sequence[Any]], model: str = "churn", version: str = "7", **body: Any
    ) -> None:
        """One payload with an event for each of these columns."""
        payload = events_request([(features, body) for features in events], model, version)
        self.deriver.apply(self.deriver.decode(DECODER, [payload]), at(START + int(hour * HOUR)))

    def shown(self, beginning: str = "data_quality_") -> dict[str, float]:
        """Series -> value."""
        self.deriver.failures.mark_exported()
        self.deriver.left_out.mark_exported()
        found = lines(list(self.deriver.collect()))
        return {key: float(value) for key, value in found.items() if key.startswith(beginning)}

    def of(self, family: str, *labels: str) -> dict[tuple[str, ...], float]:
        """Values of a family by some of its labels; one that is not there is empty."""
        found = {}
        for key, value in self.shown(family + "{").items():
            own = dict(part.split('="') for part in key.split("{")[1].rstrip('}"').split('",'))
            found[tuple(own.get(label, "") for label in labels)] = value
        return found
