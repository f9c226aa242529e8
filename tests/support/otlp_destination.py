"""OTLP receivers behind sockets, gRPC and HTTP, that do on request what one can do wrong."""

from __future__ import annotations

import gzip
import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

HTTP_OF = {3: 400, 8: 429, 12: 404, 14: 503, 16: 401}
"""gRPC code -> the HTTP status that says the same."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with the answer to one request."""

    code: int = 0
    """gRPC code; 0 for none."""
    http: int | None = None
    """HTTP status where `HTTP_OF` does not say it."""
    retry_after: float | None = None
    commit: bool = False
    """The request is carried out nevertheless."""
    hang: float = 0.0
    """Seconds before the answer."""
    rejected: int = 0
    """Partial success."""


Script = Callable[[int, bytes], Fault | None]
"""(number of the request from 1, its body) -> what is wrong, or nothing."""


@dataclass
class Destination:
    """What a receiver was given and kept."""

    script: Script
    url: str = ""
    requests: list[bytes] = field(default_factory=list)
    kept: list[tuple[str, bytes]] = field(default_factory=list)
    """(path or method, body) of what was carried out, resends included."""
    headers: list[dict[str, str]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, target: str, body: bytes, headers: dict[str, str]) -> Fault:
        with self._lock:
            self.requests.append(body)
            self.headers.append(headers)
            fault = self.script(len(self.requests), body) or Fault()
            if fault.commit or (not fault.code and fault.http is None):
                self.kept.append((target, body))
        if fault.hang:
            time.sleep(fault.hang)
        return fault

    def spans(self, once: bool = False) -> Counter[str]:
        """Names of the spans kept; `once`: of identical requests only the first, as a receiver that knows resends."""
        found: Counter[str] = Counter()
        for target, body in self._bodies(once):
            if "trace" in target.lower():
                for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                    for scope in resource.scope_spans:
                        found.update(s.name for s in scope.spans)
        return found

    def logs(self, once: bool = False) -> Counter[str]:
        """Bodies of the log records kept."""
        found: Counter[str] = Counter()
        for target, body in self._bodies(once):
            if "log" in target.lower():
                for resource in ExportLogsServiceRequest.FromString(body).resource_logs:
                    for scope in resource.scope_logs:
                        found.update(r.body.string_value for r in scope.log_records)
        return found

    def _bodies(self, once: bool) -> list[tuple[str, bytes]]:
        return list(dict.fromkeys(self.kept)) if once else self.kept


def _partial(rejected: int) -> bytes:
    partial = ExportTracePartialSuccess(rejected_spans=rejected, error_message="too old")
    return ExportTraceServiceResponse(partial_success=partial).SerializeToString() if rejected else b""


@contextmanager
def grpc_destination(script: Script, max_bytes: int = 4 << 20) -> Iterator[Destination]:
    """A gRPC server. Larger messages than `max_bytes` it answers by itself, as servers do."""
    side = Destination(script)

    class Handler(grpc.GenericRpcHandler):  # type: ignore[misc]
        def service(self, details: Any) -> Any:
            if not details.method.endswith("/Export"):
                return None

            def export(body: bytes, context: Any) -> bytes:
                fault = side.take(details.method, body, dict(context.invocation_metadata()))
                if fault.code:
                    if fault.retry_after is not None:
                        context.set_trailing_metadata(
                            (("grpc-status-details-bin", _status(fault.code, fault.retry_after)),)
                        )
                    context.abort(next(c for c in grpc.StatusCode if c.value[0] == fault.code), "as the test says")
                return _partial(fault.rejected)

            return grpc.unary_unary_rpc_method_handler(export)

    with ThreadPoolExecutor(8) as pool:
        server = grpc.server(pool, options=[("grpc.max_receive_message_length", max_bytes)])
        server.add_generic_rpc_handlers((Handler(),))
        side.url = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        server.start()
        try:
            yield side
        finally:
            server.stop(0).wait()


def _status(code: int, retry_after: float) -> bytes:
    fraction, whole = math.modf(retry_after)
    detail = AnyMessage()
    detail.Pack(RetryInfo(retry_delay=Duration(seconds=int(whole), nanos=int(fraction * 1e9))))
    return Status(code=code, message="as the test says", details=[detail]).SerializeToString()


@contextmanager
def http_destination(script: Script, max_bytes: int = 20 << 20) -> Iterator[Destination]:
    """An HTTP server that takes gzip and answers 413 over `max_bytes`."""
    side = Destination(script)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            if len(body) > max_bytes:
                self._answer(413, b"", {})
                return
            fault = side.take(self.path, body, {k.lower(): v for k, v in self.headers.items()})
            status = fault.http or HTTP_OF.get(fault.code, 500 if fault.code else 200)
            headers = {} if fault.retry_after is None else {"retry-after": str(math.ceil(fault.retry_after))}
            self._answer(status, _partial(fault.rejected), headers)

        def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in {"content-type": "application/x-protobuf", **headers}.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing: the tests say what matters."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            """A client that hung up is part of the game."""

    server = Server(("127.0.0.1", 0), Handler)
    side.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield side
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
