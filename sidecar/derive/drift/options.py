"""The options of drift."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from sidecar.derive.drift.methods.registry import METHODS, method
from sidecar.lists import mapping
from sidecar.options import Duration, Section

MAX_LEARN = 10_000
MAX_LAG = 1000
"""Sub-windows by which the window that is compared with lies behind, at most."""
WEEK_SECONDS = 7 * 86_400
CompareWith = Literal["reference", "previous_window", "same_window_last_week"]


class FeatureOptions(Section):
    """How drift of one feature is decided."""

    method: str | None = Field(None, description="Method that decides; that of all features where it is not given.")
    threshold: float | None = Field(None, ge=0, description="Score above which it is an effect.")
    group: str | None = Field(
        None, min_length=1, max_length=64, description="Label `feature_group` of its scores and decisions."
    )

    @field_validator("method")
    @classmethod
    def _known(cls, value: str | None) -> str | None:
        return None if value is None else method(value).name


class DriftOptions(Section):
    """Drift and quality of features, predictions and scores."""

    enabled: bool = Field(
        default=True,
        description="Compare with a reference, where `reference` or `learn` gives one, and with the expectations of "
        "`suites`; without any of them nothing is done.",
    )
    reference: Path | None = Field(
        default=None,
        description="File made by `sidecar profile`, or a directory with several (*.json). One that names a model, "
        "or a model and a version, is for that; one that names none is for any. Read again when it changes, and on "
        "SIGHUP; the counters then begin at 0.",
    )
    learn: int = Field(
        default=0,
        ge=0,
        le=MAX_LEARN,
        description="Rows that become the reference of a model without one: the first that arrive. 0: none.",
    )
    window: Duration = Field(default=86_400, gt=0, description="Time whose values are compared with the reference.")
    sub_windows: int = Field(default=24, ge=1, le=288, description="Steps in which the window moves on.")
    check_interval: Duration = Field(default=3600, gt=0, description="How often scores are computed.")
    warm_up: Duration | None = Field(
        default=None,
        ge=0,
        description="Time from a model's first row until drift may be detected. Default: until both windows are "
        "covered that are compared, so that a daily cycle is no drift.",
    )
    compare_with: CompareWith = Field(
        default="reference",
        description="What the window is compared with: the reference, the window before it, or the same one a week "
        "earlier. The latter two are counted in the cells of the reference, which is needed for all.",
    )
    methods: tuple[str, ...] = Field(
        default=tuple(one.name for one in METHODS),
        min_length=1,
        description=f"Methods whose scores are shown: {', '.join(one.name for one in METHODS)}.",
    )
    method: str = Field(default="psi", description="Method by which drift is detected.")
    thresholds: Annotated[dict[str, float], BeforeValidator(mapping)] = Field(
        default_factory=dict,
        description="Score above which it is an effect, by method: a mapping, or psi=0.2,ks=0.15. Defaults: "
        + ", ".join(f"{one.name} {one.threshold:g}" for one in METHODS)
        + ".",
    )
    features: dict[str, FeatureOptions] = Field(
        default_factory=dict,
        description='Method and threshold of single features (in a variable as JSON), such as {"age": {"method": "ks", '
        '"threshold": 0.2, "group": "person"}}.',
    )
    suites: Path | None = Field(
        default=None,
        description="Great Expectations suite (JSON of 0.18 or 1.x), or a directory with several (*.json), that values "
        "are held against. One whose `meta` names a `model`, and perhaps a `model_version`, is for that; others are "
        "for any. Read again when it changes, and on SIGHUP.",
    )
    max_expectations: int = Field(
        default=200,
        ge=1,
        le=2000,
        description="Expectations of all models together that are evaluated; further ones are left out.",
    )
    false_pages_per_year: float = Field(
        default=1.0,
        gt=0,
        le=1000,
        description="Detections of drift, for a model and year, that may come about where nothing has changed.",
    )
    min_rows: int = Field(
        default=0, ge=0, description="Rows that a model has in each check_interval at least; fewer fail rule `volume`."
    )
    max_features: int = Field(
        default=200,
        ge=1,
        le=10_000,
        description="Features, predictions and scores of all models that are compared; further ones are left out.",
    )
    window_rows: bool = Field(
        default=True,
        description="Show the rows of the window by bin too, about 20 series a feature, of which the shipped rules "
        "compute drift over all pods of a model.",
    )
    payloads: bool = Field(
        default=True,
        description="Read payloads of serving protocols too, not only events of the zero-code instrumentation.",
    )
    attributes: bool = Field(
        default=False,
        description="Read predictions that have their features beside them in the attributes of log records and spans "
        "too (`features`, `ml.features.*`). A program that is instrumented and writes them as well, or writes them to "
        "both, would have them counted twice. Costs 0.1 to 0.3 ms of CPU for each of them.",
    )

    @field_validator("methods")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(method(name).name for name in value))

    @field_validator("method")
    @classmethod
    def _known_one(cls, value: str) -> str:
        return method(value).name

    @field_validator("thresholds")
    @classmethod
    def _known_keys(cls, value: dict[str, float]) -> dict[str, float]:
        for name, threshold in value.items():
            method(name)
            if not threshold >= 0:
                raise ValueError(f"invalid threshold of {name}: {threshold}; expected a number of at least 0")
        return value

    @model_validator(mode="after")
    def _steps(self) -> DriftOptions:
        if self.check_interval > self.window:
            raise ValueError("check_interval must be at most window")
        if self.compare_with == "same_window_last_week":
            if self.window > WEEK_SECONDS:
                raise ValueError(
                    f"invalid window: {self.window:g} s; expected at most a week to compare with last week's"
                )
            lag = WEEK_SECONDS * self.sub_windows / self.window
            if lag > MAX_LAG or lag != round(lag):
                raise ValueError(
                    f"invalid sub_windows: {self.sub_windows}; expected a whole number of steps (window / sub_windows) "
                    f"in a week, at most {MAX_LAG}, to compare with last week's window"
                )
        return self

    @property
    def lag(self) -> int:
        """Sub-windows by which the window that is compared with lies behind; 0 for the reference."""
        if self.compare_with == "reference":
            return 0
        if self.compare_with == "previous_window":
            return self.sub_windows
        return round(WEEK_SECONDS * self.sub_windows / self.window)

    @property
    def active(self) -> bool:
        """There is or will be something to compare with."""
        return self.enabled and (self.reference is not None or self.learn > 0 or self.suites is not None)

    @property
    def warm_up_seconds(self) -> float:
        both = self.window * (1 + self.lag / self.sub_windows)
        return both if self.warm_up is None else self.warm_up
