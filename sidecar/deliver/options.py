"""The options that all sinks have."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import Field, field_validator, model_validator

from sidecar.deliver.redaction.options import FilterOptions, SamplingOptions
from sidecar.options import Duration, Section
from sidecar.pipeline import Signal


class RetryOptions(Section):
    """When a request that failed is sent again; there is no giving up."""

    initial_interval: Duration = Field(
        0.5, gt=0, description="Upper bound of the first back-off; it doubles with every further failure."
    )
    max_interval: Duration = Field(10.0, gt=0, description="Upper bound of the longest back-off.")


class SinkOptions(Section):
    """How fast and how often a sink is fed. Base of every sink's own options."""

    supported_signals: ClassVar[frozenset[Signal]] = frozenset(("spans", "logs"))
    """The signals that a sink of this type supports."""
    address_options: ClassVar[tuple[str, ...]] = ()
    """Options that say where the destination is: any of them switches the sink on. () = it has none."""

    enabled: bool | None = Field(
        None, description="Switch the sink on or off. Default: on where its address or path is set."
    )
    signals: tuple[Signal, ...] = Field((), description="Only these signals. Default: all that the sink supports.")
    filter: FilterOptions = Field(default=FilterOptions(), description="Which of the records the sink takes.")
    sampling: SamplingOptions = Field(default=SamplingOptions(), description="Which of the traces the sink takes.")
    max_concurrency: int = Field(
        2,
        ge=1,
        le=64,
        description="Max. requests in flight, each of some 10 MB of memory at the default size. The number in flight "
        "adapts to what the destination bears.",
    )
    max_entries: int = Field(1024, ge=1, description="Max. payloads taken from the journal for one request.")
    batch_timeout: Duration = Field(
        1.0,
        ge=0,
        le=60,
        description="For how long payloads are gathered while there is less than half a full request to send.",
    )
    retry: RetryOptions = Field(default=RetryOptions(), description="When a request that failed is sent again.")

    @field_validator("signals")
    @classmethod
    def _taken(cls, value: tuple[Signal, ...]) -> tuple[Signal, ...]:
        if not set(value) <= cls.supported_signals:
            raise ValueError(f"this sink supports {', '.join(sorted(cls.supported_signals))}")
        return value

    @model_validator(mode="after")
    def _has_address(self) -> Self:
        if self.enabled and self.address_options and not self._addressed:
            raise ValueError(f"incomplete: enabled is true, expected {' or '.join(self.address_options)} as well")
        return self

    @property
    def is_enabled(self) -> bool:
        """Whether the sink is on."""
        return self._addressed if self.enabled is None else self.enabled

    @property
    def _addressed(self) -> bool:
        return any(getattr(self, name) for name in self.address_options)

    @property
    def written_file(self) -> str | None:
        """A file that only one sink may write to."""
        return None

    @property
    def selected_signals(self) -> frozenset[Signal]:
        """The signals that the sink is to have."""
        return frozenset(self.signals) or self.supported_signals
