"""The shape of the configuration: the components' own options, section by section."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field, field_validator

from sidecar.deliver.elasticsearch.outcome_options import OutcomeJobOptions
from sidecar.deliver.elasticsearch.trace_options import TraceElasticsearchOptions
from sidecar.deliver.settings import DeliverOptions
from sidecar.derive.registry import DeriveOptions
from sidecar.journal.options import JournalOptions
from sidecar.lookup.settings import LookupOptions
from sidecar.options import Duration, Section
from sidecar.push.options import PushOptions
from sidecar.receive.registry import ReceiveOptions
from sidecar.serve.serve_port import Options as ServeOptions


@dataclass(frozen=True, slots=True)
class Renamed:
    """An option that was given by its old name."""

    old: str
    new: str
    origin: str
    """Where it was given: file and line, or variable."""


_LEVELS = {"all": "debug", "trace": "debug", "verbose": "debug", "warn": "warning", "fatal": "error", "none": "error"}
_LEVELS |= {"off": "error", "critical": "error", "information": "info", "notice": "info"}


class LogOptions(Section):
    """The program's own logs."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Minimum level of the program's own log lines."
    )

    @field_validator("level", mode="before")
    @classmethod
    def _any_spelling(cls, value: Any) -> Any:
        """`INFO`, `warn` and the other words that OTEL_LOG_LEVEL may hold."""
        if not isinstance(value, str):
            return value
        return _LEVELS.get(value.strip().lower(), value.strip().lower())


class ShutdownOptions(Section):
    """Stopping."""

    timeout: Duration = Field(
        25.0,
        ge=0,
        allow_inf_nan=False,
        description="Time from SIGTERM within which waiting items are still delivered. Keep it below the pod's "
        "terminationGracePeriodSeconds.",
    )


class LookupSettings(LookupOptions):
    """Look-ups of traces."""

    elasticsearch: TraceElasticsearchOptions = Field(
        default=TraceElasticsearchOptions(),
        description="Where `sidecar lookup` reads; `sidecar run` looks into its embedded store.",
    )


class Settings(Section):
    """Everything that can be set."""

    receive: ReceiveOptions = Field(default=ReceiveOptions(), description="What comes in.")
    journal: JournalOptions = Field(default=JournalOptions(), description="The durable log.")
    derive: DeriveOptions = Field(default=DeriveOptions(), description="Metrics derived from what comes in.")
    deliver: DeliverOptions = Field(default=DeliverOptions(), description="Where spans and logs go.")
    serve: ServeOptions = Field(default=ServeOptions(), description="Metrics, probes and look-ups.")
    push: PushOptions = Field(default=PushOptions(), description="Where metrics are pushed, besides being scraped.")
    lookup: LookupSettings = Field(default=LookupSettings(), description="Look-ups of traces.")
    outcomes: OutcomeJobOptions = Field(
        default=OutcomeJobOptions(), description="The join of labels with predictions that `sidecar outcomes` makes."
    )
    log: LogOptions = Field(default=LogOptions(), description="The program's own logs.")
    shutdown: ShutdownOptions = Field(default=ShutdownOptions(), description="Stopping.")
    _ignored: tuple[str, ...] = ()
    _renamed: tuple[Renamed, ...] = ()

    @property
    def ignored(self) -> tuple[str, ...]:
        """Standard variables whose value is invalid, each with the reason; the default is in force."""
        return self._ignored

    @property
    def renamed(self) -> tuple[Renamed, ...]:
        """Options that were given by an old name."""
        return self._renamed

    def with_notices(self, ignored: Iterable[str], renamed: Iterable[Renamed]) -> Settings:
        """The same, with what was noticed when they were read."""
        self._ignored, self._renamed = tuple(ignored), tuple(renamed)
        return self
