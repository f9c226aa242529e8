"""The derivers that there are: the only list of them. Options, schema, reference, names that rules may not take, the
memory bound and which of two equal families is shown are computed from `DERIVERS`. A new deriver is a file, a test, and
a line here."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, Field, create_model

from sidecar.derive import log_records, red, rule_metrics, service_graph
from sidecar.derive.deriver import Deriver, DeriverContext
from sidecar.derive.drift.options import DriftOptions
from sidecar.derive.experiments.options import ExperimentOptions
from sidecar.derive.families import FamilySnapshot
from sidecar.derive.genai import deriver as genai
from sidecar.derive.genai.genai_tables import METRICS as GENAI_METRICS
from sidecar.derive.models import importance, label_counts, predictions
from sidecar.derive.otlp_metrics import deriver as otlp_metrics
from sidecar.derive.outcomes.options import OutcomeOptions
from sidecar.derive.scrapes import View
from sidecar.derive.series import Budget
from sidecar.derive.target_info import Targets
from sidecar.options import Duration, Section
from sidecar.telemetry import Telemetry


def _none(options: Any) -> Iterable[str]:
    return ()


@dataclass(frozen=True, slots=True)
class DeriverType:
    """One type of deriver, with the section `derive.<name>`."""

    name: str
    options: Any
    """Type of its section: a model with defaults for everything, or a tuple."""
    build: Callable[[Any, DeriverContext], Sequence[Deriver[Any]]]
    """(options, context) -> a deriver for each signal that it is made from; none where it is off."""
    description: str
    """Of its section, in a few words."""
    memory: Callable[[Any, Budget], int]
    """(options, budget of a table) -> bytes that its state can take at most, about."""
    prefixes: tuple[str, ...] = ()
    """Beginnings of its metrics' names, which a user's own metric may not have."""
    shared_families: tuple[str, ...] = ()
    """Families that apps may send themselves; of a service whose spans give them those are shown."""
    chosen_names: Callable[[Any], Iterable[str]] = _none
    """(options) -> names of metrics that its options choose."""
    showing_all: Mapping[str, Any] = field(default_factory=dict)
    """What its options need beyond the defaults to show every family that it has."""


def _of(deriver: str, switch: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """`build` and `memory` of a deriver that is off unless its option `switch` is true. Its module is imported then:
    each takes up to a megabyte, and a tenth of the time of a start."""

    def call(function: str, options: Any, context: Any) -> Any:
        return getattr(importlib.import_module(f"sidecar.derive.{deriver}.deriver"), function)(options, context)

    def build(options: Any, context: DeriverContext) -> Sequence[Deriver[Any]]:
        return call("build", options, context) if getattr(options, switch) else ()

    def memory(options: Any, budget: Budget) -> int:
        return call("memory", options, budget) if getattr(options, switch) else 0

    return build, memory


_BUILD_DRIFT, _DRIFT_MEMORY = _of("drift", "active")
_BUILD_OUTCOMES, _OUTCOME_MEMORY = _of("outcomes", "enabled")
_BUILD_EXPERIMENTS, _EXPERIMENT_MEMORY = _of("experiments", "enabled")

# What is made from spans stands before what apps send: of one name the first is shown.
DERIVERS: tuple[DeriverType, ...] = (
    DeriverType(
        "red",
        red.RedOptions,
        red.build,
        "Rate, error and duration metrics from spans.",
        red.memory,
        prefixes=("traces_",),
        showing_all={"names": "both"},
    ),
    DeriverType(
        "service_graph",
        service_graph.ServiceGraphOptions,
        service_graph.build,
        "Requests between services, from pairs of spans; see docs/how-to/service-graph.md.",
        service_graph.memory,
        prefixes=("traces_",),
        showing_all={"enabled": True},
    ),
    DeriverType(
        "logs",
        log_records.LogOptions,
        log_records.build,
        "Counters from log records.",
        log_records.memory,
        prefixes=("log_records", "log_exceptions"),
    ),
    DeriverType(
        "genai",
        genai.GenaiOptions,
        genai.build,
        "Metrics of generative models from spans.",
        genai.memory,
        prefixes=("gen_ai_",),
        shared_families=tuple(metric.name for metric in GENAI_METRICS),
    ),
    DeriverType(
        "otlp_metrics",
        otlp_metrics.OtlpMetricsOptions,
        otlp_metrics.build,
        "Metrics received over OTLP, shown as Prometheus has them.",
        otlp_metrics.memory,
    ),
    DeriverType(
        "rules",
        rule_metrics.Rules,
        rule_metrics.build,
        "Metrics of your own from fields of spans or log records (in a variable: a JSON list); see "
        "docs/how-to/rules.md.",
        rule_metrics.memory,
        chosen_names=rule_metrics.names,
    ),
    DeriverType(
        "predictions",
        predictions.PredictionOptions,
        predictions.build,
        "Metrics of models from predictions in logs and spans.",
        predictions.memory,
        prefixes=("model_",),
    ),
    DeriverType(
        "importance",
        importance.ImportanceOptions,
        importance.build,
        "How much each feature counts in a model, as the model says.",
        importance.memory,
        prefixes=("model_",),
    ),
    DeriverType(
        "labels",
        label_counts.LabelOptions,
        label_counts.build,
        "Counters of labels of predictions.",
        label_counts.memory,
        prefixes=("model_",),
    ),
    DeriverType(
        "drift",
        DriftOptions,
        _BUILD_DRIFT,
        "Drift and data quality beside a reference; see docs/how-to/drift.md.",
        _DRIFT_MEMORY,
        prefixes=("model_", "data_drift_", "data_quality_"),
        showing_all={"learn": 1},
    ),
    DeriverType(
        "outcomes",
        OutcomeOptions,
        _BUILD_OUTCOMES,
        "Predictions joined with their labels: how often models are right; see docs/how-to/outcomes.md.",
        _OUTCOME_MEMORY,
        prefixes=("model_",),
        showing_all={"enabled": True},
    ),
    DeriverType(
        "experiments",
        ExperimentOptions,
        _BUILD_EXPERIMENTS,
        "A/B tests: variants beside each other; see docs/how-to/experiments.md.",
        _EXPERIMENT_MEMORY,
        prefixes=("ab_test_",),
        showing_all={"enabled": True},
    ),
)


class _Derive(Section):
    """Metrics derived from what is received."""

    series_ttl: Duration = Field(
        default=3600, gt=0, description="Time after which a series that nothing is added to goes."
    )
    series_budget: int = Field(default=2000, ge=1, description="Series of one metric; more go to its overflow series.")
    label_budget: int = Field(
        default=200, ge=1, description="Values of one label of a metric; more become `__other__` for that label."
    )
    native_histograms: bool = Field(
        default=False,
        description="Show histograms as native ones too, to scrapers that ask for protobuf. Switching it restarts the "
        "series of histograms at 0.",
    )
    checkpoint_interval: Duration = Field(
        default=2.0,
        gt=0,
        description="How often derived metrics are committed. After a crash at most this much is read again.",
    )

    def section(self, name: str) -> Any:
        """The options of a type of deriver."""
        return getattr(self, name)

    def budget(self) -> Budget:
        """The budget of one table."""
        return Budget(self.series_budget, self.label_budget, native=self.native_histograms)


def derive_options(types: Sequence[DeriverType]) -> type[_Derive]:
    """The section's options: a section for each type of deriver, and what all share."""
    reserved = tuple(sorted({prefix for kind in types for prefix in kind.prefixes}))
    sections: dict[str, Any] = {
        kind.name: (
            Annotated[kind.options, AfterValidator(_checked(kind, reserved))]
            if kind.chosen_names is not _none
            else kind.options,
            Field(default_factory=kind.options, description=kind.description),
        )
        for kind in types
    }
    return create_model("DeriveOptions", __base__=_Derive, __doc__=_Derive.__doc__, **sections)


