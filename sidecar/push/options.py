"""Options of pushing metrics, for who cannot be scraped."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from sidecar.deliver.common.addresses import check_url
from sidecar.deliver.common.headers import Headers
from sidecar.lists import mapping
from sidecar.options import ClientAuth, ClientTls, Duration, Section

_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


def _label_names(labels: dict[str, str]) -> dict[str, str]:
    for name in labels:
        if not _LABEL.fullmatch(name) or name.startswith("__"):
            raise ValueError(f"invalid label: {name!r}; expected letters, digits and underscores, and not __ at first")
    return labels


class DestinationOptions(Section):
    """What all destinations of metrics have in common."""

    enabled: bool | None = Field(None, description="Switch the push on or off. Default: on where its endpoint is set.")
    endpoint: str | None = Field(None, description="Address of the receiver.")
    headers: Headers = Field(
        default={},
        description="Headers (gRPC: metadata) of every request, such as a tenant: a mapping, or name=value,name=value.",
    )
    auth: ClientAuth = Field(default=ClientAuth(), description="Credentials, sent in the header `authorization`.")
    tls: ClientTls = Field(default=ClientTls(), description="TLS of connections to https:// addresses.")
    timeout: Duration = Field(10.0, gt=0, le=600, description="For a whole request, its reply included.")

    @field_validator("endpoint", mode="before")
    @classmethod
    def _strip(cls, value: Any) -> Any:
        return (value.strip().rstrip("/") or None) if isinstance(value, str) else value

    @field_validator("endpoint")
    @classmethod
    def _address(cls, value: str | None) -> str | None:
        if value is not None:
            check_url(value)
        return value

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.enabled and not self.endpoint:
            raise ValueError("incomplete: enabled is true, expected endpoint as well")
        if self.auth != ClientAuth() and any(name.lower() == "authorization" for name in self.headers):
            raise ValueError("credentials are given twice: set auth or the header authorization, not both")
        return self

    @property
    def is_enabled(self) -> bool:
        """Whether metrics are pushed there."""
        return bool(self.endpoint) if self.enabled is None else self.enabled


class OtlpPushOptions(DestinationOptions):
    """Push of metrics over OTLP."""

    endpoint: str | None = Field(
        None,
        examples=["http://collector:4317"],
        description="Address of the receiver, such as http://collector:4317. Over HTTP /v1/metrics is put behind it: "
        "http://prometheus:9090/api/v1/otlp for Prometheus.",
    )
    protocol: Literal["grpc", "http/protobuf"] = Field("grpc", description="How to speak to the receiver.")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.protocol == "grpc":
            if self.tls.insecure_skip_verify:
                raise ValueError("tls.insecure_skip_verify has no effect over gRPC: give tls.ca_file")
            if self.endpoint and urlsplit(self.endpoint).path:
                raise ValueError(
                    "an address for gRPC has no path: write it as http://host:port, or set protocol to http/protobuf"
                )
        elif (self.endpoint or "").endswith("/v1/metrics"):
            raise ValueError("/v1/metrics is put behind endpoint: write it without")
        return self


class RemoteWriteOptions(DestinationOptions):
    """Push of metrics by Prometheus remote write."""

    endpoint: str | None = Field(
        None,
        examples=["http://prometheus:9090/api/v1/write"],
        description="Whole URL of the receiver, such as http://prometheus:9090/api/v1/write. Remote write 2.0; one "
        "that does not know it is sent 1.0.",
    )


class PushOptions(Section):
    """Push of metrics, for who cannot be scraped: Jobs, and networks without a way in."""

    interval: Duration = Field(
        15.0, ge=1, le=3600, description="Time from one push to the next. The last one is when the program stops."
    )
    labels: Annotated[dict[str, str], BeforeValidator(mapping), AfterValidator(_label_names)] = Field(
        default={},
        description="Labels that every series gets where it has none of that name, as a scraped target's: a mapping, "
        "or name=value,name=value. Default: `job` model-sidecar, `instance` the host's name, and `namespace` and `pod` "
        "where they are known.",
    )
    otlp: OtlpPushOptions = Field(default=OtlpPushOptions(), description="Push over OTLP.")
    remote_write: RemoteWriteOptions = Field(
        default=RemoteWriteOptions(), description="Push by Prometheus remote write."
    )
