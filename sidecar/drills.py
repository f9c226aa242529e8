"""`sidecar drill`: real telemetry of a bad condition, so that the alert about it can be seen to fire, to arrive, and to
resolve.

Each drill is a service of its own, `sidecar-drill-NAME`: the values of real services are not touched.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from sidecar.errors import Permanent

SERVICE = "sidecar-drill-"
Payload = tuple[str, Mapping[str, Any]]
"""Path of the ingest, and the OTLP request as JSON."""

_PER_SECOND = 20
RECOVERED_SECONDS = 10
"""Seconds of a drill that one payload of its recovery makes up for."""


@dataclass(frozen=True, slots=True)
class Drill:
    """A condition that is made to happen."""

    name: str
    alert: str
    description: str
    telemetry: Callable[[str, int], Payload]
    """(service, Unix ns) -> a second's worth of it."""
    wrong_token: bool = False
    """Sent with a token that is none."""
    recovery: Callable[[str, int], Payload] | None = None
    """What ends the condition, where that it is sent no more does not: makes up for `RECOVERED_SECONDS` of it."""

    @property
    def service(self) -> str:
        return SERVICE + self.name


def _spans(service: str, now: int, seconds: float, failed: bool) -> Payload:
    spans = [
        {
            "traceId": f"{now + number:032x}",
            "spanId": f"{now + number:016x}",
            "name": "POST /drill",
            "kind": 2,
            "startTimeUnixNano": str(now - int(seconds * 1e9)),
            "endTimeUnixNano": str(now),
            "attributes": [_text("http.route", "/drill"), _int("http.response.status_code", 500 if failed else 200)],
            "status": {"code": 2} if failed else {},
        }
        for number in range(_PER_SECOND)
    ]
    return "/v1/traces", {"resourceSpans": [{"resource": _resource(service), "scopeSpans": [{"spans": spans}]}]}


def _predictions(service: str, now: int, seconds: float, score: float, error: str | None = None) -> Payload:
    """One event `ml.prediction` that stands for a second's rows."""
    attributes = [
        _text("ml.model.name", "drill"),
        _text("ml.model.version", "1"),
        _int("ml.prediction.count", _PER_SECOND),
        {"key": "ml.prediction.duration", "value": {"doubleValue": seconds}},
        *([_text("error.type", error)] if error else []),
    ]
    scores = {"arrayValue": {"values": [{"doubleValue": score}] * _PER_SECOND}}
    members = [{"key": "rows", "value": {"intValue": str(_PER_SECOND)}}]
    if error is None:
        members += [{"key": "score", "value": scores}, {"key": "one_in", "value": {"intValue": "1"}}]
    record = {
        "timeUnixNano": str(now),
        "eventName": "ml.prediction",
        "attributes": attributes,
        "body": {"kvlistValue": {"values": members}},
    }
    return "/v1/logs", {"resourceLogs": [{"resource": _resource(service), "scopeLogs": [{"logRecords": [record]}]}]}


def _outcomes(service: str, now: int, rows: int, right: bool) -> Payload:
    """One event `ml.prediction` with that many rows, and one label about all of them. The model has the service's name:
    figures of outcomes are by model."""
    id_ = _text("ml.prediction.id", f"{service}-{now}")
    predicted = {"arrayValue": {"values": [{"stringValue": "yes"}] * rows}}
    prediction = {
        "timeUnixNano": str(now),
        "eventName": "ml.prediction",
        "attributes": [id_, _text("ml.model.name", service), _text("ml.model.version", "1")],
        "body": {"kvlistValue": {"values": [{"key": "class", "value": predicted}]}},
    }
    label = {
        "timeUnixNano": str(now),
        "eventName": "ml.label",
        "attributes": [id_, _text("ml.label.value", "yes" if right else "no")],
    }
    records = [prediction, label]
    return "/v1/logs", {"resourceLogs": [{"resource": _resource(service), "scopeLogs": [{"logRecords": records}]}]}


def _resource(service: str) -> Mapping[str, Any]:
    return {"attributes": [_text("service.name", service)]}


def _text(key: str, value: str) -> dict[str, Any]:
    return {"key": key, "value": {"stringValue": value}}


def _int(key: str, value: int) -> dict[str, Any]:
    return {"key": key, "value": {"intValue": str(value)}}


DRILLS: tuple[Drill, ...] = (
    Drill("errors", "ErrorRateHigh", "every request fails", lambda s, now: _spans(s, now, 0.01, True)),
    Drill("latency", "LatencyP95Critical", "requests take 3 s", lambda s, now: _spans(s, now, 3, False)),
    Drill("slow-model", "InferenceLatencyHigh", "predictions take 5 s", lambda s, now: _predictions(s, now, 5, 0.9)),
    Drill("low-confidence", "ConfidenceLow", "confidence is 0.2", lambda s, now: _predictions(s, now, 0.01, 0.2)),
    Drill(
        "accuracy-drop",
        "AccuracyCritical",
        "labels say that every prediction is wrong; then that many more are right",
        lambda s, now: _outcomes(s, now, _PER_SECOND, False),
        recovery=lambda s, now: _outcomes(s, now, 8 * RECOVERED_SECONDS * _PER_SECOND, True),
    ),
    Drill(
        "failed-predictions",
        "PredictionErrorsHigh",
        "every prediction raises",
        lambda s, now: _predictions(s, now, 0.01, 0, "DrillError"),
    ),
    Drill(
        "refused-credentials",
        "RefusedCredentials",
        "requests come with a wrong token",
        lambda s, now: _spans(s, now, 0.01, False),
        wrong_token=True,
    ),
)
"""All drills; a new one is a line here."""


