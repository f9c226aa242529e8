"""The receivers on free ports of 127.0.0.1, in a thread's event loop, and raw clients for them."""

from __future__ import annotations

import asyncio
import http.client
import ssl
import threading
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc

from sidecar.decode.python import ReferenceDecoder
from sidecar.options import ServerAuth, ServerTls
from sidecar.receive import credentials, otlp_grpc, otlp_http, otlp_http_app
from sidecar.receive.grpc_call import BuildTransport
from sidecar.receive.ingest import Ingest, IngestOptions
from support.receive_fakes import Counted, FakeLog

GRPC_METHODS = {signal: path for path, signal in otlp_grpc.METHODS.items()}
HTTP_PATHS = {signal: path for path, signal in otlp_http_app.PATHS.items()}
PROTOBUF = "application/x-protobuf"
JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Reply:
    """What an HTTP client got."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Result:
    """What a gRPC client got."""

    code: grpc.StatusCode
    details: str
    trailers: Mapping[str, Any]
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Receiving:
    """Both receivers at work."""

    grpc_port: int
    http_port: int
    ingest: Ingest
    counted: Counted
    loop: asyncio.AbstractEventLoop
    over_grpc: otlp_grpc.OtlpGrpcReceiver

    def in_loop(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run something in the receivers' loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(120)

    def post(
        self, path: str, body: Any, content_type: str | None = PROTOBUF, tls: ssl.SSLContext | None = None, **more: str
    ) -> Reply:
        """POST over HTTP; further headers by name, `_` for `-`. An iterator as body is sent in chunks."""
        headers = {name.replace("_", "-"): value for name, value in more.items()}
        if content_type is not None:
            headers["content-type"] = content_type
        if tls is not None:
            connection = http.client.HTTPSConnection("127.0.0.1", self.http_port, timeout=60, context=tls)
        else:
            connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=60)
        try:
            connection.request("POST", path, body, headers)
            response = connection.getresponse()
            return Reply(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        finally:
            connection.close()

    def export(
        self,
        signal: str,
        body: bytes,
        compression: grpc.Compression = grpc.Compression.NoCompression,
        tls: grpc.ChannelCredentials | None = None,
        method: str | None = None,
        **metadata: str,
    ) -> Result:
        """Export over gRPC."""
        address, options = f"127.0.0.1:{self.grpc_port}", [("grpc.max_send_message_length", -1)]
        if tls is not None:
            channel = grpc.secure_channel(address, tls, options)
        else:
            channel = grpc.insecure_channel(address, options)
        with channel:
            call = channel.unary_unary(method or GRPC_METHODS[signal])
            try:
                response, done = call.with_call(
                    body, metadata=tuple(metadata.items()), compression=compression, timeout=60
                )
            except grpc.RpcError as error:
                return Result(error.code(), error.details() or "", dict(error.trailing_metadata() or ()))
            return Result(done.code(), done.details() or "", dict(done.trailing_metadata() or ()), response)


@contextmanager
def receiving(
    log: Any = None,
    decoder: Any = None,
    max_message_bytes: int = 20 << 20,
    max_in_flight_bytes: int = 64 << 20,
    transport: BuildTransport | None = None,
    host: str = "127.0.0.1",
    **credential_options: Any,
) -> Iterator[Receiving]:
    """Both receivers over one ingest; the reference decoder, a log that keeps everything and the installation's
    transport of gRPC where none is given."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="receivers")
    thread.start()
    counted = Counted()
    ingest = Ingest(
        decoder or ReferenceDecoder(),
        FakeLog() if log is None else log,
        counted.telemetry,
        IngestOptions(max_in_flight_bytes=max_in_flight_bytes),
        seed=1,
    )
    allowed = credentials.Credentials(
        ServerTls(**{name: value for name, value in credential_options.items() if name in ServerTls.model_fields}),
        ServerAuth(**{name: value for name, value in credential_options.items() if name in ServerAuth.model_fields}),
    )
    limit = max_message_bytes
    over_grpc = otlp_grpc.OtlpGrpcReceiver(
        otlp_grpc.Options(host=host, port=0, max_message_bytes=limit),
        ingest,
        allowed,
        counted.telemetry,
        transport,
    )
    over_http = otlp_http.OtlpHttpReceiver(
        otlp_http.Options(port=0, max_message_bytes=limit), ingest, allowed, counted.telemetry
    )

    async def start() -> None:
        await over_grpc.start()
        await over_http.start()

    async def stop() -> None:
        await asyncio.gather(over_grpc.stop(1.0), over_http.stop(1.0))

    try:
        asyncio.run_coroutine_threadsafe(start(), loop).result(120)
        yield Receiving(over_grpc.port, over_http.port, ingest, counted, loop, over_grpc)
    finally:
        asyncio.run_coroutine_threadsafe(stop(), loop).result(120)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(120)
        loop.close()
        ingest.close()
