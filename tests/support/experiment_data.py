"""Exposures and conversions for tests of experiments, and a deriver that is fed with them."""

from __future__ import annotations

from typing import Any

import numpy as np

from sidecar.derive.experiments.deriver import ExperimentDeriver
from sidecar.derive.experiments.options import ExperimentOptions
from sidecar.derive.series import Arrival, Budget
from support.derive_fakes import lines
from support.outcome_data import DECODER, SECOND, START, logged


def shown(variant: str, id_: str = "", **more: Any) -> dict[str, Any]:
    """A JSON line of a prediction in the experiment `ranking`."""
    given = {"model": "shop", "predicted_class": "yes", "experiment": "ranking", "variant": variant}
    return given | ({"prediction_id": id_} if id_ else {}) | more


def bought(id_: str = "", **more: Any) -> dict[str, Any]:
    """A JSON line of a conversion."""
    return {"event": "conversion"} | ({"prediction_id": id_} if id_ else {}) | more


class Experiments:
    """A deriver, and what it shows."""

    def __init__(self, **options: Any) -> None:
        self.options = ExperimentOptions(enabled=True, **options)
        self.deriver = ExperimentDeriver(self.options, Budget())
        self.kept: dict[bytes, bytes] = {}

    def feed(self, payload: bytes, time: int = START) -> None:
        """A payload that came at `time` (Unix seconds)."""
        arrival = Arrival(np.array([1]), np.array([time * SECOND]), time * SECOND)
        self.deriver.apply(self.deriver.decode(DECODER, [payload]), arrival)

    def log(self, *records: dict[str, Any], time: int = START) -> None:
        """A payload of JSON lines."""
        self.feed(logged(*records), time)

    def restart(self) -> None:
        """Go on with what was committed at this moment."""
        for kept in self.deriver.kept:
            for key, value in kept.checkpoint():
                if value is None:
                    self.kept.pop(key, None)
                else:
                    self.kept[key] = bytes(value)
        self.deriver = ExperimentDeriver(self.options, Budget())
        used = [kept.restore(self.kept) for kept in self.deriver.kept]
        assert set().union(*used) == self.kept.keys()

    def shown(self, beginning: str = "") -> dict[str, float]:
        """Series -> value."""
        for kept in self.deriver.kept:
            if hasattr(kept, "mark_exported"):
                kept.mark_exported()
        found = lines(list(self.deriver.collect()))
        return {key: float(value) for key, value in found.items() if key.startswith(beginning)}

    def value(self, name: str, **labels: str) -> float | None:
        """The series of this name with these labels."""
        found = [
            value
            for key, value in self.shown(name).items()
            if key.partition("{")[0] == name and all(f'{label}="{text}"' in key for label, text in labels.items())
        ]
        assert len(found) <= 1
        return found[0] if found else None

    def results(self, table: str) -> dict[str, int]:
        """Result -> number; `table`: exposure or conversion."""
        found: dict[str, int] = {}
        for key, n in self.shown(f"ab_test_{table}_events_total").items():
            result = key.split('result="')[1].split('"')[0]
            found[result] = found.get(result, 0) + int(n)
        return found

    def units(self, name: str) -> dict[str, int]:
        """Variant -> number; `name`: exposures or conversions."""
        series = self.shown(f"ab_test_{name}_total")
        return {key.split('variant="')[1].split('"')[0]: int(n) for key, n in series.items()}
