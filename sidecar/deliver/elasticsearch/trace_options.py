"""Options of look-ups in Elasticsearch and OpenSearch."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from sidecar.deliver.elasticsearch.options import HOSTS, Hosts
from sidecar.options import ClientAuth, ClientTls, Section


def _searched(value: str) -> str:
    if set(value) & set('/?#\\"<>| ') or value.startswith(("_", "-")):
        raise ValueError(f"invalid index pattern: {value!r}; expected names with * in them, separated by commas")
    return value


SearchPattern = Annotated[str, AfterValidator(_searched)]
"""Indices or data streams that are searched."""


class TraceElasticsearchOptions(Section):
    """Where the sidecars' Elasticsearch sinks put spans and logs."""

    hosts: Hosts = HOSTS
    tls: ClientTls = Field(default=ClientTls(), description="TLS of connections to https:// addresses.")
    auth: ClientAuth = Field(
        default=ClientAuth(),
        description="Credentials: an API key, a token or a user; the role sidecar-reader is enough.",
    )
    traces: SearchPattern = Field("traces-*.otel-*", min_length=1, description="Indices or data streams of spans.")
    logs: SearchPattern = Field(
        "logs-*.otel-*", min_length=1, description="Indices or data streams of logs and span events."
    )
