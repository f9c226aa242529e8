"""Sends a drill's telemetry, and says what is wrong where the sidecar answers otherwise than due."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from sidecar.drills.drill import RECOVERED_SECONDS, Drill
from sidecar.drills.payloads import Telemetry
from sidecar.errors import Permanent

_FULL = (429, 503)


class Send(Protocol):
    """The way to the ingest: (path, body, whether with a wrong token) -> HTTP status."""

    def __call__(self, path: str, body: bytes, wrong_token: bool) -> int: ...


@dataclass(frozen=True, slots=True)
class Time:
    """Clocks of a run."""

    monotonic: Callable[[], float]
    unix_ns: Callable[[], int]
    sleep: Callable[[float], object]


def send(drill: Drill, telemetry: Telemetry | None, post: Send, now: int) -> None:
    """A second's worth of it. Raises `Permanent` where the sidecar answers otherwise than due."""
    if telemetry is None:
        return
    path, payload = telemetry(drill.service, now)
    status = post(path, json.dumps(payload).encode(), drill.wrong_token)
    if drill.wrong_token and 200 <= status < 300:
        raise Permanent(f"drill {drill.name}: the sidecar asks for no credentials; set receive.auth to try this one")
    if drill.wrong_token or 200 <= status < 300 or (drill.fills and status in _FULL):
        return
    raise Permanent(f"drill {drill.name}: the sidecar answered {status}; expected 200: give its --token-file")


def generate(drills: Sequence[Drill], post: Send, seconds: float, time: Time) -> None:
    """Send for that long, once a second: first what is normal, where a drill has that, then its telemetry. Then what
    ends the conditions that do not end by themselves."""
    began = time.monotonic()
    while (passed := time.monotonic() - began) < seconds:
        for drill in drills:
            normal = drill.before is not None and passed < drill.before_seconds
            send(drill, drill.before if normal else drill.telemetry, post, time.unix_ns())
        time.sleep(1)
    for _ in range(math.ceil(seconds / RECOVERED_SECONDS)):
        for drill in drills:
            send(drill, drill.after, post, time.unix_ns())