class Send(Protocol):
    """The way to the ingest: (path, body, whether with a wrong token) -> HTTP status."""

    def __call__(self, path: str, body: bytes, wrong_token: bool) -> int: ...


def send(drill: Drill, post: Send, now: int) -> None:
    """A second's worth of a drill's telemetry. Raises `Permanent` where the sidecar answers otherwise than due."""
    _post(drill, drill.telemetry, post, now)


def recover(drill: Drill, post: Send, now: int) -> None:
    """One payload of what ends a drill's condition; nothing where it ends by itself."""
    if drill.recovery is not None:
        _post(drill, drill.recovery, post, now)


def _post(drill: Drill, made: Callable[[str, int], Payload], post: Send, now: int) -> None:
    path, payload = made(drill.service, now)
    status = post(path, json.dumps(payload).encode(), drill.wrong_token)
    if drill.wrong_token and 200 <= status < 300:
        raise Permanent(f"drill {drill.name}: the sidecar asks for no credentials; set receive.auth to try this one")
    if not drill.wrong_token and not 200 <= status < 300:
        raise Permanent(f"drill {drill.name}: the sidecar answered {status}; expected 200: give its --token-file")


class Monitor(Protocol):
    """What Prometheus and Alertmanager have of an alert. Raise `Unreached` or `Permanent`."""

    def firing(self, drill: Drill) -> bool: ...
    def receivers(self, drill: Drill) -> Sequence[str]:
        """Receivers that Alertmanager routes it to; empty where it has no such alert."""
        ...


@dataclass(slots=True)
class Seen:
    """What became of a drill; times are seconds since its start."""

    drill: Drill
    fired: float | None = None
    arrived: float | None = None
    resolved: float | None = None
    receivers: Sequence[str] = field(default=())

    @property
    def whole(self) -> bool:
        return self.resolved is not None

    def __str__(self) -> str:
        shown = (("fired", self.fired), ("arrived", self.arrived), ("resolved", self.resolved))
        times = "  ".join(f"{name} {'not' if at is None else f'after {at:.0f} s'}" for name, at in shown)
        state = "ok" if self.whole else "FAILED"
        return f"{state:<7} {self.drill.name}: {self.drill.alert} {times}  {','.join(self.receivers)}"


@dataclass(frozen=True, slots=True)
class Time:
    """Clocks of a run."""

    monotonic: Callable[[], float]
    unix_ns: Callable[[], int]
    sleep: Callable[[float], object]


def generate(drills: Sequence[Drill], post: Send, seconds: float, time: Time) -> None:
    """Send for that long, once a second; then what ends the conditions that do not end by themselves."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        for drill in drills:
            send(drill, post, time.unix_ns())
        time.sleep(1)
    for _ in range(math.ceil(seconds / RECOVERED_SECONDS)):
        for drill in drills:
            recover(drill, post, time.unix_ns())


def verify(
    drills: Sequence[Drill],
    post: Send,
    monitor: Monitor,
    timeout: float,
    time: Time,
    report: Callable[[str], object] = lambda line: None,
) -> list[Seen]:
    """Send until each alert has fired and arrived, stop, and wait until each has resolved; each half takes at most
    `timeout` seconds. Raises `Permanent` where one fires before anything was sent: nothing could be learned from it."""
    if early := [drill.alert for drill in drills if monitor.firing(drill)]:
        raise Permanent(f"firing already: {', '.join(early)}; wait until it has resolved")
    began = time.monotonic()
    seen = [Seen(drill) for drill in drills]
    while (waiting := [one for one in seen if one.arrived is None]) and time.monotonic() - began < timeout:
        # Those that have arrived are kept up, so that all are there together.
        for one in seen:
            send(one.drill, post, time.unix_ns())
        for one in waiting:
            _advance(one, monitor, time.monotonic() - began, report)
        time.sleep(1)
    stopped = time.monotonic()
    while time.monotonic() - stopped < timeout:
        waiting = [one for one in seen if one.arrived is not None and one.resolved is None]
        if not waiting:
            break
        for one in waiting:
            recover(one.drill, post, time.unix_ns())
            if not monitor.firing(one.drill) and not monitor.receivers(one.drill):
                one.resolved = time.monotonic() - began
                report(f"{one.drill.alert} resolved")
        time.sleep(1)
    return seen


def _advance(one: Seen, monitor: Monitor, now: float, report: Callable[[str], object]) -> None:
    if one.fired is None and monitor.firing(one.drill):
        one.fired = now
        report(f"{one.drill.alert} fires")
    if one.fired is not None and (receivers := monitor.receivers(one.drill)):
        one.receivers, one.arrived = receivers, now
        report(f"{one.drill.alert} arrived at Alertmanager, for {', '.join(receivers)}")
