from __future__ import annotations

from sidecar.health import Health


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
