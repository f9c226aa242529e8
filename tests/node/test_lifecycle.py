"""From start to end, as docs/how-to/kubernetes.md says: what is done to a pod, and what becomes of its telemetry."""

from __future__ import annotations

import json
import time
from datetime import datetime
from typing import Any

import pytest
from support.engines import wait_for
from support.kubernetes.installation import create, metrics, state
from support.kubernetes.lifecycle import SIDECAR, Lifecycle, lines, template
from support.load import total
from support.search_client import documents

pytestmark = [pytest.mark.engine, pytest.mark.slow, pytest.mark.timeout(3600)]


def at(ending: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(ending["finishedAt"])


def test_the_sidecar_is_there_before_the_model_and_until_after_it(lifecycle: Lifecycle) -> None:
    with lifecycle.pod("order", "serve") as name:
        lifecycle.says(name, "first words 200")
        lifecycle.delete(name)
        endings = lifecycle.ended(name)
        assert endings["model"]["exitCode"] == endings[SIDECAR]["exitCode"] == 0
        assert at(endings["model"]) <= at(endings[SIDECAR])
        assert sorted(lifecycle.all_there(name, {"first words", "last words"})) == ["first words", "last words"]


def test_it_ends_within_the_grace_period_while_the_destination_is_away(lifecycle: Lifecycle) -> None:
    """What was not delivered is lost with the emptyDir, and the pod is not late for it."""
    with lifecycle.away(), lifecycle.pod("away", "lines", "20", "0", grace=20) as name:
        lifecycle.says(name, "sent 20")
        begin = time.monotonic()
        lifecycle.delete(name)
        endings = lifecycle.ended(name)
        print(f"ended {time.monotonic() - begin:.0f} s after the deletion, grace period 20 s")
        assert endings[SIDECAR]["exitCode"] == 0, "it ended by itself, not by SIGKILL"
    assert lifecycle.delivered(name) == []


def test_what_waits_is_delivered_where_the_destination_comes_back_in_time(lifecycle: Lifecycle) -> None:
    with lifecycle.away() as back, lifecycle.pod("back", "lines", "20", "0", grace=120) as name:
        lifecycle.says(name, "sent 20")
        lifecycle.delete(name)
        lifecycle.says(name, "ends")
        assert lifecycle.delivered(name) == []
        back()
        assert lifecycle.ended(name)[SIDECAR]["exitCode"] == 0
        assert sorted(lifecycle.all_there(name, lines(20))) == sorted(lines(20))


def test_a_job_completes(lifecycle: Lifecycle) -> None:
    node, space = lifecycle.node, lifecycle.space
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "nightly"},
        "spec": {"backoffLimit": 0, "template": template("job", "20")},
    }
    create(node, space, job)
    node.kubectl("wait", f"--namespace={space}", "--for=condition=Complete", "job/nightly", "--timeout=20m")
    (made,) = node.pods(space, "job-name=nightly")
    assert made["status"]["phase"] == "Succeeded"
    name = made["metadata"]["name"]
    assert sorted(lifecycle.all_there(name, lines(20))) == sorted(lines(20))


def test_a_model_that_is_killed_for_memory_leaves_its_last_lines(lifecycle: Lifecycle) -> None:
    with lifecycle.pod("memory", "memory", "200", memory="64Mi", logs=True) as name:
        endings = lifecycle.ended(name)
        assert endings["model"]["reason"] == "OOMKilled"
        assert endings[SIDECAR]["exitCode"] == 0
        assert sorted(lifecycle.all_there(name, lines(200))) == sorted(lines(200))


def test_a_sidecar_that_is_killed_loses_and_doubles_nothing(lifecycle: Lifecycle) -> None:
    """The model sends again what was not acknowledged; the kubelet restarts the sidecar alone."""
    with lifecycle.pod("killed", "lines", "400", "0.05") as name:
        for kill in (1, 2):
            wait_for(lambda kill=kill: len(lifecycle.delivered(name)) > 40 * kill, 180, "lines", interval=0.5)
            container = state(lifecycle.get(name), SIDECAR)["containerID"].removeprefix("containerd://")
            lifecycle.node.signal(container, 9)
            restarted = lambda kill=kill: state(lifecycle.get(name), SIDECAR).get("restartCount") == kill  # noqa: E731
            wait_for(restarted, 180, "the restart", interval=0.5)
        lifecycle.says(name, "sent 400", 300)
        assert sorted(lifecycle.all_there(name, lines(400))) == sorted(lines(400))
        found = lifecycle.get(name)
        assert state(found, "model")["restartCount"] == 0
        assert state(found, SIDECAR)["lastState"]["terminated"]["exitCode"] == 137
        received = total(metrics(lifecycle.node, found), "sidecar_received_items_total", 'signal="logs"')
        assert received == 400, "counts survive too"


def test_an_eviction_is_an_end_with_a_grace_period(lifecycle: Lifecycle) -> None:
    """By the API, as `kubectl drain` does it."""
    with lifecycle.away() as back, lifecycle.pod("drained", "lines", "20", "0", grace=120) as name:
        lifecycle.says(name, "sent 20")
        metadata = {"name": name, "namespace": lifecycle.space}
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata}
        path = f"/api/v1/namespaces/{lifecycle.space}/pods/{name}/eviction"
        lifecycle.node.kubectl("create", "--raw", path, "--filename=-", text=json.dumps(eviction))
        lifecycle.says(name, "ends")
        back()
        assert lifecycle.ended(name)[SIDECAR]["exitCode"] == 0
        assert sorted(lifecycle.all_there(name, lines(20))) == sorted(lines(20))


def test_a_pod_that_is_evicted_for_a_full_volume_has_delivered_what_it_could(lifecycle: Lifecycle) -> None:
    """By the kubelet, which gives it next to no time. A model that ends by itself even so leaves a pod that has
    succeeded: of the eviction only the event says something then."""
    with lifecycle.pod("full", "fill", "20") as name:
        wait_for(lambda: lifecycle.events(name, "Evicted"), 240, "the eviction", interval=0.5)
        assert sorted(lifecycle.all_there(name, lines(20))) == sorted(lines(20))
        print({c: (e["exitCode"], e["finishedAt"]) for c, e in lifecycle.ended(name).items()})


def test_lines_have_the_identity_of_their_pod(lifecycle: Lifecycle) -> None:
    with lifecycle.pod("identity", "job", "1") as name:
        lifecycle.all_there(name, lines(1))
        url = lifecycle.engine.url
        found = lifecycle.node.inside(lambda: documents(url, "logs-*", ["resource.attributes"]))
        (mine,) = (a for d in found if (a := d["resource"]["attributes"]).get("k8s.pod.name") == name)
        assert mine["k8s.namespace.name"] == lifecycle.space
        assert mine["k8s.node.name"] == lifecycle.node.name
        assert mine["k8s.container.name"] == "model"
