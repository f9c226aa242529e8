"""What a drill is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sidecar.drills.payloads import Telemetry

SERVICE = "sidecar-drill-"
RECOVERED_SECONDS = 10
"""Seconds of a drill that one payload of what is sent after it makes up for, at least."""
_MINUTE = 60.0


@dataclass(frozen=True, slots=True)
class Fault:
    """What somebody, or the program of `--faults`, does to the stack."""

    begin: str
    end: str


@dataclass(frozen=True, slots=True)
class Drill:
    """A condition that is made to happen. Its service and its model are its own, `sidecar-drill-NAME`: the values of
    real ones are not touched."""

    name: str
    alert: str
    description: str
    telemetry: Telemetry | None = None
    """Sent until the alert has arrived. None: nothing, silence is the condition, or the fault."""
    before: Telemetry | None = None
    """Sent first, for `before_seconds`: what is normal."""
    before_seconds: float = _MINUTE
    after: Telemetry | None = None
    """What ends the condition where silence does not; sent until the alert has resolved. None: nothing."""
    fault: Fault | None = None
    labels: Mapping[str, str] | None = field(default=None)
    """Labels by which the alert is known to be this drill's. None: its service."""
    wrong_token: bool = False
    """Sent with a token that is none."""
    fills: bool = False
    """Whether the sidecar may answer that it is full."""
    within: float = 30 * _MINUTE
    """Seconds in which the alert fires and arrives, and again in which it resolves, by the shipped rules."""
    needs: str = ""
    """What the sidecar has to be set to."""
    disturbs: str = ""
    """What it does to other services."""

    @property
    def service(self) -> str:
        return SERVICE + self.name

    @property
    def harmless(self) -> bool:
        """Nothing but values of its own service changes."""
        return self.fault is None and not self.disturbs

    def is_about(self, labels: Mapping[str, str]) -> bool:
        """Whether an alert with those labels is this drill's."""
        wanted = {"service": self.service} if self.labels is None else self.labels
        return labels.get("alertname") == self.alert and all(labels.get(k) == v for k, v in wanted.items())
