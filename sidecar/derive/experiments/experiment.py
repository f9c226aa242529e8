"""One experiment: what its variants add up to, and the most that was ever found against there being no difference.

Comparisons are made after each payload, so that they are the same after a crash as without one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from sidecar.derive.experiments.inference import (
    Evidence,
    compare,
    enough,
    mean_of,
    p_value,
    proportion,
    share_log_ratio,
)
from sidecar.derive.experiments.options import ExperimentDesign

OUTCOMES = ("conversion", "value", "accuracy")
_CONTROLS = ("control", "baseline", "default", "off", "a")
_MIN_VALUED = 100
"""Units with a value that are expected in each variant before means of values are compared: revenue is skewed, and the
test holds only for means that are about normal."""
_SEPARATOR = "\0"


@dataclass(slots=True)
class Variant:
    """What was counted of one variant."""

    name: str
    exposures: int = 0
    conversions: int = 0
    """Units that converted."""
    value: float = 0.0
    squares: float = 0.0
    """Of the values of units."""
    labelled: int = 0
    correct: int = 0


class Tests(NamedTuple):
    """What comparisons are made with."""

    mixture: float
    """`inference.mixture_units`."""
    alpha: float
    min_units: int
    by_user: bool
    """Rows of one user are not independent: their accuracy is shown, not compared."""


class Comparison(NamedTuple):
    """A variant beside the control."""

    variant: str
    control: str
    outcome: str
    evidence: Evidence
    p: float
    significant: bool


@dataclass(slots=True)
class Experiment:
    """Times are Unix seconds."""

    number: int
    """Never given twice."""
    name: str
    variants: list[Variant] = field(default_factory=list)
    largest: dict[str, float] = field(default_factory=dict)
    """(control, variant, outcome) -> the largest log of the likelihood ratio so far, where one was made."""
    mismatch: float = 0.0
    """The largest log of the Bayes factor against the expected shares so far, of these variants."""
    shared: list[str] = field(default_factory=list)
    """Variants that `mismatch` is of."""
    seen: int = 0
    """Of the last exposure."""

    def find(self, variant: str) -> int:
        """Place of a variant, -1 without it."""
        return next((at for at, one in enumerate(self.variants) if one.name == variant), -1)

    def control(self, design: ExperimentDesign) -> str:
        """Name of the control, empty where it has not been seen yet."""
        names = [one.name for one in self.variants]
        if design.control:
            return design.control if design.control in names else ""
        usual = (name for wanted in _CONTROLS for name in sorted(names) if name.lower() == wanted)
        return next(usual, min(names, default=""))

    def knows_control(self, design: ExperimentDesign) -> bool:
        """Whether the control is not only the one variant that there is: the others may be in other pods."""
        return len(self.variants) > 1 or self.control(design).lower() in (design.control.lower(), *_CONTROLS)

    def expected(self, design: ExperimentDesign) -> dict[str, float]:
        """Variant to its share of the units, of those that take part in the test of shares; empty where they cannot be
        known: of a variant alone it may be that the others are in other pods."""
        shares = design.shares or {one.name: 1.0 for one in self.variants}
        total = sum(shares.values())
        return {name: share / total for name, share in shares.items()} if len(shares) > 1 else {}

    def look(self, design: ExperimentDesign, tests: Tests) -> None:
        """Compare what there is now, and remember the most that was found of each difference. Of the shares it is what
        is found now: exposures come in batches, each of one sender's variant, and are shared out when all have come."""
        for control, variant, outcome, evidence in self._compared(design, tests):
            key = _SEPARATOR.join((control, variant, outcome))
            self.largest[key] = max(self.largest.get(key, 0.0), evidence.log_ratio)
        expected = self.expected(design)
        if not expected:
            return
        self.shared = sorted(expected)
        counts = {one.name: one.exposures for one in self.variants}
        self.mismatch = share_log_ratio(
            [counts.get(name, 0) for name in self.shared], [expected[n] for n in self.shared]
        )

    def comparisons(self, design: ExperimentDesign, tests: Tests) -> Iterator[Comparison]:
        """What is shown of comparisons."""
        level = tests.alpha / max(1, len(self.variants) - 1)
        for control, variant, outcome, evidence in self._compared(design, tests):
            largest = self.largest.get(_SEPARATOR.join((control, variant, outcome)), 0.0)
            p = p_value(max(largest, evidence.log_ratio))
            yield Comparison(variant, control, outcome, evidence, p, p <= level)

    def mismatch_p(self) -> float | None:
        """Always-valid p-value of the shares as they are; None where none are expected. It is never below the smallest
        so far, of which that holds."""
        return p_value(self.mismatch) if self.shared else None

    def _compared(self, design: ExperimentDesign, tests: Tests) -> Iterator[tuple[str, str, str, Evidence]]:
        name = self.control(design)
        at = self.find(name)
        if at < 0:
            return
        control = self.variants[at]
        level = tests.alpha / max(1, len(self.variants) - 1)
        for variant in self.variants:
            if variant is control:
                continue
            for outcome in OUTCOMES[: 2 if tests.by_user else 3]:
                found = _compare(control, variant, outcome, tests, level)
                if found is not None:
                    yield name, variant.name, outcome, found

    def pack(self) -> bytes:
        return json.dumps(asdict(self)).encode()


def unpack(packed: bytes) -> Experiment:
    """What `pack` gave. Raises ValueError, KeyError or TypeError where it is not from there."""
    given: dict[str, Any] = json.loads(packed)
    variants = [Variant(**one) for one in given.pop("variants")]
    return Experiment(variants=variants, **given)


def _compare(control: Variant, variant: Variant, outcome: str, tests: Tests, alpha: float) -> Evidence | None:
    if outcome == "value":
        return _compare_values(control, variant, tests, alpha)
    (n0, c0), (n1, c1) = (_counts(one, outcome) for one in (control, variant))
    if min(n0, n1) < tests.min_units or c0 > n0 or c1 > n1 or not enough((n0, c0), (n1, c1)):
        return None
    share = (c0 + c1) / (n0 + n1)
    return compare(proportion(n0, c0), proportion(n1, c1), tests.mixture, alpha, share * (1 - share))


def _counts(variant: Variant, outcome: str) -> tuple[int, int]:
    if outcome == "accuracy":
        return variant.labelled, variant.correct
    return variant.exposures, variant.conversions


def _compare_values(control: Variant, variant: Variant, tests: Tests, alpha: float) -> Evidence | None:
    arms = (control, variant)
    units = min(one.exposures for one in arms)
    if units < tests.min_units or not any(one.squares for one in arms):
        return None
    converted = sum(one.conversions for one in arms) / sum(one.exposures for one in arms)
    if converted * units < _MIN_VALUED:
        return None
    base, other = (mean_of(one.exposures, one.value, one.squares) for one in arms)
    return compare(base, other, tests.mixture, alpha)


def design_of(designs: Mapping[str, ExperimentDesign], name: str) -> ExperimentDesign:
    """The design of an experiment; that of equal parts where none is given."""
    return designs.get(name, ExperimentDesign())
