"""Options of delivery to Logstash."""

from __future__ import annotations

from typing import Any, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from sidecar.deliver.common.addresses import as_list, check_url
from sidecar.deliver.options import SinkOptions
from sidecar.options import ClientAuth, ClientTls, Duration, Size

DEFAULT_PORT = 5044
"""Of the beats input."""


class LogstashTls(ClientTls):
    """TLS of connections to Logstash."""

    enabled: bool = Field(False, description="Lumberjack over TLS. With http the addresses say it: https.")


class LogstashOptions(SinkOptions):
    """Logstash."""

    address_options: ClassVar[tuple[str, ...]] = ("hosts",)

    kind: Literal["logstash"] = Field("logstash", description="Kind of the sink.")
    hosts: tuple[str, ...] = Field(
        (),
        examples=[["logstash:5044"]],
        description="Where Logstash is; several in a list or separated by commas. With lumberjack `host` or "
        "`host:port` (port 5044 if left out), with http addresses such as https://logstash:8080.",
    )
    mode: Literal["lumberjack", "http"] = Field(
        "lumberjack", description="`lumberjack` for Logstash's beats input, `http` for its http input."
    )
    load_balance: bool = Field(
        False,
        description="Use the hosts in turn. Otherwise the first is used, and the next when it fails.",
    )
    tls: LogstashTls = Field(default=LogstashTls(), description="TLS of the connections.")
    auth: ClientAuth = Field(default=ClientAuth(), description="A user with a password. HTTP only.")
    compression: bool = Field(True, description="Send compressed: zlib in lumberjack, gzip in HTTP.")
    timeout: Duration = Field(
        30.0,
        gt=0,
        le=600,
        description="Lumberjack: without any progress; Logstash says every few seconds that it is alive "
        "while it is busy. HTTP: for a whole request, its reply included.",
    )
    batch_bytes: Size = Field(
        4 << 20, ge=64 << 10, le=64 << 20, description="Max. size of the documents in one request, not compressed."
    )
    window: int = Field(2048, ge=1, le=65536, description="Max. documents in one window. Lumberjack only.")
    pipelining: int = Field(
        2,
        ge=1,
        le=16,
        description="Windows under way on a connection before the first is acknowledged. Lumberjack only.",
    )
    max_document_bytes: Size = Field(
        10 << 20, ge=1024, le=64 << 20, description="A larger document becomes a dead letter and is not sent."
    )

    @field_validator("hosts", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return as_list(value)

    @model_validator(mode="after")
    def _belong_together(self) -> LogstashOptions:
        for host in self.hosts:
            check_url(host) if self.mode == "http" else parse_host(host)
        if self.auth.api_key or self.auth.api_key_file or self.auth.token or self.auth.token_file:
            raise ValueError("auth: Logstash has users only: set auth.username and auth.password")
        if self.mode == "http" and self.tls.enabled:
            raise ValueError("tls.enabled is for lumberjack: with http write https:// addresses")
        if self.mode == "lumberjack" and self.auth.username:
            raise ValueError("lumberjack has no users: use a client certificate, or mode http")
        files = self.tls.ca_file or self.tls.cert_file or self.tls.server_name
        if self.mode == "lumberjack" and not self.tls.enabled and files:
            raise ValueError("tls.ca_file, tls.cert_file and tls.server_name need tls.enabled: true")
        return self


def parse_host(text: str) -> tuple[str, int]:
    """`host`, `host:port` or `[IPv6]:port`. Raises ValueError."""
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port or DEFAULT_PORT
    except ValueError:
        host, port = None, 0
    if not host or "/" in text or "@" in text or parts.port == 0:
        raise ValueError(f"invalid host: {text!r}; expected host:port, an IPv6 address in brackets")
    return host, port
