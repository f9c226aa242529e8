"""A report as values. What is None was not there to be read; it is never 0."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sidecar.derive.families import Number
from sidecar.derive.shares import Share
from sidecar.report.accuracy import Outcomes
from sidecar.report.figure_source import About
from sidecar.report.period import Period
from sidecar.serve.pages.experiments import Variant
from sidecar.serve.pages.models import Model, Stage, Tokens
from sidecar.serve.pages.quality import FIGURES, Window

AUC = FIGURES["model_roc_auc"]


@dataclass(frozen=True, slots=True)
class Point:
    """A step of a graph. `end`: Unix seconds."""

    end: float
    predictions: Number | None
    """None where no series of the model was there."""
    failed: Number
    p95_ns: float | None
    accuracy: Share | None
    """Of the rows whose label came in that time; None below the number of rows that a figure needs."""


@dataclass(frozen=True, slots=True)
class Change:
    """Something that is otherwise than in the period before."""

    text: str
    kind: str
    """`worse`, `better` or `other`."""


@dataclass(frozen=True, slots=True)
class ClassShare:
    """A predicted class, and its share in the period and in the one before."""

    name: str
    predictions: Number
    share: float
    before: float | None


@dataclass(frozen=True, slots=True)
class Rates:
    """What one period has of a model's calls."""

    predictions: Number
    errors: Share | None
    """Share of the predictions that failed; None without predictions."""
    inference: Stage | None
    confidence: float | None
    """Median of the predicted class's probability."""
    confidence_rows: Number


@dataclass(slots=True)
class ModelReport:
    """One version of a model of a service."""

    model: Model
    rates: Rates
    outcomes: Outcomes
    window: Window | None
    """Gauges of the window of outcomes that is nearest to the period: AUC, calibration, errors of numbers."""
    features: int
    """How many features are compared, of which `model.features` are shown."""
    rules: Sequence[tuple[str, str, Number]]
    """(feature, rule, failures) of data quality, most first."""
    classes: Sequence[ClassShare] = ()
    hidden_classes: int = 0
    before: Rates | None = None
    """None where the period before has nothing of this version."""
    outcomes_before: Outcomes | None = None
    points: Sequence[Point] = ()
    changes: Sequence[Change] = ()

    @property
    def most(self) -> Number:
        """Predictions of the point that has most."""
        return max((point.predictions for point in self.points if point.predictions is not None), default=0)

    @property
    def slowest(self) -> float:
        """The highest p95 of a point, in nanoseconds."""
        return max((point.p95_ns for point in self.points if point.p95_ns is not None), default=0.0)

    @property
    def accuracy_range(self) -> tuple[float, float] | None:
        """What holds the intervals of all points, in tenths; None without any."""
        shares = [point.accuracy for point in self.points if point.accuracy is not None]
        if not shares:
            return None
        return math.floor(10 * min(s.lower for s in shares)) / 10, math.ceil(10 * max(s.upper for s in shares)) / 10

    @property
    def auc(self) -> Number | None:
        """Area under the ROC curve, of `window`."""
        return dict(self.window.figures).get(AUC) if self.window else None

    @property
    def drifted(self) -> int:
        return sum(feature.state == "drifted" for feature in self.model.features)


@dataclass(frozen=True, slots=True)
class Service:
    """Requests that a service answered."""

    name: str
    requests: Number
    errors: Share
    p50: float | None
    """Quantiles in nanoseconds."""
    p95: float | None
    p99: float | None
    before: Number | None
    """Requests of the period before."""
    errors_before: Share | None


@dataclass(frozen=True, slots=True)
class VariantReport:
    """A variant of an experiment: since that began, and its calls in the period."""

    variant: Variant
    conversions: Number
    requests: Number
    errors: Share | None
    p95: float | None


@dataclass(frozen=True, slots=True)
class ExperimentReport:
    name: str
    sample_ratio_p: Number | None
    variants: Sequence[VariantReport]


@dataclass(frozen=True, slots=True)
class Incident:
    """An alert that fired: how often, for how long, when."""

    name: str
    severity: str
    labels: Mapping[str, str]
    times: int
    seconds: float
    first: float
    last: float
    """Unix seconds, to the step of `Report.alert_step`."""
    firing: bool
    """At the end of the period."""


@dataclass(slots=True)
class Report:
    """Everything."""

    period: Period | None
    """None: since the counters of the source began."""
    made: float
    """Unix seconds."""
    source: About
    models: list[ModelReport] = field(default_factory=list)
    hidden_models: int = 0
    services: list[Service] = field(default_factory=list)
    experiments: list[ExperimentReport] = field(default_factory=list)
    tokens: list[Tokens] = field(default_factory=list)
    business: list[tuple[str, str, Number, Number | None]] = field(default_factory=list)
    """(what, service, of the period, of the period before)."""
    incidents: list[Incident] | None = None
    """None: the source has no alerts."""
    hidden_incidents: int = 0
    alert_step: float = 0.0
    compared: bool = False
    """Whether the period before has anything."""

    def lacks(self, part: str) -> bool:
        """Whether the source has no such part (`figure_source`)."""
        return part in self.source.missing

    @property
    def data_from(self) -> float | None:
        """Unix seconds from which on the source has data, where that is within the period."""
        begins = self.source.begins
        return begins if begins is not None and self.period and begins > self.period.start else None
