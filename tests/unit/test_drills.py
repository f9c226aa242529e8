"""Drills: what is sent, and what is waited for, with a clock of the test's."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import pytest
from click.testing import CliRunner
from google.protobuf import json_format
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from support.monitoring_source import alerts, build
from support.outcome_data import START, Outcomes

from sidecar import drills
from sidecar.cli.main import main
from sidecar.deliver.common.http import Reply
from sidecar.drill_monitor import HttpMonitor
from sidecar.drills import DRILLS, Drill
from sidecar.errors import Permanent

ERRORS = DRILLS[0]
REFUSED = DRILLS[-1]
(ACCURACY,) = (drill for drill in DRILLS if drill.recovery)


class World:
    """A sidecar, Prometheus and Alertmanager: an alert fires three seconds after the first telemetry, is routed two
    later, and is gone five after the last."""

    def __init__(self, fires: bool = True, arrives: bool = True, resolves: bool = True) -> None:
        self.now = 100.0
        self.sent: list[tuple[float, str]] = []
        self.fires, self.arrives, self.resolves = fires, arrives, resolves
        self.time = drills.Time(lambda: self.now, lambda: int(self.now * 1e9), self.sleep)

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def post(self, path: str, body: bytes, wrong_token: bool) -> int:
        self.sent.append((self.now, path))
        return 401 if wrong_token else 200

    def firing(self, drill: Drill) -> bool:
        if not self.fires or not self.sent or self.now < self.sent[0][0] + 3:
            return False
        return not self.resolves or self.now < self.sent[-1][0] + 5

    def receivers(self, drill: Drill) -> Sequence[str]:
        there = self.arrives and self.firing(drill) and self.now >= self.sent[0][0] + 5
        return ["hook", "critical"] if there else []


class TestTelemetry:
    @pytest.mark.parametrize("drill", DRILLS, ids=lambda d: d.name)
    def test_it_is_otlp_of_a_service_of_its_own(self, drill: Drill) -> None:
        path, payload = drill.telemetry(drill.service, 1_700_000_000_000_000_000)
        request = ExportTraceServiceRequest() if path == "/v1/traces" else ExportLogsServiceRequest()
        json_format.ParseDict(payload, request)
        assert f"sidecar-drill-{drill.name}" in json.dumps(payload)

    def test_every_drill_has_an_alert_that_is_shipped(self) -> None:
        assert {(d.alert, d.name) for d in DRILLS} == {(a.name, a.drill) for a in alerts() if a.drill}
        assert len({drill.name for drill in DRILLS}) == len(DRILLS)

    def test_it_is_sent_once_a_second(self) -> None:
        world = World()
        drills.generate([ERRORS, REFUSED], world.post, 5, world.time)
        assert [at for at, _ in world.sent] == [t for t in range(100, 105) for _ in range(2)]

    def test_accuracy_drops_and_recovers(self) -> None:
        """As the sidecar computes it from what is sent: 25 seconds of the drill, and what makes up for them."""
        outcomes, now = Outcomes(), START * 10**9
        assert ACCURACY.recovery is not None
        for made, times, accuracy in ((ACCURACY.telemetry, 25, 0.0), (ACCURACY.recovery, 3, 4800 / 5300)):
            for _ in range(times):
                now += 1
                path, payload = made(ACCURACY.service, now)
                assert path == "/v1/logs"
                request = json_format.ParseDict(payload, ExportLogsServiceRequest())
                outcomes.feed(request.SerializeToString())
            assert outcomes.figure("model_accuracy", model=ACCURACY.service) == pytest.approx(accuracy)
        assert accuracy > build().text.thresholds().values["accuracy_warning"]

    def test_what_ends_a_condition_is_sent_at_the_end(self) -> None:
        world = World()
        drills.generate([ERRORS, ACCURACY], world.post, 15, world.time)
        assert [path for at, path in world.sent if at >= 115] == ["/v1/logs"] * 2

    @pytest.mark.parametrize(
        ("drill", "status", "said"),
        [(ERRORS, 401, "answered 401; expected 200"), (REFUSED, 200, "asks for no credentials")],
    )
    def test_a_sidecar_that_answers_otherwise_ends_it(self, drill: Drill, status: int, said: str) -> None:
        with pytest.raises(Permanent, match=said):
            drills.send(drill, lambda path, body, wrong: status, 1)


class TestVerify:
    def run(self, world: World, timeout: float = 60) -> drills.Seen:
        (seen,) = drills.verify([ERRORS], world.post, world, timeout, world.time)
        return seen

    def test_an_alert_that_fires_arrives_and_resolves(self) -> None:
        world = World()
        seen = self.run(world)
        assert (seen.fired, seen.arrived, seen.whole) == (3, 5, True)
        assert seen.receivers == ["hook", "critical"]
        assert str(seen).startswith("ok      errors: ErrorRateHigh fired after 3 s  arrived after 5 s  resolved after ")
        assert str(seen).endswith("hook,critical")

    def test_what_ends_a_condition_is_sent_while_it_is_waited_for(self) -> None:
        world = World()
        gone = world.now + 20

        def firing(drill: Drill) -> bool:
            return world.now >= 103 and world.now < gone

        world.firing = firing  # type: ignore[method-assign]
        (seen,) = drills.verify([ACCURACY], world.post, world, 60, world.time)
        assert seen.whole
        assert max(at for at, _ in world.sent) == gone

    @pytest.mark.parametrize(
        ("world", "said"),
        [
            (World(fires=False), "fired not  arrived not  resolved not"),
            (World(arrives=False), "arrived not  resolved not"),
            (World(resolves=False), "resolved not"),
        ],
        ids=["does not fire", "does not arrive", "does not resolve"],
    )
    def test_one_that_does_not_is_said(self, world: World, said: str) -> None:
        seen = self.run(world)
        assert not seen.whole
        assert said in str(seen)
        assert str(seen).startswith("FAILED")
        assert world.now < 100 + 2 * 60 + 5

    def test_one_that_fires_before_proves_nothing(self) -> None:
        world = World(resolves=False)
        self.run(world, 10)
        sent = len(world.sent)
        with pytest.raises(Permanent, match="firing already: ErrorRateHigh"):
            self.run(world)
        assert len(world.sent) == sent


class Answers:
    """Prometheus or Alertmanager with one answer."""

    def __init__(self, body: bytes, status: int = 200) -> None:
        self.reply = Reply(status, body)

    def request(self, method: str, target: str, body: bytes | None, headers: Mapping[str, str]) -> Reply:
        return self.reply

    def close(self) -> None:
        """Nothing."""


class TestMonitor:
    def monitor(self, alerts: object, routed: object = ()) -> HttpMonitor:
        body = {"status": "success", "data": {"alerts": alerts}}
        return HttpMonitor(Answers(json.dumps(body).encode()), Answers(json.dumps(routed).encode()))

    def test_only_its_own_service_counts(self) -> None:
        labels = {"alertname": "ErrorRateHigh", "service": "wine"}
        own = labels | {"service": "sidecar-drill-errors"}
        assert not self.monitor([{"labels": labels, "state": "firing"}]).firing(ERRORS)
        assert not self.monitor([{"labels": own, "state": "pending"}]).firing(ERRORS)
        assert self.monitor([{"labels": own, "state": "firing"}]).firing(ERRORS)
        model = {"alertname": ACCURACY.alert, "service": "wine", "model": ACCURACY.service}
        assert self.monitor([{"labels": model, "state": "firing"}]).firing(ACCURACY)
        assert not self.monitor([{"labels": model | {"model": "wine"}, "state": "firing"}]).firing(ACCURACY)

    def test_an_alert_without_service_counts_by_its_name(self) -> None:
        assert self.monitor([{"labels": {"alertname": "RefusedCredentials"}, "state": "firing"}]).firing(REFUSED)

    def test_receivers_are_those_that_alertmanager_names(self) -> None:
        labels = {"alertname": "ErrorRateHigh", "service": "sidecar-drill-errors"}
        routed = [{"labels": labels, "receivers": [{"name": "hook"}, {"name": "critical"}]}]
        assert self.monitor([], routed).receivers(ERRORS) == ["critical", "hook"]
        assert self.monitor([], []).receivers(ERRORS) == []

    @pytest.mark.parametrize(("body", "status"), [(b"<html>", 200), (b"{}", 502)])
    def test_something_else_at_the_address_is_found(self, body: bytes, status: int) -> None:
        with pytest.raises(Permanent, match="Prometheus"):
            HttpMonitor(Answers(body, status), Answers(b"[]")).firing(ERRORS)


class TestCommand:
    def test_the_list(self) -> None:
        done = CliRunner().invoke(main, ["drill", "--list"])
        assert done.exit_code == 0
        assert [line.split()[0] for line in done.output.splitlines()] == [drill.name for drill in DRILLS]

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            ([], "name the drills, or give --all"),
            (["errors", "--all"], "name the drills, or give --all"),
            (["fire"], "no drill is named fire; expected one of errors, latency"),
        ],
    )
    def test_wrong_use(self, arguments: list[str], said: str) -> None:
        done = CliRunner().invoke(main, ["drill", *arguments])
        assert done.exit_code == 2
        assert said in done.output

    def test_a_sidecar_that_is_not_there_is_an_error_of_one_line(self) -> None:
        done = CliRunner().invoke(main, ["drill", "errors", "--url", "http://127.0.0.1:1"])
        assert done.exit_code == 1
        assert done.output.startswith("sidecar: the sidecar does not answer at http://127.0.0.1:1")
