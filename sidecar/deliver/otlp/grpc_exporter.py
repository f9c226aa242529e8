"""OTLP over gRPC: raw bytes out, the meaning of the answer back. Imported only where a sink speaks it.

gRPC's own gzip runs at zlib's default level, which costs some ten times what sending the bytes costs; so it is off
unless asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import grpc

from sidecar.deliver.common.tls import client_context, made_of_files
from sidecar.deliver.otlp import responses
from sidecar.deliver.otlp.responses import ExportResult
from sidecar.loopback import is_loopback
from sidecar.options import ClientTls
from sidecar.pipeline import Signal

METHODS: Mapping[Signal, str] = {
    "spans": "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    "logs": "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
    "metrics": "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
}
_STATUS_TRAILER = "grpc-status-details-bin"
_MAX_REPLY_BYTES = 1 << 20


class OtlpGrpcClient:
    """Channels to the receivers of each signal. Used from several threads."""

    def __init__(
        self,
        endpoints: Mapping[Signal, str],
        *,
        gzip: bool,
        timeout: float,
        tls: ClientTls,
        user_agent: str,
    ) -> None:
        """`endpoints`: signal -> http://host:port or https://host:port. Opens no connection. Raises `Permanent` where
        a file of the connection cannot be read."""
        self._timeout = timeout
        self._compression = grpc.Compression.Gzip if gzip else grpc.Compression.NoCompression
        self._endpoints, self._tls = endpoints, tls
        self._options: list[tuple[str, Any]] = [
            ("grpc.primary_user_agent", user_agent),
            ("grpc.max_send_message_length", -1),
            ("grpc.max_receive_message_length", _MAX_REPLY_BYTES),
            # What fails is sent again by the worker, which knows what else waits.
            ("grpc.enable_retries", 0),
            # The library would look for a receiver that came back only after two minutes.
            ("grpc.initial_reconnect_backoff_ms", 500),
            ("grpc.min_reconnect_backoff_ms", 500),
            ("grpc.max_reconnect_backoff_ms", 5_000),
            # A peer that vanished without a word is noticed. Only while a request is open: servers cut off clients
            # that ping idle connections.
            ("grpc.keepalive_time_ms", 60_000),
            ("grpc.keepalive_timeout_ms", 20_000),
            # Two sinks to the same address keep their connections to themselves, with their own credentials.
            ("grpc.use_local_subchannel_pool", 1),
            *([("grpc.ssl_target_name_override", tls.server_name)] if tls.server_name else []),
        ]
        self._calls = made_of_files(tls, self._open)

    def export(self, signal: Signal, body: bytes, headers: Mapping[str, str]) -> ExportResult:
        """Send one request and wait for its end."""
        try:
            reply = self._calls.get()[signal](
                body,
                timeout=self._timeout,
                metadata=[(name.lower(), value) for name, value in headers.items()],
                compression=self._compression,
            )
        except grpc.RpcError as error:
            return _failure(error)
        return responses.accepted_grpc(reply)

    def close(self) -> None:
        """Close the channels; requests in flight end."""
        for channel in self._channels.values():
            channel.close()

    def _open(self) -> dict[Signal, grpc.UnaryUnaryMultiCallable[bytes, bytes]]:
        """Channels with the files as they are now. Those of former files end with their last request. Raises OSError
        where a file cannot be used."""
        channels: dict[str, grpc.Channel] = {}
        for endpoint in sorted(set(self._endpoints.values())):
            parts = urlsplit(endpoint)
            options = self._options
            if is_loopback(parts.hostname or ""):
                options = [*options, ("grpc.enable_http_proxy", 0)]
            if parts.scheme == "https":
                channels[endpoint] = grpc.secure_channel(parts.netloc, _credentials(self._tls), options)
            else:
                channels[endpoint] = grpc.insecure_channel(parts.netloc, options)
        self._channels = channels
        # No (de)serialisers: bytes in, bytes out.
        return {s: channels[endpoint].unary_unary(METHODS[s]) for s, endpoint in self._endpoints.items()}


def _failure(error: grpc.RpcError) -> ExportResult:
    code, message = error.code(), error.details() or ""
    number = code.value[0] if isinstance(code, grpc.StatusCode) else int(code)
    trailers = error.trailing_metadata() or ()
    status = next((value for key, value in trailers if key == _STATUS_TRAILER and isinstance(value, bytes)), None)
    return responses.from_grpc(number, message, status)


def _credentials(tls: ClientTls) -> grpc.ChannelCredentials:
    client_context(tls)  # grpcio would find out at a handshake only that a file is invalid.
    read = [None if file is None else file.read_bytes() for file in (tls.ca_file, tls.key_file, tls.cert_file)]
    return grpc.ssl_channel_credentials(*read)
