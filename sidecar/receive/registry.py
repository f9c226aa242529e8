"""The receivers, in the order in which they are started. A new one is a file, a test and a line in `RECEIVERS`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import Field, create_model

from sidecar.options import Section, ServerAuth, ServerTls
from sidecar.receive import beats, json_tcp, otlp_grpc, otlp_http
from sidecar.receive.credentials import Credentials
from sidecar.receive.file_tail.options import NAME as FILE_TAIL
from sidecar.receive.file_tail.options import Options as FileTailOptions
from sidecar.receive.ingest import Ingest, IngestOptions
from sidecar.receive.receiver import Listener, Receiver, ReceiverOptions, ReceiverType
from sidecar.telemetry import Telemetry


def _file_tail(options: FileTailOptions, ingest: Ingest, credentials: Credentials, telemetry: Telemetry) -> Receiver:
    from sidecar.receive.file_tail.receiver import FileTailReceiver  # Two dozen modules that few programs need.

    return FileTailReceiver(options, ingest, credentials, telemetry)


RECEIVERS: tuple[ReceiverType, ...] = (
    ReceiverType(otlp_grpc.NAME, otlp_grpc.Options, otlp_grpc.OtlpGrpcReceiver, "OTLP over gRPC."),
    ReceiverType(otlp_http.NAME, otlp_http.Options, otlp_http.OtlpHttpReceiver, "OTLP and JSON over HTTP."),
    ReceiverType(json_tcp.NAME, json_tcp.Options, json_tcp.JsonTcpReceiver, "JSON lines over TCP or a Unix socket."),
    ReceiverType(beats.NAME, beats.Options, beats.LumberjackReceiver, "Events of Beats."),
    ReceiverType(FILE_TAIL, FileTailOptions, _file_tail, "Log files that are read as they grow."),
)


class _Receive(Section):
    """What comes in."""

    ingest: IngestOptions = Field(default=IngestOptions(), description="Bounds that all receivers share.")
    tls: ServerTls = Field(default=ServerTls(), description="TLS of every receiver that listens on a port.")
    auth: ServerAuth = Field(default=ServerAuth(), description="Who may send.")

    def section(self, name: str) -> Any:
        """The options of a receiver."""
        return getattr(self, name)


def receive_options(types: Sequence[ReceiverType]) -> type[_Receive]:
    """The section `receive`: what all share, and a section for each receiver."""
    sections: dict[str, Any] = {
        kind.name: (kind.options, Field(default=kind.options(), description=kind.description)) for kind in types
    }
    return create_model("ReceiveOptions", __base__=_Receive, __doc__=_Receive.__doc__, **sections)


def switched_on(
    options: _Receive, types: Sequence[ReceiverType] = RECEIVERS
) -> Iterator[tuple[ReceiverType, ReceiverOptions]]:
    """Every receiver that is started, with its options."""
    for kind in types:
        section = options.section(kind.name)
        if section.switched_on:
            yield kind, section


def listeners(options: _Receive, types: Sequence[ReceiverType] = RECEIVERS) -> list[tuple[str, Listener]]:
    """(name of the receiver, where it listens) of everything that is listened on."""
    return [(kind.name, place) for kind, section in switched_on(options, types) for place in section.listeners()]


def build_receivers(
    options: _Receive,
    ingest: Ingest,
    credentials: Credentials,
    telemetry: Telemetry,
    types: Sequence[ReceiverType] = RECEIVERS,
) -> list[Receiver]:
    """The receivers that are switched on."""
    return [kind.build(section, ingest, credentials, telemetry) for kind, section in switched_on(options, types)]


if TYPE_CHECKING:
    ReceiveOptions = _Receive
else:
    ReceiveOptions = receive_options(RECEIVERS)
