"""checkov over the chart's renders and over an injected pod: nothing is found but what `LEFT` gives a reason for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.engines import sidecar_command
from support.engines.charts import checkov, helm, run

pytestmark = [pytest.mark.engine, pytest.mark.slow, pytest.mark.timeout(1800)]

CHART = Path(__file__).resolve().parents[2] / "helm" / "model-sidecar"
SUM = f"sha256:{'0a' * 32}"
PINNED = f"image.digest={SUM},bundleImage.digest={SUM},image.pullPolicy=Always"
"""What the policies want of images is a value of the chart: digests are of the images that a user has built."""
SERVICES = (
    "podMonitor.enabled=true,serviceMonitor.enabled=true,setup.enabled=true,setup.url=https://es:9200,"
    "gateway.enabled=true,gateway.autoscaling.enabled=true,lookup.enabled=true,lookup.url=https://es:9200,"
    "injection.secret=es,gateway.secret=es,lookup.secret=es,setup.secret=es"
)
LEFT: dict[tuple[str, str], str] = {
    ("CKV_K8S_8", "Pod.obs.watch-model-sidecar-check"): "the chart's test runs once: nothing waits for it to live",
    ("CKV_K8S_9", "Pod.obs.watch-model-sidecar-check"): "it serves nothing that could be ready",
    ("CKV_K8S_23", "DaemonSet.obs.watch-model-sidecar-node"): "node.logs: files of the kubelet are root's",
    ("CKV_K8S_40", "DaemonSet.obs.watch-model-sidecar-node"): "node.logs: files of the kubelet are root's",
}
RENDERS = {
    "injection": f"{PINNED},{SERVICES}",
    "node": f"mode=node,{PINNED},{SERVICES},node.logs=true,node.tokenSecret=token",
    "cert-manager": f"{PINNED},webhook.certificate.source=certManager",
    "existing": f"{PINNED},webhook.certificate.source=existing,webhook.certificate.secretName=t,"
    "webhook.certificate.caBundle=QQ",
}
WITHOUT_POLICY = {"CKV2_K8S_6"}
"""Model pods get no NetworkPolicy of ours: it would cut off what theirs do not name."""


def findings(manifest: str, folder: Path) -> set[tuple[str, str]]:
    """(policy, object) of each check that fails."""
    path = folder / "manifest.yaml"
    path.write_text(manifest)
    arguments = ["--file", path, "--framework", "kubernetes", "--skip-download", "--compact", "--output", "json"]
    done = run(checkov(), "-m", "checkov.main", *arguments)
    report: dict[str, Any] = json.loads(done.stdout)
    assert report["summary"]["parsing_errors"] == 0
    assert report["summary"]["passed"] > 50
    return {(check["check_id"], check["resource"]) for check in report["results"]["failed_checks"]}


def render(values: str) -> str:
    done = run(helm(), "template", "watch", CHART, "--namespace", "obs", "--kube-version", "1.33.0", "--set", values)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_each_finding_of_a_render_has_its_reason_and_each_reason_its_finding(tmp_path: Path) -> None:
    found = set[tuple[str, str]]().union(*(findings(render(values), tmp_path) for values in RENDERS.values()))
    assert found == LEFT.keys()


def test_a_careless_value_is_found(tmp_path: Path) -> None:
    found = findings(render("webhook.resources.limits=null"), tmp_path)
    assert {"CKV_K8S_11", "CKV_K8S_13"} <= {policy for policy, _ in found}


def test_injection_adds_no_finding(tmp_path: Path) -> None:
    careful = yaml.safe_dump(model())
    before = {policy for policy, _ in findings(careful, tmp_path)}
    assert before == WITHOUT_POLICY
    profile = tmp_path / "profile.yaml"
    images = {"image": f"r/sidecar@{SUM}", "bundle_image": f"r/bundle@{SUM}", "image_pull_policy": "Always"}
    profile.write_text(yaml.safe_dump(images))
    done = run(sidecar_command(), "inject", "--stdin", "--profile", profile, text=careful)
    assert done.returncode == 0, done.stderr
    assert "model-sidecar-bundle" in done.stdout
    assert {policy for policy, _ in findings(done.stdout, tmp_path)} == WITHOUT_POLICY


def model() -> dict[str, Any]:
    """A Deployment of which nothing else is found."""
    probe = {"httpGet": {"path": "/health", "port": 8000}}
    container = {
        "name": "model",
        "image": f"r/model@{SUM}",
        "imagePullPolicy": "Always",
        "livenessProbe": probe,
        "readinessProbe": probe,
        "resources": {side: {"cpu": "1", "memory": "1Gi"} for side in ("requests", "limits")},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    specification = {
        "automountServiceAccountToken": False,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 20001, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "model", "namespace": "shop"},
        "spec": {
            "selector": {"matchLabels": {"app": "model"}},
            "template": {"metadata": {"labels": {"app": "model"}}, "spec": specification},
        },
    }
