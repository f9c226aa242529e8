"""Waits until each drill's alert has fired, has arrived at the right receivers, and has resolved."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from sidecar.drills.alert_routes import Receivers
from sidecar.drills.drill import Drill
from sidecar.drills.sending import Send, Time, send
from sidecar.errors import Permanent


@dataclass(frozen=True, slots=True)
class Arrival:
    """An alert as Alertmanager has it."""

    receivers: Sequence[str]
    labels: Mapping[str, str]
    held_back: bool = False
    """By another alert or a silence: nobody is notified."""


class Monitor(Protocol):
    """What Prometheus and Alertmanager have of an alert. Raise `Unreached` or `Permanent`."""

    def firing(self, drill: Drill) -> bool: ...
    def arrival(self, drill: Drill) -> Arrival | None: ...


class Faults(Protocol):
    """What breaks the stack, and repairs it."""

    def begin(self, drill: Drill) -> None: ...
    def end(self, drill: Drill) -> None: ...


Report = Callable[[str], object]


class Phase(Enum):
    """How far a drill is."""

    BEFORE = "before"
    BAD = "bad"
    AFTER = "after"
    ENDED = "ended"


@dataclass(slots=True)
class Seen:
    """What became of a drill; times are seconds since its start."""

    drill: Drill
    fired: float | None = None
    arrived: float | None = None
    resolved: float | None = None
    receivers: Sequence[str] = ()
    expected: Sequence[str] = ()

    @property
    def whole(self) -> bool:
        """It fired, arrived where it shall, and resolved."""
        return self.resolved is not None and list(self.receivers) == list(self.expected)

    def __str__(self) -> str:
        shown = (("fired", self.fired), ("arrived", self.arrived), ("resolved", self.resolved))
        times = "  ".join(f"{name} {'not' if at is None else f'after {at:.0f} s'}" for name, at in shown)
        where = ",".join(self.receivers)
        if self.arrived is not None and list(self.receivers) != list(self.expected):
            where = f"at {where}; expected {','.join(self.expected)}"
        return f"{'ok' if self.whole else 'FAILED':<7} {self.drill.name}: {self.drill.alert} {times}  {where}"


@dataclass(frozen=True, slots=True)
class World:
    """What a run works with."""

    post: Send
    monitor: Monitor
    faults: Faults
    receivers: Receivers
    time: Time
    report: Report = lambda line: None


class _Attempt:
    """A drill on its way."""

    def __init__(self, drill: Drill, world: World, timeout: float | None) -> None:
        self.seen = Seen(drill)
        self.phase = Phase.BEFORE
        self._world = world
        self._limit = drill.within if timeout is None else timeout
        self._began = self._entered = world.time.monotonic()

    def step(self) -> None:
        """A second of it."""
        {Phase.BEFORE: self._before, Phase.BAD: self._bad, Phase.AFTER: self._after}[self.phase]()

    def _before(self) -> None:
        drill = self.seen.drill
        if drill.before is not None and self._lasts < drill.before_seconds:
            send(drill, drill.before, self._world.post, self._world.time.unix_ns())
            return
        if drill.fault is not None:
            self._world.faults.begin(drill)
        self._enter(Phase.BAD)
        self._bad()

    def _bad(self) -> None:
        drill, seen = self.seen.drill, self.seen
        send(drill, drill.telemetry, self._world.post, self._world.time.unix_ns())
        if seen.fired is None and self._world.monitor.firing(drill):
            seen.fired = self._now
            self._world.report(f"{drill.alert} fires")
        if seen.fired is not None and (arrival := self._world.monitor.arrival(drill)) and not arrival.held_back:
            seen.arrived, seen.receivers = self._now, arrival.receivers
            seen.expected = self._world.receivers.expected(arrival.labels)
            self._world.report(f"{drill.alert} arrived at Alertmanager, for {', '.join(seen.receivers)}")
        if seen.arrived is None and self._lasts < self._limit:
            return
        if drill.fault is not None:
            self._world.faults.end(drill)
        self._enter(Phase.ENDED if seen.arrived is None else Phase.AFTER)

    def _after(self) -> None:
        drill, monitor = self.seen.drill, self._world.monitor
        send(drill, drill.after, self._world.post, self._world.time.unix_ns())
        if not monitor.firing(drill) and monitor.arrival(drill) is None:
            self.seen.resolved = self._now
            self._world.report(f"{drill.alert} resolved")
            self._enter(Phase.ENDED)
        elif self._lasts >= self._limit:
            self._enter(Phase.ENDED)

    def repair(self) -> None:
        """End the fault, where something else went wrong during it."""
        if self.phase is Phase.BAD and self.seen.drill.fault is not None:
            self._world.faults.end(self.seen.drill)

    def _enter(self, phase: Phase) -> None:
        self.phase, self._entered = phase, self._world.time.monotonic()

    @property
    def _now(self) -> float:
        return self._world.time.monotonic() - self._began

    @property
    def _lasts(self) -> float:
        """Seconds of the present phase."""
        return self._world.time.monotonic() - self._entered


def verify(drills: Sequence[Drill], world: World, timeout: float | None = None) -> list[Seen]:
    """Run the drills: those without a fault together, then the others one by one, since a fault concerns all. To fire
    and arrive, and again to resolve, each has `timeout` seconds, by default its own. Raises `Permanent` where an alert
    fires before anything was done: nothing could be learned from it."""
    together = [drill for drill in drills if drill.fault is None]
    groups = [together, *([drill] for drill in drills if drill.fault is not None)]
    return [seen for group in groups if group for seen in _run(group, world, timeout)]


def _run(drills: Sequence[Drill], world: World, timeout: float | None) -> list[Seen]:
    if early := [drill.alert for drill in drills if world.monitor.firing(drill)]:
        raise Permanent(f"firing already: {', '.join(early)}; wait until it has resolved")
    attempts = [_Attempt(drill, world, timeout) for drill in drills]
    with _repaired(attempts):
        while on_their_way := [one for one in attempts if one.phase is not Phase.ENDED]:
            for one in on_their_way:
                one.step()
            world.time.sleep(1)
    return [one.seen for one in attempts]


@contextmanager
def _repaired(attempts: Sequence[_Attempt]) -> Iterator[None]:
    """Every fault that has begun has ended afterwards."""
    with ExitStack() as stack:
        for one in attempts:
            stack.callback(one.repair)
        yield
