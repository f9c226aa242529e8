"""The receivers, in the order in which they are started. A new one is a file, a test and a line in `RECEIVERS`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic import BaseModel

from sidecar.receive import beats, json_tcp, otlp_grpc, otlp_http
from sidecar.receive.credentials import Credentials
from sidecar.receive.file_tail.options import NAME as FILE_TAIL
from sidecar.receive.file_tail.options import Options as FileTailOptions
from sidecar.receive.file_tail.receiver import FileTailReceiver
from sidecar.receive.ingest import Intake
from sidecar.telemetry import Telemetry


class Receiver(Protocol):
    """A way in. Lives in the event loop that started it."""

    name: str

    @property
    def port(self) -> int:
        """The port that is listened on (of use where 0 was asked for); 0 for a receiver that does not listen."""
        ...

    async def start(self) -> None:
        """Bind and begin to answer. Raises `ConfigError` if that cannot be."""
        ...

    async def stop(self, grace: float) -> None:
        """Take no more requests; wait for those in hand at most `grace` seconds, then cancel them."""
        ...


@dataclass(frozen=True, slots=True)
class ReceiverKind:
    """What the program, the generated reference and the contract tests know of a receiver."""

    name: str
    """Also the name of its section under `receive`, and the value of the label `receiver`."""
    options: type[BaseModel]
    build: Callable[[Any, Intake, Credentials, Telemetry], Receiver]
    """From its options."""


RECEIVERS: tuple[ReceiverKind, ...] = (
    ReceiverKind(otlp_grpc.NAME, otlp_grpc.Options, otlp_grpc.OtlpGrpcReceiver),
    ReceiverKind(otlp_http.NAME, otlp_http.Options, otlp_http.OtlpHttpReceiver),
    ReceiverKind(json_tcp.NAME, json_tcp.Options, json_tcp.JsonTcpReceiver),
    ReceiverKind(beats.NAME, beats.Options, beats.LumberjackReceiver),
    ReceiverKind(FILE_TAIL, FileTailOptions, FileTailReceiver),
)


def build_receivers(
    options: BaseModel, intake: Intake, credentials: Credentials, telemetry: Telemetry
) -> list[Receiver]:
    """The receivers that are enabled; `options` has each one's section under its name."""
    sections = [(kind, getattr(options, kind.name)) for kind in RECEIVERS]
    return [kind.build(section, intake, credentials, telemetry) for kind, section in sections if section.enabled]
