"""OTLP over HTTP: `POST /v1/traces`, `/v1/logs`, `/v1/metrics`, protobuf or JSON, and what else is taken on its port.

Replies are in the encoding of the request (OTLP specification, "OTLP/HTTP Response").
"""

from __future__ import annotations

from pydantic import Field
from starlette.types import ASGIApp

from sidecar.options import Size
from sidecar.receive.credentials import Credentials
from sidecar.receive.ingest import Ingest
from sidecar.receive.receiver import Listener, ReceiverOptions
from sidecar.telemetry import Telemetry
from sidecar.web import Deferred, WebServer

NAME = "otlp_http"


class Options(ReceiverOptions):
    """OTLP, JSON lines, labels and CloudEvents over HTTP."""

    enabled: bool = Field(True, description="Whether to listen for OTLP and JSON lines over HTTP.")
    host: str = Field(
        "127.0.0.1", description="Address to listen on. The containers of a pod share the loopback interface."
    )
    port: int = Field(4318, ge=0, le=65535, description="Port to listen on. 0 picks a free one.")
    max_message_bytes: Size = Field(
        20 << 20, ge=1 << 10, description="Largest request, after decompression. A larger one is refused."
    )

    def listeners(self) -> tuple[Listener, ...]:
        return (Listener(self.host, self.port),)


class OtlpHttpReceiver:
    """An HTTP server in the running event loop."""

    name = NAME

    def __init__(self, options: Options, ingest: Ingest, credentials: Credentials, telemetry: Telemetry) -> None:
        self._host = options.host
        self._credentials = credentials

        def app() -> ASGIApp:
            from sidecar.receive.http_body import HttpIngest
            from sidecar.receive.http_metrics import meter_provider
            from sidecar.receive.otlp_http_app import build_app

            http = HttpIngest(ingest, credentials, options.max_message_bytes)
            return build_app(http, NAME, meter_provider(telemetry))

        self._server = WebServer("receive.otlp_http", Deferred(app), options.host, options.port)

    @property
    def port(self) -> int:
        """The port that is listened on (of use where the option was 0)."""
        return self._server.port

    async def start(self) -> None:
        """Bind and begin to answer. Raises `ConfigError` if the address cannot be had."""
        self._credentials.warn_if_open(self.name, self._host)
        await self._server.start(self._credentials.ssl_context())

    async def stop(self, grace: float) -> None:
        """Take no more requests; wait for those in flight at most `grace` seconds, then cancel them."""
        await self._server.stop(grace)
