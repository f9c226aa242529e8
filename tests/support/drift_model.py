"""A deriver of drift with a reference, and live values for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from sidecar.decode.python import ReferenceDecoder
from sidecar.derive.drift.deriver import DriftDeriver
from sidecar.derive.drift.options import DriftOptions
from sidecar.derive.scrapes import View
from sidecar.derive.series import Budget
from support.derive_fakes import lines
from support.drift_data import HOUR, START, at, event_request, reference

DECODER = ReferenceDecoder()


class DriftedModel:
    """A deriver with a reference of ages and plans, and live values for it."""

    def __init__(self, path: Path, seed: int = 5, **options: Any) -> None:
        self.rng = np.random.default_rng(seed)
        self.path = path / "reference.json"
        if not self.path.exists():
            columns = {"age": np.append(self.rng.normal(40, 10, 4999), -1.0), "plan": self.plans(5000)}
            self.path.write_text(reference(columns, "churn").dump())
        given = {"reference": self.path, "warm_up": 0, **options}
        self.deriver = DriftDeriver(DriftOptions(**given), Budget())

    def plans(self, rows: int) -> list[str]:
        return [str(plan) for plan in self.rng.choice(["basic", "pro", "free"], rows, p=[0.6, 0.3, 0.1])]

    def rows(self, rows: int = 500, shift: float = 0.0, **columns: Any) -> dict[str, Any]:
        given = {"age": self.rng.normal(40 + shift, 10, rows).tolist(), "plan": self.plans(rows), **columns}
        return {name: values for name, values in given.items() if values is not None}

    def feed(self, hour: float, features: dict[str, Any], model: str = "churn", **body: Any) -> None:
        payload = event_request(features, model, **body)
        self.deriver.apply(self.deriver.decode(DECODER, [payload]), at(START + int(hour * HOUR)))

    def shown(self, beginning: str = "", view: View | None = None) -> dict[str, float]:
        self.deriver.failures.mark_exported()
        self.deriver.left_out.mark_exported()
        return {
            key: float(value)
            for key, value in lines(list(self.deriver.collect(view))).items()
            if key.startswith(beginning)
        }

    def value(self, name: str, **labels: str) -> float | None:
        found = [
            value
            for key, value in self.shown(name + "{").items()
            if all(f'{label}="{text}"' in key for label, text in labels.items())
        ]
        assert len(found) <= 1
        return found[0] if found else None
