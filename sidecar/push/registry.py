"""The destinations that there are: the only list of them."""

from __future__ import annotations

import importlib
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from sidecar.deliver.sink import Finding
from sidecar.health import Health
from sidecar.push.options import DestinationOptions, PushOptions
from sidecar.serve.exposition import Family
from sidecar.telemetry import Telemetry

if TYPE_CHECKING:
    from sidecar.push.destination import Destination
    from sidecar.push.pusher import Pusher

PROBE_SECONDS = 5.0
DESTINATIONS = ("otlp", "remote_write")
"""Each is a section of `push`, and a module `destination` below `sidecar.push` that has `build(options)`."""


def enabled(options: PushOptions) -> Iterator[tuple[str, DestinationOptions]]:
    """(name, options) of the destinations that are on."""
    for name in DESTINATIONS:
        section: DestinationOptions = getattr(options, name)
        if section.is_enabled:
            yield name, section


def build(
    options: PushOptions,
    known: Mapping[str, str],
    collect: Callable[[str, float], Sequence[Family] | None],
    telemetry: Telemetry,
    health: Health,
) -> list[Pusher]:
    """A pusher for each destination that is on; none has begun. `known`: labels of the target that the configuration
    says otherwise. `collect`: (name of who asks, monotonic seconds) -> families, see `pusher.Collect`. Raises
    `Permanent` where a file of a connection cannot be used."""
    chosen = list(enabled(options))
    if not chosen:
        return []
    from sidecar.push.pusher import Pusher
    from sidecar.push.snapshot import Snapshots

    labels = {"job": "model-sidecar", "instance": socket.gethostname(), **known, **options.labels}
    began = time.time()
    return [
        Pusher(
            name,
            destination(name, section),
            lambda until, who=f"push.{name}": collect(who, until),  # type: ignore[misc]
            Snapshots(labels, began),
            options.interval,
            telemetry,
            health,
        )
        for name, section in chosen
    ]


def health_check(name: str, options: DestinationOptions) -> Finding:
    """Whether the receiver takes an empty request, which adds nothing there. Raises `Permanent` where a file of the
    connection cannot be used."""
    probed = destination(name, options.model_copy(update={"timeout": min(options.timeout, PROBE_SECONDS)}))
    try:
        result = probed.send([], int(time.time() * 1000))
    finally:
        probed.close()
    if result.status == "accepted":
        return Finding("ok", ", ".join(f"{key} {value}" for key, value in probed.status().items()))
    return Finding("failed", f"{result.reason}: {result.detail}")


def destination(name: str, options: DestinationOptions) -> Destination:
    """The one of this name; its module is imported when it is used first, since its libraries take memory. Raises
    `Permanent` where a file of the connection cannot be used."""
    built: Destination = importlib.import_module(f"sidecar.push.{name}.destination").build(options)
    return built