def memory_bound_bytes(options: _Derive, types: Sequence[DeriverType]) -> int:
    """What the state of all derivers can take at most, about."""
    return sum(kind.memory(options.section(kind.name), options.budget()) for kind in types)


def shared_families(types: Sequence[DeriverType]) -> frozenset[str]:
    """Names of families that may come from more than one source."""
    return frozenset(name for kind in types for name in kind.shared_families)


def families(options: _Derive, types: Sequence[DeriverType], telemetry: Telemetry) -> Iterator[FamilySnapshot]:
    """Every family of the types, without series, but for those whose names users or apps choose."""
    context = DeriverContext(options.budget(), Targets(options.series_budget), telemetry)
    for kind in types:
        section = {**options.section(kind.name).model_dump(), **kind.showing_all} if kind.showing_all else None
        chosen = options.section(kind.name) if section is None else kind.options.model_validate(section)
        for deriver in kind.build(chosen, context):
            yield from deriver.collect(View(0, 0))


def _checked(kind: DeriverType, reserved: tuple[str, ...]) -> Callable[[Any], Any]:
    def check(options: Any) -> Any:
        for name in kind.chosen_names(options):
            if name.startswith(reserved):
                raise ValueError(f"{name}: names that begin so are the program's own; choose another")
        return options

    return check


if TYPE_CHECKING:
    DeriveOptions = _Derive
else:
    DeriveOptions = derive_options(DERIVERS)
