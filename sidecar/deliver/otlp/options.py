"""Options of forwarding over OTLP."""

from __future__ import annotations

from typing import Any, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from sidecar.deliver.common.addresses import check_base, check_url
from sidecar.deliver.common.headers import Headers
from sidecar.deliver.options import SinkOptions
from sidecar.options import ClientAuth, ClientTls, Duration, Size
from sidecar.pipeline import Signal

SMALLEST_REQUEST = 64 << 10
"""However small the destination's limit on requests, several payloads are not kept from sharing this many bytes."""


class OtlpOptions(SinkOptions):
    """Forwarding over OTLP."""

    address_options: ClassVar[tuple[str, ...]] = ("endpoint", "traces_endpoint", "logs_endpoint", "metrics_endpoint")

    supported_signals: ClassVar[frozenset[Signal]] = frozenset(("spans", "logs", "metrics"))

    kind: Literal["otlp"] = Field("otlp", description="Kind of the sink.")
    endpoint: str | None = Field(
        None,
        examples=["http://collector:4317"],
        description="Address for all signals, such as http://collector:4317, or https:// for TLS. Over HTTP the "
        "signals' paths (/v1/traces, /v1/logs, /v1/metrics) are put behind it.",
    )
    traces_endpoint: str | None = Field(
        None, description="Address for spans in place of `endpoint`; over HTTP the whole URL, path included."
    )
    logs_endpoint: str | None = Field(None, description="The same for logs.")
    metrics_endpoint: str | None = Field(None, description="The same for metrics.")
    protocol: Literal["grpc", "http/protobuf"] = Field("grpc", description="How to speak to the receiver.")
    headers: Headers = Field(
        default={},
        description="Headers (gRPC: metadata) of every request, such as a tenant or a key: a mapping, or "
        "name=value,name=value.",
    )
    auth: ClientAuth = Field(default=ClientAuth(), description="Credentials, sent in the header `authorization`.")
    tls: ClientTls = Field(default=ClientTls(), description="TLS of connections to https:// addresses.")
    compression: Literal["gzip", "none"] | None = Field(
        None,
        description="Of requests. Default: gzip over HTTP, and none over gRPC, whose library compresses at "
        "about ten times the cost.",
    )
    timeout: Duration = Field(30.0, gt=0, le=600, description="For a whole request, its reply included.")
    max_request_bytes: Size = Field(
        2 << 20,
        ge=SMALLEST_REQUEST,
        le=64 << 20,
        description="Max. size of the payloads in one request, not compressed. Many receivers refuse more than 4 MiB.",
    )

    @property
    def endpoints(self) -> dict[Signal, str]:
        """Signal -> address (over HTTP the whole URL); signals that have none are left out."""
        own: dict[Signal, str | None] = {
            "spans": self.traces_endpoint,
            "logs": self.logs_endpoint,
            "metrics": self.metrics_endpoint,
        }
        found: dict[Signal, str] = {}
        for signal, address in own.items():
            if address:
                found[signal] = address
            elif self.endpoint:
                found[signal] = self.endpoint + (_path(signal) if self.protocol == "http/protobuf" else "")
        return found

    @property
    def selected_signals(self) -> frozenset[Signal]:
        """The signals that the sink is to have: of those that were chosen the ones that have an address."""
        served = frozenset(self.endpoints)
        return super().selected_signals & served if served else super().selected_signals

    @property
    def gzip(self) -> bool:
        """Whether requests are compressed."""
        if self.compression is None:
            return self.protocol == "http/protobuf"
        return self.compression == "gzip"

    @field_validator("endpoint", "traces_endpoint", "logs_endpoint", "metrics_endpoint", mode="before")
    @classmethod
    def _strip(cls, value: Any) -> Any:
        return (value.strip().rstrip("/") or None) if isinstance(value, str) else value

    @field_validator("endpoint")
    @classmethod
    def _base(cls, value: str | None) -> str | None:
        if value is not None:
            check_base(value)
        return value

    @field_validator("traces_endpoint", "logs_endpoint", "metrics_endpoint")
    @classmethod
    def _address(cls, value: str | None) -> str | None:
        if value is not None:
            check_url(value)
        return value

    @model_validator(mode="after")
    def _fits(self) -> OtlpOptions:
        missing = sorted(set(self.signals) - set(self.endpoints)) if self.endpoints else []
        if missing:
            raise ValueError(f"there is no address for {', '.join(missing)}")
        if self.auth != ClientAuth() and any(name.lower() == "authorization" for name in self.headers):
            raise ValueError("credentials are given twice: set auth or the header authorization, not both")
        if self.protocol == "grpc":
            if self.tls.insecure_skip_verify:
                raise ValueError(
                    "tls.insecure_skip_verify has no effect over gRPC: give tls.ca_file, or tls.server_name where only "
                    "that differs"
                )
            if any(urlsplit(address).path for address in self.endpoints.values()):
                raise ValueError("an address for gRPC has no path: write it as http://host:port or https://host:port")
            if any(name.lower().endswith("-bin") for name in self.headers):
                raise ValueError("headers whose names end in -bin are binary over gRPC, and cannot be set")
        elif (self.endpoint or "").endswith(tuple(map(_path, sorted(self.supported_signals)))):
            raise ValueError("the signals' paths are put behind endpoint: write it without, or set traces_endpoint")
        return self


def _path(signal: Signal) -> str:
    return {"spans": "/v1/traces", "logs": "/v1/logs", "metrics": "/v1/metrics"}[signal]
