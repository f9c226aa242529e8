"""gRPC by grpcio's asyncio server, where there is no native core.

grpcio would open compressed messages itself, and answer RESOURCE_EXHAUSTED for one over its size limit, which a client
may take for "later". So it is made to hand messages over as they came, and to let some more through than the limit.

The methods are handled as streams of requests: of a unary method, grpcio never answers a request that ends before a
whole message has come.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import grpc
from grpc import aio

from sidecar.errors import ConfigError
from sidecar.pipeline import Signal
from sidecar.receive import compression, replies
from sidecar.receive.acknowledgements import KEY_HEADER, Exchange, retries
from sidecar.receive.credentials import Credentials
from sidecar.receive.grpc_call import Answer, Call, ServerOptions
from sidecar.receive.ingest import Ingest

if TYPE_CHECKING:
    from collections.abc import Mapping

_STATUS = {code.value[0]: code for code in grpc.StatusCode}
_NO_REPLY = b""


class AioTransport:
    """A `Transport`."""

    def __init__(self, options: ServerOptions, answer: Answer, ingest: Ingest, credentials: Credentials) -> None:
        del ingest  # grpcio does not say what it holds of messages that are not whole.
        self._options = options
        self._answer = answer
        self._credentials = credentials
        self._server: aio.Server | None = None
        self.port = options.port

    async def start(self) -> None:
        o = self._options
        server = aio.server(
            options=[
                ("grpc.max_receive_message_length", o.max_wire_bytes),
                ("grpc.max_concurrent_streams", o.max_concurrent_streams),
                ("grpc.per_message_decompression", 0),
                # Clients that keep their connections alive by pings would be cut off by the defaults (more than two
                # pings in five minutes), and peers that vanished would be kept for ever.
                ("grpc.http2.min_ping_interval_without_data_ms", int(o.min_ping_interval * 1000)),
                ("grpc.keepalive_permit_without_calls", 1),
                ("grpc.keepalive_time_ms", int(o.keepalive_seconds * 1000)),
                # Two programs on one port would each get half of the connections and say nothing.
                ("grpc.so_reuseport", 0),
            ]
        )
        server.add_generic_rpc_handlers((_Handlers(o.methods, self._handler),))
        host = f"[{o.host}]" if ":" in o.host else o.host
        address = f"{host}:{o.port}"
        secure = self._credentials.grpc_credentials()
        try:
            self.port = server.add_secure_port(address, secure) if secure else server.add_insecure_port(address)
        except RuntimeError as error:
            raise ConfigError([f"receive.otlp_grpc: cannot listen on {address}: is the port taken?"]) from error
        await server.start()
        self._server = server

    async def stop(self, grace: float) -> None:
        if self._server is not None:
            await self._server.stop(grace)
            self._server = None

    def _handler(self, signal: Signal) -> Callable[[Any, Any], Awaitable[bytes]]:
        async def export(messages: object, context: aio.ServicerContext[bytes, bytes]) -> bytes:
            del messages  # An iterator over what `context.read` gives.
            outcome = await self._answer(_call(signal, await context.read(), context))
            error = replies.grpc_error(outcome)
            if error is None:
                return replies.success_body(outcome, signal)
            await context.abort(_STATUS[error.code], error.details, error.trailers)
            return _NO_REPLY

        return export


class _Handlers(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpcio has no types
    """Path -> handler; None (UNIMPLEMENTED) for any other path. No (de)serialisers: bytes in, bytes out."""

    def __init__(
        self, methods: Mapping[str, Signal], handler: Callable[[Signal], Callable[[Any, Any], Awaitable[bytes]]]
    ) -> None:
        self._methods: Mapping[str, grpc.RpcMethodHandler[bytes, bytes]] = {
            path: grpc.stream_unary_rpc_method_handler(handler(signal)) for path, signal in methods.items()
        }

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes] | None:
        return self._methods.get(handler_call_details.method)


def _call(signal: Signal, message: Any, context: aio.ServicerContext[bytes, bytes]) -> Call:
    whole = message if isinstance(message, bytes) else None
    coding = compression.sniff(whole) if whole is not None else None
    return Call(signal, whole, coding, _metadata(context, "authorization"), _exchange(context))


def _exchange(context: aio.ServicerContext[bytes, bytes]) -> Exchange:
    """The call, whose reply may be lost if it ends before its status is sent. What becomes of the connection later
    grpcio does not report."""
    named = _metadata(context, KEY_HEADER) or ""
    timeout = context.time_remaining()
    exchange = Exchange(
        context.peer(),
        retries(_metadata(context, "user-agent") or ""),
        named,
        timeout=math.inf if timeout is None else timeout,
    )

    def ended(_: object) -> None:
        if context.done():
            exchange.answered()
        else:
            exchange.lose()

    context.add_done_callback(ended)
    return exchange


def _metadata(context: aio.ServicerContext[bytes, bytes], name: str) -> str | None:
    for key, value in context.invocation_metadata() or ():
        if key == name:
            return value if isinstance(value, str) else value.decode("utf-8", "replace")
    return None
