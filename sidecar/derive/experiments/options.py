"""The options of experiments."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field, field_validator

from sidecar.decode.predictions.attribute_names import MAX_FURTHER, MAX_NAME_BYTES
from sidecar.options import Duration, Section

ALPHA = 0.05
Share = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class ExperimentDesign(Section):
    """What is meant of one experiment."""

    control: str = Field(
        default="",
        max_length=256,
        description="Variant that the others are compared with. Default: the one that is called control, baseline, "
        "default, off or a, else the first in order.",
    )
    shares: dict[str, Share] = Field(
        default_factory=dict,
        max_length=50,
        description="Variant to its part of the traffic, in any unit: {A: 9, B: 1}. Default: equal parts.",
    )


class ExperimentOptions(Section):
    """A/B tests."""

    enabled: bool = Field(
        default=False,
        description="Compare the variants of experiments that predictions, feature flags and conversions name: see "
        "docs/how-to/experiments.md.",
    )
    unit: Literal["prediction", "user"] = Field(
        default="prediction",
        description="What is given a variant: each predicted row, or each user, who keeps the first one. Has to be "
        "what the traffic is split by; else neither intervals nor p-values hold.",
    )
    designs: dict[str, ExperimentDesign] = Field(
        default_factory=dict,
        max_length=1000,
        description="Experiment to its control and shares (in a variable: JSON). None is needed for an equal split.",
    )
    id_attributes: tuple[str, ...] = Field(
        default=(),
        max_length=MAX_FURTHER,
        description="Attributes of log records that say a prediction's id, as order_id; before the built-in ones.",
    )
    user_attributes: tuple[str, ...] = Field(
        default=(), max_length=MAX_FURTHER, description="Attributes that say the user; before the built-in ones."
    )
    conversion_events: tuple[str, ...] = Field(
        default=(),
        max_length=MAX_FURTHER,
        description="Names of further events that are conversions, as purchase.",
    )
    conversion_labels: tuple[str, ...] = Field(
        default=(),
        max_length=MAX_FURTHER,
        description="Labels (values of what was true) that are conversions too, as true or clicked.",
    )
    conversion_window: Duration = Field(
        default=7 * 86_400,
        ge=60,
        le=366 * 86_400,
        description="Time after the exposure in which conversions and labels count; a later one counts as expired.",
    )
    exposure_ttl: Duration = Field(
        default=3600,
        gt=0,
        le=31 * 86_400,
        description="Time that a conversion or label which came first waits for its exposure; then it is an orphan.",
    )
    experiment_ttl: Duration = Field(
        default=30 * 86_400,
        ge=3600,
        le=366 * 86_400,
        description="Time without an exposure after which an experiment, and each user, is forgotten.",
    )
    alpha: float = Field(
        default=ALPHA,
        gt=0,
        le=0.5,
        description="Probability that a comparison of variants without a difference is ever called significant.",
    )
    planned_units: int = Field(
        default=10_000,
        ge=100,
        le=1_000_000_000,
        description="Units of two variants together at which intervals are tightest; any other number is right too.",
    )
    min_units: int = Field(
        default=100, ge=10, le=1_000_000, description="Units of a variant below which it is not compared."
    )
    max_units: int = Field(
        default=100_000,
        ge=1_000,
        le=100_000_000,
        description="Units that are remembered, about 260 bytes each. Beyond them the oldest predictions are "
        "forgotten, and new users not taken in; both are counted.",
    )
    max_waiting: int = Field(
        default=10_000,
        ge=1,
        le=1_000_000,
        description="Conversions and labels that wait for their exposure; beyond them the oldest count as orphans.",
    )
    max_experiments: int = Field(default=20, ge=1, le=1000, description="Experiments at a time.")
    max_variants: int = Field(default=10, ge=2, le=50, description="Variants of an experiment.")

    @field_validator("id_attributes", "user_attributes", "conversion_events")
    @classmethod
    def _names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if not 0 < len(name.encode()) <= MAX_NAME_BYTES:
                raise ValueError(f"invalid name: {name!r}; expected 1 to {MAX_NAME_BYTES} bytes")
        return value

    @field_validator("designs")
    @classmethod
    def _designs(cls, value: dict[str, ExperimentDesign]) -> dict[str, ExperimentDesign]:
        for name, design in value.items():
            if len(design.shares) == 1:
                raise ValueError(
                    f"invalid shares of {name!r}: {next(iter(design.shares))} alone; expected all variants"
                )
            if design.shares and design.control and design.control not in design.shares:
                raise ValueError(
                    f"invalid control of {name!r}: {design.control!r}; expected one of {', '.join(design.shares)}"
                )
            if not math.isfinite(sum(design.shares.values())):
                raise ValueError(f"invalid shares of {name!r}: their sum is beyond what a number holds")
        return value
