from __future__ import annotations

from sidecar.health import ComponentHealth, Health


def test_probes_follow_the_reports() -> None:
    health = Health()
    health.report("journal", "starting")
    assert (health.live, health.started, health.ready) == (True, False, False)
    health.report("journal", "ok")
    health.report("elasticsearch", "degraded", "connection refused")
    assert (health.live, health.started, health.ready) == (True, True, True)
    health.report("receive", "stopping")
    assert (health.live, health.started, health.ready) == (True, True, False)
    health.report("derive", "failed", "thread ended")
    assert (health.live, health.ready) == (False, False)
    assert health.reports()["derive"].detail == "thread ended"


def test_a_watched_component_is_read_when_a_probe_asks() -> None:
    health, now = Health(), [ComponentHealth("ok")]
    health.watch("journal", lambda: now[0])
    assert health.live
    now[0] = ComponentHealth("failed", "the writer ended")
    assert not health.live
    assert health.reports()["journal"].detail == "the writer ended"
