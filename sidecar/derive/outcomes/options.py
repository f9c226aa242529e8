"""The options of outcomes."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field, field_validator

from sidecar.decode.predictions.attribute_names import MAX_FURTHER, MAX_NAME_BYTES
from sidecar.derive.shares import MIN_ROWS
from sidecar.options import Duration, Section, Size

MAX_WINDOW = 31 * 86_400
FINE = 300
"""Seconds of a step of windows of at most FINE_UP_TO."""
COARSE = 3600
"""Of longer ones."""
FINE_UP_TO = 6 * 3600


class OutcomeOptions(Section):
    """Predictions joined with their labels."""

    enabled: bool = Field(
        default=False,
        description="Keep predictions until their labels come, and show how often models were right. Needs ids: see "
        "docs/how-to/outcomes.md.",
    )
    label_ttl: Duration = Field(
        default=14 * 86_400,
        ge=60,
        le=366 * 86_400,
        description="Time that a prediction waits for its label; a later label counts as expired.",
    )
    prediction_ttl: Duration = Field(
        default=3600,
        gt=0,
        le=MAX_WINDOW,
        description="Time that a label which came first waits for its prediction; then it counts as an orphan.",
    )
    max_bytes: Size = Field(
        default=64 << 20,
        ge=16 << 20,
        le=1 << 40,
        description="Memory for predictions that wait, about 48 bytes a row. When it is full the oldest are forgotten, "
        "and counted.",
    )
    max_waiting_labels: int = Field(
        default=20_000,
        ge=1,
        le=1_000_000,
        description="Labels that wait for their prediction; beyond them the oldest count as orphans.",
    )
    id_attributes: tuple[str, ...] = Field(
        default=(),
        max_length=MAX_FURTHER,
        description="Attributes of log records that say a prediction's id, as order_id; before the built-in ones.",
    )
    payloads: bool = Field(
        default=True,
        description="Read payloads of serving protocols too, not only events and attributes.",
    )
    windows: tuple[Duration, ...] = Field(
        default=(3600, 86_400, 7 * 86_400),
        min_length=1,
        max_length=5,
        description="Windows over the time of the predictions, for which figures are shown.",
    )
    min_rows: int = Field(
        default=MIN_ROWS, ge=1, le=1_000_000, description="Joined rows below which a figure is not shown."
    )
    positive_class: str = Field(
        default="",
        max_length=256,
        description="Class of interest where there are two, for model_roc_auc. Default: the last one in order.",
    )
    max_models: int = Field(default=16, ge=1, le=1000, description="Models and versions that have windows.")

    @field_validator("windows")
    @classmethod
    def _whole_steps(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        for window in value:
            step = step_of(window)
            if not step <= window <= MAX_WINDOW or window % step:
                raise ValueError(
                    f"invalid window: {window:g} s; expected a multiple of 5m up to 6h, or of 1h up to 31d"
                )
        return tuple(sorted(set(value)))

    @field_validator("id_attributes")
    @classmethod
    def _names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if not 0 < len(name.encode()) <= MAX_NAME_BYTES:
                raise ValueError(f"invalid attribute: {name!r}; expected a name of 1 to {MAX_NAME_BYTES} bytes")
        return value


def steps(windows: Sequence[float]) -> int:
    """Steps that are kept for these windows, of one model."""
    return sum(
        int(max(window for window in windows if step_of(window) == step)) // step for step in set(map(step_of, windows))
    )


def step_of(window: float) -> int:
    """Seconds of a step of a window of so many seconds."""
    return FINE if window <= FINE_UP_TO else COARSE
