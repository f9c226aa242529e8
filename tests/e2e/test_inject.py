"""`sidecar inject`: as people call it, and as the API server does."""

from __future__ import annotations

import json
import shutil
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.certificates import Authority, Pair, authority
from support.engines import Child, free_port, sidecar_command, wait_for
from support.pods import pod

DEPLOYMENT = """
kind: Deployment
metadata: {name: churn}
spec: {template: {spec: {containers: [{name: model, image: "m:1"}]}}}
"""


def inject(text: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(sidecar_command()), "inject", *arguments]
    return subprocess.run(command, input=text, capture_output=True, text=True, timeout=300, check=False)


class TestManifests:
    def test_a_manifest_comes_out_injected_and_what_was_done_is_on_stderr(self) -> None:
        done = inject(DEPLOYMENT, "--stdin")
        assert (done.returncode, done.stderr) == (0, "sidecar: Deployment churn: injected\n")
        containers = yaml.safe_load(done.stdout)["spec"]["template"]["spec"]["initContainers"]
        assert [c["name"] for c in containers] == ["model-sidecar-bundle", "model-sidecar"]
        assert inject(done.stdout, "--stdin").stdout == done.stdout

    def test_one_that_cannot_be_injected_fails_and_prints_nothing(self) -> None:
        done = inject(DEPLOYMENT.replace("containers:", "hostNetwork: true, containers:"), "--stdin")
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith("sidecar: Deployment churn: the pod uses the host's network")

    def test_for_clusters_without_native_sidecars(self) -> None:
        spec = yaml.safe_load(inject(DEPLOYMENT, "--stdin", "--plain").stdout)["spec"]["template"]["spec"]
        assert [c["name"] for c in spec["containers"]] == ["model", "model-sidecar"]

    @pytest.mark.parametrize("arguments", [[], ["--stdin", "--serve"], ["--serve"]])
    def test_wrong_usage(self, arguments: list[str]) -> None:
        assert inject("", *arguments).returncode == 2


@pytest.fixture
def certificates(tmp_path: Path) -> Authority:
    return authority(tmp_path)


@pytest.fixture
def served(tmp_path: Path, certificates: Authority) -> Iterator[tuple[str, Pair, Child]]:
    """(address, the files of its certificate, the process)"""
    port, pair = free_port(), certificates.issue("webhook")
    arguments = ["--cert-file", pair.cert, "--key-file", pair.key, "--host", "127.0.0.1", "--port", str(port)]
    child = Child("webhook", [sidecar_command(), "inject", "--serve", *arguments], tmp_path / "webhook.log")
    url = f"https://127.0.0.1:{port}"
    try:
        child.start()
        child.wait_until(lambda: get(url, "/readyz", certificates), 60)
        yield url, pair, child
    finally:
        child.stop()


def get(url: str, path: str, trusted: Authority) -> str:
    context = ssl.create_default_context(cafile=str(trusted.cert))
    with urllib.request.urlopen(url + path, timeout=60, context=context) as answer:
        return str(answer.read().decode())


def post(url: str, path: str, body: Any, trusted: Authority) -> dict[str, Any]:
    context = ssl.create_default_context(cafile=str(trusted.cert))
    request = urllib.request.Request(url + path, json.dumps(body).encode(), {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=60, context=context) as answer:
        return dict(json.load(answer))


def review(made: dict[str, Any]) -> dict[str, Any]:
    request = {"uid": "u", "kind": {"kind": "Pod"}, "namespace": "shop", "operation": "CREATE", "object": made}
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}


class TestWebhook:
    def test_it_answers_over_tls_counts_and_stops(
        self, served: tuple[str, Pair, Child], certificates: Authority
    ) -> None:
        url, _, child = served
        plain = pod(annotations={"model-sidecar/inject": ""})
        assert "patch" in post(url, "/inject?timeout=5s", review(pod()), certificates)["response"]
        assert "patch" not in post(url, "/inject", review(plain), certificates)["response"]
        assert "patch" in post(url, "/inject/by-default", review(plain), certificates)["response"]
        refused = post(url, "/inject", review(pod(hostNetwork=True)), certificates)["response"]
        assert refused["allowed"] is True
        assert refused["warnings"]
        with pytest.raises(urllib.error.HTTPError, match="400") as invalid:
            post(url, "/inject", {"kind": "Pod"}, certificates)
        assert b"expected one of admission.k8s.io/v1" in invalid.value.read()
        invalid.value.close()
        metrics = get(url, "/metrics", certificates)
        for outcome, count in {"injected": 2, "left": 1, "refused": 1, "invalid": 1}.items():
            assert f'sidecar_injection_requests_total{{outcome="{outcome}"}} {count}' in metrics
        events = [json.loads(line)["event"] for line in child.log.read_text().splitlines()]
        assert events.count("pod_injected") == 2
        assert "pod_not_injected" in events
        assert child.stop() == 0

    def test_a_renewed_certificate_is_used_without_a_restart(
        self, served: tuple[str, Pair, Child], tmp_path: Path
    ) -> None:
        url, pair, _ = served
        (tmp_path / "next").mkdir()
        renewed = authority(tmp_path / "next")
        issued = renewed.issue("webhook")
        shutil.copyfile(issued.key, pair.key)
        shutil.copyfile(issued.cert, pair.cert)
        wait_for(lambda: get(url, "/livez", renewed), 30, "the renewed certificate", interval=0.3)

    def test_files_that_are_not_a_certificate_keep_it_from_starting(self, tmp_path: Path) -> None:
        (tmp_path / "x").write_text("no certificate")
        done = inject("", "--serve", "--cert-file", str(tmp_path / "x"), "--key-file", str(tmp_path / "x"))
        assert done.returncode == 2
        assert str(tmp_path / "x") in done.stderr
