"""The expectations of all models: which suites a model has, and the state of each. State is committed with the place in
the journal."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import structlog

from sidecar.derive.owned_state import OwnedState
from sidecar.derive.quality.expectations import Compiled
from sidecar.derive.quality.model_quality import ModelQuality, Result
from sidecar.derive.quality.suite_library import SuiteLibrary
from sidecar.derive.series import Labels

log = structlog.get_logger("sidecar.derive")

MAX_MODELS = 64
MAX_NAMED = 20
"""Of a model, or of a file, in /status."""
STATES = ("met", "unmet", "undecided")

Model = tuple[str, str]
Slot = tuple[int, int]
"""(sub-window, interval of checks)."""


class ModelChecks:
    """The state of one model, and of which suites."""

    def __init__(self, model: Model, label: str, quality: ModelQuality, left_out: int) -> None:
        self.model, self.label, self.quality = model, label, quality
        """`label` tells the suites apart in the kept state."""
        self.left_out = left_out
        """Expectations for which there was no room."""

    def states(self) -> dict[str, int]:
        """How many expectations are in each of STATES; empty before the first check."""
        results = self.quality.results.values()
        if not results:
            return {}
        found = Counter(map(_state, results))
        return {**{state: found[state] for state in STATES}, "left_out": self.left_out}

    def unmet(self) -> list[dict[str, Any]]:
        """The first expectations that the last check found not met."""
        found = [place for place, result in self.quality.results.items() if result.met is False][:MAX_NAMED]
        return [
            {"feature": self.quality.expectations[place].column, "expectation": self.quality.labels[place]}
            for place in found
        ]

    @property
    def owner(self) -> Labels:
        """Whose the state is."""
        return self.label, *self.model


class QualityChecks:
    """Not thread-safe."""

    def __init__(self, path: Path | None, sub_windows: int, max_expectations: int) -> None:
        self.library = SuiteLibrary(path)
        self.library.read()
        self.models: dict[Model, ModelChecks] = {}
        self._sub_windows, self._max_expectations = sub_windows, max_expectations
        self._owned = OwnedState(b"quality/", 3, "little")
        self._logged: set[Model] = set()

    def __len__(self) -> int:
        return len(self.library)

    def of(self, model: Model, slot: Slot) -> ModelQuality | None:
        """The state of a model; None where it has no suite. `slot`: of the payload at hand."""
        known = self.models.get(model)
        if known is not None:
            return known.quality
        if not len(self.library) or len(self.models) >= MAX_MODELS:
            return None
        made = self._made(model, slot)
        if made is None:
            return None
        self.models[model] = made
        self._owned.begin(made.owner, made.quality)
        return made.quality

    def refresh(self, again: bool) -> bool:
        """Read the suites again; models whose suites have changed begin again. Whether something changed."""
        if not self.library.read(again):
            return False
        for model, known in list(self.models.items()):
            if self._label(model) != known.label:
                self._drop(model)
        return True

    def expire(self, before: int) -> None:
        """Take away models of which nothing came since then (Unix ns)."""
        for model in [model for model, known in self.models.items() if known.quality.seen < before]:
            self._drop(model)

    def _drop(self, model: Model) -> None:
        known = self.models.pop(model)
        self._owned.drop(known.owner, known.quality)

    def _label(self, model: Model) -> str:
        digests = sorted(one.label for one in self.library.find(model))
        return hashlib.sha256(" ".join(digests).encode()).hexdigest()[:12] if digests else ""

    def _made(self, model: Model, slot: Slot) -> ModelChecks | None:
        every: list[Compiled] = [one for suite in self.library.find(model) for one in suite.evaluated]
        used = sum(len(known.quality.expectations) for known in self.models.values())
        taken = every[: max(0, self._max_expectations - used)]
        left_out = len(every) - len(taken)
        if left_out and model not in self._logged and len(self._logged) < MAX_MODELS:
            self._logged.add(model)
            first = every[len(taken)]
            log.warning("expectations_left_out", model=model[0], version=model[1], number=left_out, first=first.name)
        if not taken:
            return None
        quality = ModelQuality(taken, self._sub_windows, *slot)
        return ModelChecks(model, self._label(model), quality, left_out)

    def status(self) -> dict[str, Any]:
        """Files, and the expectations of each model by state at its last check, as JSON."""
        models = [
            {"model": model, "version": version, "expectations": known.states(), "unmet": known.unmet()}
            for (model, version), known in self.models.items()
        ]
        return {**self.library.status(), "models": models}

    def checkpoint(self) -> Iterator[tuple[bytes, bytes | None]]:
        """What changed since the last call, as (key, value); None deletes."""
        return self._owned.checkpoint((known.owner, known.quality) for known in self.models.values())

    def restore(self, state: Mapping[bytes, bytes]) -> set[bytes]:
        """Take over what was kept of suites that are still in force; the keys that were of use."""
        used: set[bytes] = set()
        for (label, model, version), base, own in self._owned.owners(state):
            if self._take(label, (model, version), own):
                used |= {base + key for key in own}
        return used

    def _take(self, label: str, model: Model, own: Mapping[bytes, bytes]) -> bool:
        if label != self._label(model) or len(self.models) >= MAX_MODELS:
            return False
        made = self._made(model, (0, 0))
        if made is None or not made.quality.restore(own):
            return False
        self.models[model] = made
        return True


def _state(result: Result) -> str:
    if result.met is None:
        return "undecided"
    return "met" if result.met else "unmet"
