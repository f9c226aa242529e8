"""What a receiver is to the rest of the program: its options, where it listens, starting and stopping."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from sidecar.options import Section
from sidecar.receive.credentials import Credentials
from sidecar.receive.ingest import Ingest
from sidecar.telemetry import Telemetry


@dataclass(frozen=True, slots=True)
class Listener:
    """Where a receiver listens: a port of a host, or a Unix socket."""

    host: str = ""
    port: int = 0
    """0: any free one."""
    unix_socket: Path | None = None

    def __str__(self) -> str:
        return str(self.unix_socket or f"{self.host}:{self.port}")


class ReceiverOptions(Section):
    """The options of one receiver. Each has `enabled`; `switched_on` says what None stands for."""

    @property
    def switched_on(self) -> bool:
        """Whether the receiver is started."""
        return bool(getattr(self, "enabled", False))

    def listeners(self) -> tuple[Listener, ...]:
        """Where it listens when it is started; none for one that does not."""
        return ()


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
        """Take no more requests; wait for those in flight at most `grace` seconds, then cancel them."""
        ...


@dataclass(frozen=True, slots=True)
class ReceiverType:
    """What the program, the generated reference and the contract tests know of a receiver."""

    name: str
    """Also the name of its section under `receive`, and the value of the label `receiver`."""
    options: type[ReceiverOptions]
    build: Callable[[Any, Ingest, Credentials, Telemetry], Receiver]
    """From its options."""
    description: str
    """Of the section, for the reference."""
