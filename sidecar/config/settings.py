"""The shape of the configuration: the components' own options, section by section."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from sidecar.deliver.elasticsearch.sink import Options as ElasticsearchOptions
from sidecar.deliver.file.sink import Options as FileOptions
from sidecar.deliver.logstash.sink import Options as LogstashOptions
from sidecar.deliver.otlp.sink import Options as OtlpOptions
from sidecar.deliver.redaction.options import ShapeOptions
from sidecar.deliver.registry import SINKS, TAKEN_NAMES, SinkType
from sidecar.deliver.sink import SinkOptions
from sidecar.deliver.store.span_store import Options as StoreOptions
from sidecar.derive.engine import DeriveOptions
from sidecar.journal.options import JournalOptions
from sidecar.receive.beats import Options as LumberjackOptions
from sidecar.receive.credentials import Options as CredentialsOptions
from sidecar.receive.file_tail.options import Options as FileTailOptions
from sidecar.receive.ingest import IntakeOptions
from sidecar.receive.json_tcp import Options as JsonTcpOptions
from sidecar.receive.otlp_grpc import Options as OtlpGrpcOptions
from sidecar.receive.otlp_http import Options as OtlpHttpOptions
from sidecar.serve.http import Options as ServeOptions


@dataclass(frozen=True, slots=True)
class Renamed:
    """An option that was given by its old name."""

    old: str
    new: str
    origin: str
    """Where it was given: file and line, or variable."""


class Section(BaseModel):
    """A part of the configuration; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ReceiveOptions(Section):
    """What comes in."""

    intake: IntakeOptions = Field(default=IntakeOptions(), description="Bounds that all receivers share.")
    credentials: CredentialsOptions = Field(default=CredentialsOptions(), description="Who may send.")
    otlp_grpc: OtlpGrpcOptions = Field(default=OtlpGrpcOptions(), description="OTLP over gRPC.")
    otlp_http: OtlpHttpOptions = Field(default=OtlpHttpOptions(), description="OTLP and JSON over HTTP.")
    json_tcp: JsonTcpOptions = Field(default=JsonTcpOptions(), description="JSON lines over TCP or a Unix socket.")
    lumberjack: LumberjackOptions = Field(default=LumberjackOptions(), description="Events of Beats.")
    file_tail: FileTailOptions = Field(default=FileTailOptions(), description="Log files that are read as they grow.")


if TYPE_CHECKING:
    FurtherSink = SinkOptions
else:  # The options of every kind of which there may be several, told apart by their `kind`.
    FurtherSink = Annotated[Union[tuple(k.options for k in SINKS if k.many)], Field(discriminator="kind")]  # noqa: UP007

MAX_FURTHER_SINKS = 16
_NAME = re.compile(r"[a-z][a-z0-9-]*(_[a-z0-9-]+)*")
_NAME_CHARS = 32


class DeliverOptions(Section):
    """Where spans and logs go."""

    elasticsearch: ElasticsearchOptions = Field(
        default=ElasticsearchOptions(), description="Elasticsearch or OpenSearch."
    )
    store: StoreOptions = Field(default=StoreOptions(), description="The embedded store for trace look-ups.")
    otlp: OtlpOptions = Field(default=OtlpOptions(), description="Forwarding over OTLP.")
    file: FileOptions = Field(default=FileOptions(), description="Lines in a file or on standard output.")
    logstash: LogstashOptions = Field(default=LogstashOptions(), description="Logstash.")
    keep_features: bool = Field(
        False,
        description="Let the values of features leave: attributes `ml.features.*`, and the features in "
        "`ml.prediction` events. Metrics are derived from them either way.",
    )
    shape: ShapeOptions = Field(
        default=ShapeOptions(), description="What is taken out and put on before any sink gets it."
    )
    more: dict[str, FurtherSink] = Field(
        default={},
        max_length=MAX_FURTHER_SINKS,
        description="Further sinks by name, each a section of `kind` and the options of that kind.",
    )

    @field_validator("more", mode="before")
    @classmethod
    def _names(cls, value: Any) -> Any:
        for name in value if isinstance(value, dict) else ():
            if name in TAKEN_NAMES:
                raise ValueError(f"a sink cannot be named {name!r}: the program has one of that name itself")
            if len(str(name)) > _NAME_CHARS or not _NAME.fullmatch(str(name)):
                raise ValueError(
                    f"{name!r} is not a name: it is at most {_NAME_CHARS} characters, a lower-case letter first, then "
                    "lower-case letters, digits, hyphens and single underscores"
                )
        return value

    @model_validator(mode="after")
    def _own_files(self) -> DeliverOptions:
        """Each file has one writer: the second would wait for as long as the first lives."""
        writers: dict[str, str] = {}
        for name, _, options in self.enabled():
            if isinstance(options, FileOptions) and options.path and not options.stdout:
                other = writers.setdefault(os.path.abspath(options.path), name)
                if other != name:
                    raise ValueError(f"{other} and {name} write to the same file: {options.path}")
        return self

    def enabled(self) -> Iterator[tuple[str, SinkType, Any]]:
        """(name, kind, options) of every sink that is on."""
        kinds = {kind.name: kind for kind in SINKS}
        for name, options in [*((k, getattr(self, k)) for k in kinds), *sorted(self.more.items())]:
            if options.enabled:
                yield name, kinds[options.kind], options


_LEVELS = {"all": "debug", "trace": "debug", "verbose": "debug", "warn": "warning", "fatal": "error", "none": "error"}
_LEVELS |= {"off": "error", "critical": "error", "information": "info", "notice": "info"}


class TelemetryOptions(Section):
    """The program's own logs."""

    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least level of the program's own lines."
    )

    @field_validator("log_level", mode="before")
    @classmethod
    def _any_spelling(cls, value: Any) -> Any:
        """`INFO`, `warn` and the other words that OTEL_LOG_LEVEL may hold."""
        if not isinstance(value, str):
            return value
        return _LEVELS.get(value.strip().lower(), value.strip().lower())


class LifeOptions(Section):
    """Starting and stopping."""

    stop_deadline: float = Field(
        25.0,
        ge=0,
        description="Seconds from SIGTERM within which waiting items are still delivered. Keep it below the pod's "
        "terminationGracePeriodSeconds.",
    )


class Settings(Section):
    """Everything that can be set."""

    receive: ReceiveOptions = Field(default=ReceiveOptions(), description="What comes in.")
    journal: JournalOptions = Field(default=JournalOptions(), description="The durable log.")
    derive: DeriveOptions = Field(default=DeriveOptions(), description="Metrics derived from what comes in.")
    deliver: DeliverOptions = Field(default=DeliverOptions(), description="Where spans and logs go.")
    serve: ServeOptions = Field(default=ServeOptions(), description="Metrics, probes and look-ups.")
    telemetry: TelemetryOptions = Field(default=TelemetryOptions(), description="The program's own logs.")
    life: LifeOptions = Field(default=LifeOptions(), description="Starting and stopping.")
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
