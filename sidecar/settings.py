"""The shape of the configuration: the components' own options, section by section."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from sidecar.deliver import elasticsearch, store
from sidecar.derive.engine import DeriveOptions
from sidecar.journal.options import JournalOptions
from sidecar.receive import credentials, otlp_grpc, otlp_http
from sidecar.receive.intake import IntakeOptions
from sidecar.serve import http


class Section(BaseModel):
    """A part of the configuration; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ReceiveOptions(Section):
    """What comes in."""

    intake: IntakeOptions = Field(default_factory=IntakeOptions, description="Bounds that all receivers share.")
    credentials: credentials.Options = Field(default_factory=credentials.Options, description="Who may send.")
    otlp_grpc: otlp_grpc.Options = Field(default_factory=otlp_grpc.Options, description="OTLP over gRPC.")
    otlp_http: otlp_http.Options = Field(default_factory=otlp_http.Options, description="OTLP and JSON over HTTP.")


class DeliverOptions(Section):
    """Where spans and logs go."""

    elasticsearch: elasticsearch.Options = Field(
        default_factory=elasticsearch.Options, description="Elasticsearch or OpenSearch."
    )
    store: store.Options = Field(default_factory=store.Options, description="The embedded store for trace look-ups.")


class TelemetryOptions(Section):
    """The program's own logs."""

    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least level of the program's own log lines."
    )


class LifeOptions(Section):
    """Starting and stopping."""

    stop_deadline: float = Field(
        25.0,
        ge=0,
        description="Seconds from SIGTERM within which waiting items are still delivered. Keep it below the pod's terminationGracePeriodSeconds.",
    )


class Settings(Section):
    """Everything that can be set."""

    receive: ReceiveOptions = Field(default_factory=ReceiveOptions, description="What comes in.")
    journal: JournalOptions = Field(default_factory=JournalOptions, description="The durable log.")
    derive: DeriveOptions = Field(default_factory=DeriveOptions, description="Metrics derived from what comes in.")
    deliver: DeliverOptions = Field(default_factory=DeliverOptions, description="Where spans and logs go.")
    serve: http.Options = Field(default_factory=http.Options, description="Metrics, probes and look-ups.")
    telemetry: TelemetryOptions = Field(default_factory=TelemetryOptions, description="The program's own logs.")
    life: LifeOptions = Field(default_factory=LifeOptions, description="Starting and stopping.")
