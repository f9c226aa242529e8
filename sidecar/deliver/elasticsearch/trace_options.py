"""Options of look-ups in Elasticsearch and OpenSearch."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator

from sidecar.deliver.common.addresses import as_list, check_url
from sidecar.options import ClientAuth, ClientTls, Section


class TraceElasticsearchOptions(Section):
    """Where the sidecars' Elasticsearch sinks put spans and logs."""

    hosts: tuple[str, ...] = Field(
        (),
        examples=[["https://es:9200"]],
        description="Addresses of the nodes, such as https://es:9200; several in a list or separated by commas.",
    )
    tls: ClientTls = Field(default=ClientTls(), description="TLS of connections to https:// addresses.")
    auth: ClientAuth = Field(
        default=ClientAuth(),
        description="Credentials: an API key, a token or a user; the role sidecar-reader is enough.",
    )
    traces: str = Field("traces-*.otel-*", min_length=1, description="Indices or data streams of spans.")
    logs: str = Field("logs-*.otel-*", min_length=1, description="Indices or data streams of logs and span events.")

    @field_validator("hosts", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return as_list(value)

    @field_validator("hosts")
    @classmethod
    def _addresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for url in value:
            check_url(url)
        return value

    @field_validator("traces", "logs")
    @classmethod
    def _pattern(cls, value: str) -> str:
        if set(value) & set('/?#\\"<>| ') or value.startswith(("_", "-")):
            raise ValueError(f"invalid index pattern: {value!r}; expected names with * in them, separated by commas")
        return value
