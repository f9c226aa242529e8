"""Drills from their start to their end, with a clock and a stack of the test's."""

from __future__ import annotations

import pytest

from sidecar.drills import alert_waits as drills
from sidecar.drills.alert_routes import Receivers
from sidecar.drills.catalog import DRILLS
from sidecar.drills.drill import Drill, Fault
from sidecar.drills.payloads import spans
from sidecar.drills.sending import Time, generate, send
from sidecar.errors import Permanent

BY_NAME = {drill.name: drill for drill in DRILLS}
ERRORS, REFUSED = BY_NAME["errors"], BY_NAME["refused-credentials"]
SILENCE = Drill("silence", "Silence", "", before=spans(), before_seconds=10, after=spans())
BROKEN = Drill("broken", "Broken", "", fault=Fault("break it", "repair it"), labels={})


class Imitation:
    """A sidecar, Prometheus and Alertmanager: an alert fires three seconds after the condition begins, is routed two
    later, and is gone five after it has ended."""

    def __init__(
        self, fires: bool = True, arrives: bool = True, resolves: bool = True, held_back: bool = False
    ) -> None:
        self.now = 100.0
        self.sent: list[tuple[float, str]] = []
        self.begun: float | None = None
        self.broken: list[tuple[float, str]] = []
        self.fires, self.arrives, self.resolves, self.held_back = fires, arrives, resolves, held_back
        self.receivers = ["critical", "hook"]
        self.world = drills.World(
            self.post, self, self, Receivers(), Time(lambda: self.now, lambda: int(self.now * 1e9), self.sleep)
        )

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def post(self, path: str, body: bytes, wrong_token: bool) -> int:
        self.sent.append((self.now, path))
        return 401 if wrong_token else 200

    def begin(self, drill: Drill) -> None:
        self.broken.append((self.now, "begin"))

    def end(self, drill: Drill) -> None:
        self.broken.append((self.now, "end"))

    def _condition(self, drill: Drill) -> tuple[float, float]:
        """When it began and when it was last seen."""
        if drill.fault is not None:
            ended = [at for at, what in self.broken if what == "end"]
            return (self.broken[0][0] if self.broken else 1e9), (ended[0] if ended else 1e9)
        if drill.telemetry is None:
            quiet = [at for at, _ in self.sent if at < 100 + drill.before_seconds]
            loud = [at for at, _ in self.sent if at >= 100 + drill.before_seconds]
            return (max(quiet) if quiet else 1e9), (loud[0] if loud else 1e9)
        return (self.sent[0][0] if self.sent else 1e9), (self.sent[-1][0] if self.sent else 1e9)

    def firing(self, drill: Drill) -> bool:
        began, last = self._condition(drill)
        return self.fires and self.now >= began + 3 and (not self.resolves or self.now < last + 5)

    def arrival(self, drill: Drill) -> drills.Arrival | None:
        if not self.arrives or not self.firing(drill) or self.now < self._condition(drill)[0] + 5:
            return None
        return drills.Arrival(self.receivers, {"severity": "critical", "team": "application"}, self.held_back)


def run(stack: Imitation, drill: Drill = ERRORS, timeout: float = 60) -> drills.Seen:
    (seen,) = drills.verify([drill], stack.world, timeout)
    return seen


def test_an_alert_that_fires_arrives_and_resolves() -> None:
    seen = run(Imitation())
    assert (seen.fired, seen.arrived, seen.whole) == (3, 5, True)
    assert str(seen).startswith("ok      errors: ErrorRateHigh fired after 3 s  arrived after 5 s  resolved after ")
    assert str(seen).endswith("critical,hook")


@pytest.mark.parametrize(
    ("stack", "said"),
    [
        (Imitation(fires=False), "fired not  arrived not  resolved not"),
        (Imitation(arrives=False), "arrived not  resolved not"),
        (Imitation(held_back=True), "arrived not  resolved not"),
        (Imitation(resolves=False), "resolved not"),
    ],
    ids=["does not fire", "does not arrive", "is held back", "does not resolve"],
)
def test_one_that_does_not_is_said(stack: Imitation, said: str) -> None:
    seen = run(stack)
    assert not seen.whole
    assert said in str(seen)
    assert str(seen).startswith("FAILED")
    assert stack.now < 100 + 2 * 60 + 5


def test_one_at_the_wrong_receivers_is_said() -> None:
    stack = Imitation()
    stack.receivers = ["default-email", "hook"]
    seen = run(stack)
    assert not seen.whole
    assert str(seen).endswith("at default-email,hook; expected critical,hook")


def test_one_that_fires_before_proves_nothing() -> None:
    stack = Imitation(resolves=False)
    run(stack, timeout=10)
    sent = len(stack.sent)
    with pytest.raises(Permanent, match="firing already: ErrorRateHigh"):
        run(stack)
    assert len(stack.sent) == sent


def test_what_is_normal_comes_first_and_again_at_last() -> None:
    stack = Imitation()
    seen = run(stack, SILENCE)
    assert seen.resolved is not None
    times = [at for at, _ in stack.sent]
    assert times[:10] == list(range(100, 110))
    assert times[10] >= 100 + (seen.arrived or 0)


def test_a_fault_begins_and_ends_after_what_is_sent_together() -> None:
    stack = Imitation()
    errors, broken = drills.verify([BROKEN, ERRORS], stack.world, 60)
    assert (errors.drill, broken.drill) == (ERRORS, BROKEN)
    assert broken.resolved is not None
    assert [what for _, what in stack.broken] == ["begin", "end"]
    assert stack.broken[0][0] > stack.sent[-1][0]


def test_a_fault_ends_where_the_run_fails() -> None:
    stack = Imitation()

    def unreachable(drill: Drill) -> bool:
        if stack.broken:
            raise Permanent("Prometheus answered 502")
        return False

    stack.firing = unreachable  # type: ignore[method-assign]
    with pytest.raises(Permanent, match="502"):
        run(stack, BROKEN)
    assert [what for _, what in stack.broken] == ["begin", "end"]


def test_without_verification_it_is_sent_once_a_second() -> None:
    stack = Imitation()
    generate([ERRORS, REFUSED], stack.post, 5, stack.world.time)
    assert [at for at, _ in stack.sent] == [t for t in range(100, 105) for _ in range(2)]


def test_what_ends_a_condition_is_sent_at_the_end() -> None:
    stack = Imitation()
    generate([ERRORS, BY_NAME["accuracy-drop"]], stack.post, 15, stack.world.time)
    assert [path for at, path in stack.sent if at >= 115] == ["/v1/logs"] * 2


@pytest.mark.parametrize(
    ("name", "status", "said"),
    [
        ("errors", 401, "answered 401; expected 200"),
        ("errors", 503, "answered 503"),
        ("refused-credentials", 200, "asks for no credentials"),
    ],
)
def test_a_sidecar_that_answers_otherwise_ends_it(name: str, status: int, said: str) -> None:
    drill = BY_NAME[name]
    with pytest.raises(Permanent, match=said):
        send(drill, drill.telemetry, lambda path, body, wrong: status, 1)


def test_a_sidecar_may_be_full_where_that_is_the_drill() -> None:
    drill = BY_NAME["journal-filling"]
    send(drill, drill.telemetry, lambda path, body, wrong: 503, 10**18)
