"""The chart: rendered over a matrix of values by a real Helm, checked by the schemas of six versions of Kubernetes, by
those of the Prometheus Operator and cert-manager, by a policy linter, and by what it must say."""

from __future__ import annotations

import base64
import json
import os
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.engines import Child, free_port, sidecar_command, wait_for
from support.engines.charts import (
    CERT_MANAGER,
    OPERATOR,
    cert_manager_definitions,
    helm,
    kube_score,
    kubeconform,
    operator_definitions,
    run,
    schemas_of,
    validate,
)
from support.pods import WORKLOADS

from sidecar.derive.registry import DERIVERS
from sidecar.inject.pod import inject
from sidecar.inject.profile import Profile, load
from sidecar.inject.request import read
from sidecar.inject.sidecar_container import sidecar_container, volumes

pytestmark = [pytest.mark.engine, pytest.mark.slow, pytest.mark.timeout(1500)]

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "helm" / "model-sidecar"
GOLDEN = ROOT / "tests" / "golden" / "helm"
VERSIONS = ("1.32.0", "1.33.0", "1.34.0", "1.35.0", "1.36.0", "1.37.0")
EVERYTHING = (
    "podMonitor.enabled=true,serviceMonitor.enabled=true,prometheusRule.enabled=true,setup.enabled=true,"
    "setup.url=https://es:9200,setup.secret=es-admin,imagePullSecrets={registry},commonLabels.team=ml,"
    "configNamespaces={shop,risk},injection.configMap=true,injection.secret=es,setup.kibanaUrl=https://kibana:5601,"
    "gateway.enabled=true,gateway.secret=es,gateway.tokenSecret=token,gateway.storageClassName=fast,"
    "gateway.autoscaling.enabled=true,lookup.enabled=true,lookup.url=https://es:9200,lookup.secret=es-reader,"
    "lookup.autoscaling.enabled=true,dashboards.enabled=true,dashboards.annotations.grafana_folder=Models,"
    "datasources.enabled=true,datasources.prometheusIsDefault=true,report.enabled=true,report.claim=reports,"
    "report.mlflowUrl=http://mlflow:5000,report.secret=prometheus-token,report.args={--namespace=shop},"
    "outcomes.enabled=true,outcomes.url=https://es:9200,outcomes.secret=es-outcomes"
)
TRACES = "datasources.enabled=true,datasources.logsUrl=http://es,datasources.tracesUrl=http://traces"
MATRIX: dict[str, str] = {
    "defaults": "",
    "everything": EVERYTHING,
    "cert-manager": "webhook.certificate.source=certManager",
    "issuer": "webhook.certificate.source=certManager,webhook.certificate.issuerRef.name=ca",
    "existing": "webhook.certificate.source=existing,webhook.certificate.secretName=t,webhook.certificate.caBundle=QQ",
    "digest": "image.digest=sha256:0a,bundleImage.tag=v2,fullnameOverride=telemetry",
    "bare": "networkPolicy.enabled=false,podDisruptionBudget.enabled=false,webhook.replicas=1,gateway.enabled=true",
    "placed": "webhook.nodeSelector.pool=infra,webhook.priorityClassName=system-cluster-critical",
    "node": "mode=node",
    "node-everything": f"mode=node,{EVERYTHING},node.logs=true,node.tokenSecret=token,node.hostPath=/data",
    "node-bare": "mode=node,networkPolicy.enabled=false",
    "gateway": "gateway.enabled=true",
    "lookup": "lookup.enabled=true,lookup.url=http://es:9200",
    "lookup-bare": "lookup.enabled=true,lookup.url=http://es:9200,lookup.replicas=1",
    "outcomes-bare": "outcomes.enabled=true,outcomes.url=http://es:9200,networkPolicy.enabled=false",
    "grafana": f"dashboards.enabled=true,{TRACES}",
    "report": "report.enabled=true,report.mlflowUrl=http://mlflow:5000",
    "library": f"mode=library,{EVERYTHING}",
}
JOB = "model-sidecar"
CRD_GROUPS = ("monitoring.coreos.com", "cert-manager.io")


@cache
def render(values: str, version: str = "1.33.0") -> tuple[dict[str, Any], ...]:
    arguments = ["template", "watch", CHART, "--namespace", "obs", "--kube-version", version]
    done = run(helm(), *arguments, *(["--set", values] if values else []))
    assert done.returncode == 0, done.stderr
    return tuple(d for d in yaml.safe_load_all(done.stdout) if d)


def of_kind(documents: tuple[dict[str, Any], ...], kind: str) -> list[dict[str, Any]]:
    return [d for d in documents if d["kind"] == kind]


def pod_specs(documents: tuple[dict[str, Any], ...]) -> Iterator[tuple[str, dict[str, Any]]]:
    for document in documents:
        spec = document.get("spec", {})
        spec = spec.get("jobTemplate", {}).get("spec", spec)  # Of a CronJob.
        if document["kind"] == "Pod":
            yield document["metadata"]["name"], spec
        elif "template" in spec:
            yield document["metadata"]["name"], spec["template"]["spec"]


class TestSchemas:
    def test_helm_finds_nothing_to_complain_of(self) -> None:
        done = run(helm(), "lint", "--strict", CHART)
        assert done.returncode == 0, done.stdout + done.stderr

    def test_each_render_is_valid_in_six_versions_of_kubernetes(self) -> None:
        checked = [
            (version, document)
            for values in MATRIX.values()
            for version in VERSIONS
            for document in render(values, version)
            if document["apiVersion"].split("/")[0] not in CRD_GROUPS
        ]
        assert len(checked) > 400
        assert validate(checked) == []

    def test_the_validation_refuses_what_is_wrong(self) -> None:
        (deployment,) = of_kind(render(""), "Deployment")
        wrong = json.loads(json.dumps(deployment))
        wrong["spec"]["template"]["spec"]["containers"][0]["prots"] = []
        assert len(validate([(version, wrong) for version in VERSIONS])) == len(VERSIONS)

    @pytest.mark.parametrize(
        ("name", "group", "kinds"),
        [
            ("everything", "monitoring.coreos.com", {"PodMonitor", "ServiceMonitor", "PrometheusRule"}),
            ("node-everything", "monitoring.coreos.com", {"PodMonitor", "PrometheusRule"}),
            ("cert-manager", "cert-manager.io", {"Certificate", "Issuer"}),
            ("issuer", "cert-manager.io", {"Certificate"}),
        ],
    )
    def test_objects_of_operators_are_valid(self, name: str, group: str, kinds: set[str]) -> None:
        schemas = (
            schemas_of(OPERATOR, operator_definitions)
            if group == "monitoring.coreos.com"
            else schemas_of(CERT_MANAGER, cert_manager_definitions)
        )
        documents = [d for d in render(MATRIX[name]) if d["apiVersion"].startswith(f"{group}/")]
        assert {d["kind"] for d in documents} == kinds
        self._conforms(schemas, documents, 0)
        wrong = json.loads(json.dumps(documents[0]))
        wrong["spec"]["unknown"] = 1
        self._conforms(schemas, [wrong], 1)

    def _conforms(self, schemas: Path, documents: list[dict[str, Any]], code: int) -> None:
        location = f"{schemas}/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json"
        done = run(kubeconform(), "-strict", "-schema-location", location, text=yaml.safe_dump_all(documents))
        assert done.returncode == code, done.stdout

    @pytest.mark.parametrize("kind", WORKLOADS)
    def test_injected_pods_are_valid(self, kind: str) -> None:
        pod = {**inject(WORKLOADS[kind][0], Profile()).pod}
        assert validate([(version, pod) for version in VERSIONS]) == []

    @pytest.mark.parametrize(
        ("values", "message"),
        [
            ("webhook.timeoutSeconds=31", "timeoutSeconds"),
            ("mode=gateway", "mode"),
            ("injektion.env=x", "injektion"),
            ("image.repository=", "repository"),
            ("injection.dataSize=big", "dataSize"),
            ("webhook.certificate.source=existing,webhook.certificate.caBundle=QQ==", "secretName is needed"),
            ("setup.enabled=true", "setup.url"),
            ("lookup.enabled=true", "lookup.url"),
            ("outcomes.enabled=true", "outcomes.url"),
            ("outcomes.enabled=true,outcomes.url=http://es,outcomes.deadlineSeconds=1", "deadlineSeconds"),
            ("datasources.enabled=true,datasources.logsUrl=http://es", "datasources.tracesUrl"),
            ("datasources.enabled=true,datasources.tracesUrl=http://traces", "datasources.logsUrl"),
            ("gateway.autoscaling.cpu=0", "cpu"),
            ("report.enabled=true", "report.claim or report.mlflowUrl"),
        ],
    )
    def test_values_that_make_no_sense_are_refused(self, values: str, message: str) -> None:
        done = run(helm(), "template", CHART, "--kube-version", "1.33.0", "--set", values)
        assert done.returncode != 0
        assert message in done.stderr

    def test_kubernetes_before_1_27_is_refused(self) -> None:
        assert run(helm(), "template", CHART, "--kube-version", "1.26.9").returncode != 0


class TestPolicy:
    @pytest.mark.parametrize("name", ["everything", "cert-manager", "node", "gateway", "lookup", "report"])
    def test_the_policy_linter_is_silent(self, name: str, tmp_path: Path) -> None:
        """Everything that kube-score tests by default, warnings too. It wants images pulled always, a value here."""
        path = tmp_path / "render.yaml"
        documents = render(f"{MATRIX[name]},image.pullPolicy=Always".strip(","))
        path.write_text(yaml.safe_dump_all(documents))
        done = run(kube_score(), "score", "--kubernetes-version", "v1.33", "--exit-one-on-warning", path)
        assert done.returncode == 0, done.stdout

    @pytest.mark.parametrize("name", MATRIX)
    def test_no_container_may_more_than_it_must(self, name: str) -> None:
        for owner, spec in pod_specs(render(MATRIX[name])):
            assert spec["automountServiceAccountToken"] is False, owner
            assert not spec.get("hostNetwork")
            assert not spec.get("hostPID")
            for container in spec["containers"]:
                context = container["securityContext"]
                assert context["readOnlyRootFilesystem"] is True
                assert context["allowPrivilegeEscalation"] is False
                assert context["capabilities"] == {"drop": ["ALL"]}
                assert context["seccompProfile"] == {"type": "RuntimeDefault"}
                assert context["runAsNonRoot"] is ("node.logs=true" not in MATRIX[name] or "node" not in owner)
                assert {"cpu", "memory"} <= container["resources"]["limits"].keys()

    def test_only_node_logs_need_a_path_of_the_host(self) -> None:
        for name in MATRIX:
            paths = [
                v for _, spec in pod_specs(render(MATRIX[name])) for v in spec.get("volumes", ()) if "hostPath" in v
            ]
            assert bool(paths) == ("node.logs" in MATRIX[name])


class TestWebhook:
    def test_it_never_keeps_a_pod_from_running(self) -> None:
        (configuration,) = of_kind(render(""), "MutatingWebhookConfiguration")
        for webhook in configuration["webhooks"]:
            assert webhook["failurePolicy"] == "Ignore"
            assert webhook["timeoutSeconds"] <= 10
            (excluded,) = (e for e in webhook["namespaceSelector"]["matchExpressions"] if e["operator"] == "NotIn")
            assert {"obs", "kube-system"} <= set(excluded["values"])
        asked, by_default = configuration["webhooks"]
        assert "model-sidecar/inject" in asked["matchConditions"][0]["expression"]
        assert {"key": "model-sidecar/inject", "operator": "In", "values": ["true"]} in by_default["namespaceSelector"][
            "matchExpressions"
        ]

    def test_an_old_cluster_gets_neither_conditions_nor_native_sidecars(self, tmp_path: Path) -> None:
        documents = render("", "1.27.0")
        (configuration,) = of_kind(documents, "MutatingWebhookConfiguration")
        assert "matchConditions" not in configuration["webhooks"][0]
        assert not profile_of(documents, tmp_path).native

    @pytest.mark.parametrize("name", ["defaults", "everything", "digest", "bare"])
    def test_the_program_accepts_the_profile(self, name: str, tmp_path: Path) -> None:
        profile = profile_of(render(MATRIX[name]), tmp_path)
        assert profile.native
        assert "obs" in profile.excluded_namespaces
        assert profile.prometheus_annotations is ("podMonitor" not in MATRIX[name])
        assert profile.config_map == ("watch-model-sidecar-config" if name == "everything" else "")
        if name == "digest":
            assert (profile.image, profile.bundle_image) == ("model-sidecar@sha256:0a", "model-sidecar-bundle:v2")

    def test_the_generated_certificate_serves_and_the_test_of_the_chart_passes(self, tmp_path: Path) -> None:
        """The rendered profile and certificate in a real webhook, asked by the script of `helm test`."""
        documents = render("")
        profile_of(documents, tmp_path)
        (secret,) = of_kind(documents, "Secret")
        for name, data in secret["data"].items():
            (tmp_path / name).write_bytes(base64.b64decode(data))
        port = free_port()
        files = ["--profile", "profile.yaml", "--cert-file", "tls.crt", "--key-file", "tls.key"]
        command = [sidecar_command(), "inject", "--serve", *files, "--host", "127.0.0.1", "--port", str(port)]
        child = Child("webhook", command, tmp_path / "log", dict(os.environ), tmp_path)
        try:
            child.start()
            script = (CHART / "files" / "check.py").read_text("utf-8")
            # The certificate is for the Service's name, which only a cluster resolves.
            host = "watch-model-sidecar-webhook.obs.svc"
            here = (
                "import socket; real = socket.getaddrinfo\n"
                "socket.getaddrinfo = lambda host, *a, **k: real('127.0.0.1', *a, **k)\n"
            )
            url = f"https://{host}:{port}/inject"
            asked = [Path(sys.executable), "-c", here + script, url, tmp_path / "ca.crt"]
            wait_for(lambda: run(*asked).returncode == 0, 60, "the check of the chart")
            assert "model-sidecar" in run(*asked).stdout
        finally:
            child.stop()


def profile_of(documents: tuple[dict[str, Any], ...], folder: Path) -> Profile:
    (found,) = (d for d in of_kind(documents, "ConfigMap") if "profile.yaml" in d["data"])
    path = folder / "profile.yaml"
    path.write_text(found["data"]["profile.yaml"])
    return load(path)


class TestServices:
    def test_each_deriver_is_off_in_the_gateway(self) -> None:
        """What it receives was derived in the pods: it would be counted twice."""
        (gateway,) = of_kind(render(MATRIX["gateway"]), "StatefulSet")
        env = {e["name"]: e["value"] for e in gateway["spec"]["template"]["spec"]["containers"][0]["env"]}
        off = {name for name, value in env.items() if name.startswith("SIDECAR_DERIVE__") and value == "false"}
        assert off == {
            f"SIDECAR_DERIVE__{deriver.name.upper()}__ENABLED"
            for deriver in DERIVERS
            if getattr(deriver.options, "model_fields", {}).get("enabled") and deriver.options().enabled
        }

    def test_the_program_accepts_the_environment_of_the_gateway(self, tmp_path: Path) -> None:
        (gateway,) = of_kind(render(MATRIX["gateway"]), "StatefulSet")
        env = {e["name"]: e["value"] for e in gateway["spec"]["template"]["spec"]["containers"][0]["env"]}
        shown = run(sidecar_command(), "config", "show", environ=env)
        assert shown.returncode == 0, shown.stderr
        settings = yaml.safe_load(shown.stdout)
        assert settings["receive"]["otlp_grpc"]["host"] == "0.0.0.0"
        assert settings["journal"]["quota_bytes"] == 4 << 30
        assert settings["deliver"]["redaction"]["kubernetes"]["enabled"] is False

    def test_injected_sidecars_deliver_to_the_gateway_unless_their_environment_names_another(
        self, tmp_path: Path
    ) -> None:
        name = "SIDECAR_DELIVER__OTLP__ENDPOINT"
        found = {e["name"]: e["value"] for e in profile_of(render("gateway.enabled=true"), tmp_path).env}
        assert found == {name: "http://watch-model-sidecar-gateway.obs.svc:4317"}
        own = f"gateway.enabled=true,injection.env[0].name={name},injection.env[0].value=http://other:4317"
        assert [e["value"] for e in profile_of(render(own), tmp_path).env] == ["http://other:4317"]

    @pytest.mark.parametrize("kind", ["StatefulSet", "Deployment"])
    def test_an_autoscaler_and_a_number_of_replicas_do_not_fight(self, kind: str) -> None:
        component = "gateway" if kind == "StatefulSet" else "lookup"
        documents = render(MATRIX["everything"])
        (scaled,) = (d for d in of_kind(documents, kind) if d["metadata"]["name"].endswith(component))
        assert "replicas" not in scaled["spec"]
        targets = [d["spec"]["scaleTargetRef"] for d in of_kind(documents, "HorizontalPodAutoscaler")]
        assert {"apiVersion": "apps/v1", "kind": kind, "name": scaled["metadata"]["name"]} in targets

    def test_a_claim_is_made_for_each_pod_of_the_gateway(self) -> None:
        (gateway,) = of_kind(render(MATRIX["everything"]), "StatefulSet")
        (claim,) = gateway["spec"]["volumeClaimTemplates"]
        assert claim["spec"]["resources"] == {"requests": {"storage": "8Gi"}}
        assert claim["spec"]["storageClassName"] == "fast"
        headless = {d["metadata"]["name"] for d in of_kind(render(EVERYTHING), "Service") if "clusterIP" in d["spec"]}
        assert headless == {gateway["spec"]["serviceName"]}


class TestReport:
    @pytest.mark.parametrize("name", ["everything", "report"])
    def test_the_program_accepts_the_arguments(self, name: str, tmp_path: Path) -> None:
        """Nobody answers there, which is what it says."""
        jobs = of_kind(render(MATRIX[name]), "CronJob")
        (job,) = (job for job in jobs if job["metadata"]["name"].endswith("-report"))
        (container,) = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
        closed = f"--prometheus=http://127.0.0.1:{free_port()}"
        arguments = [re.sub("^--prometheus=.*", closed, one) for one in container["args"]]
        done = run(sidecar_command(), *(one.replace("/reports", str(tmp_path)) for one in arguments))
        assert (done.returncode, done.stdout) == (1, "")
        assert "gives no answer: unreachable" in done.stderr
        assert list(tmp_path.iterdir()) == []


class TestMonitors:
    @pytest.mark.parametrize("name", ["everything", "node-everything"])
    def test_series_get_the_labels_that_rules_ask_for(self, name: str) -> None:
        """Those that the shipped configuration of a Prometheus without the Operator gives."""
        path = ROOT / "monitoring" / "prometheus" / "prometheus-kubernetes.yml"
        (job,) = (j for j in yaml.safe_load(path.read_text("utf-8"))["scrape_configs"] if j["job_name"] == JOB)
        monitors = of_kind(render(MATRIX[name]), "PodMonitor")
        assert len(monitors) == 2
        for monitor in monitors:
            (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
            assert {"targetLabel": "job", "replacement": JOB} in endpoint["relabelings"]
            assert endpoint["metricRelabelings"] == [camel(rule) for rule in job["metric_relabel_configs"]]
            theirs = [camel(rule) for rule in job["relabel_configs"] if rule.get("target_label") == "service"]
            assert theirs == [rule for rule in endpoint["relabelings"] if rule["targetLabel"] == "service"]


def camel(rule: dict[str, Any]) -> dict[str, Any]:
    """A relabelling in the Operator's words."""
    return {re.sub(r"_(.)", lambda match: match[1].upper(), key): value for key, value in rule.items()}


class TestGrafana:
    def test_dashboards_are_those_of_monitoring(self) -> None:
        made = {
            name: text
            for document in of_kind(render(MATRIX["grafana"]), "ConfigMap")
            if document["metadata"]["labels"].get("grafana_dashboard") == "1"
            for name, text in document["data"].items()
        }
        shipped = (ROOT / "monitoring" / "grafana" / "dashboards").glob("*.json")
        assert made == {path.name: path.read_text("utf-8") for path in shipped}

    def test_data_sources_have_the_addresses_of_the_cluster(self) -> None:
        (made,) = (
            d
            for d in of_kind(render(MATRIX["everything"]), "ConfigMap")
            if d["metadata"]["labels"].get("grafana_datasource") == "1"
        )
        sources = [s for text in made["data"].values() for s in yaml.safe_load(text)["datasources"]]
        traces = "http://watch-model-sidecar-lookup.obs.svc:9464"
        assert {s["uid"]: s["url"] for s in sources} == {
            "sidecar-prometheus": "http://prometheus-operated.monitoring.svc:9090",
            "sidecar-logs": "https://es:9200",
            "sidecar-traces": f"{traces}/tempo",
            "sidecar-jaeger": traces,
        }
        assert [s["uid"] for s in sources if s.get("isDefault")] == ["sidecar-prometheus"]

    def test_prometheus_is_not_the_default_unless_asked_for(self) -> None:
        made = str(of_kind(render(MATRIX["grafana"]), "ConfigMap"))
        assert "isDefault: false" in made
        assert "isDefault: true" not in made


class TestLibrary:
    VALUES = (
        "model-sidecar.mode=library,model-sidecar.injection.secret=es,model-sidecar.image.repository=r/sidecar,"
        "model-sidecar.injection.env[0].name=POD_NAME,model-sidecar.injection.env[0].value=x"
    )

    def test_its_container_is_the_one_that_inject_makes(self, tmp_path: Path) -> None:
        chart = tmp_path / "own"
        (chart / "templates").mkdir(parents=True)
        (chart / "charts").mkdir()
        (chart / "charts" / "model-sidecar").symlink_to(CHART)
        (chart / "Chart.yaml").write_text("{apiVersion: v2, name: own, version: 0.0.1}")
        (chart / "templates" / "pod.yaml").write_text(
            '{{- $asked := dict "root" . "service" "fraud" "container" "m" }}\n'
            'initContainers: {{ include "model-sidecar.container" $asked | nindent 2 }}\n'
            'volumes: {{ include "model-sidecar.volumes" (dict "root" .) | nindent 2 }}\n'
        )
        done = run(helm(), "template", chart, "--kube-version", "1.33.0", "--set", self.VALUES)
        assert done.returncode == 0, done.stderr
        (made,) = (d for d in yaml.safe_load_all(done.stdout) if d)
        profile = Profile(
            image="r/sidecar:0.1.0", secret="es", data_size=1 << 30, env=({"name": "POD_NAME", "value": "x"},)
        )
        request = read({}, instrument=False)
        expected = sidecar_container(profile, request, "fraud", "m", None)
        (ours,) = made["initContainers"]
        assert plain(ours) == plain(expected)
        assert made["volumes"] == volumes(profile, request)


def plain(container: dict[str, Any]) -> dict[str, Any]:
    """With variables by name, sizes as bytes."""
    units = {"GiB": 1 << 30, "MiB": 1 << 20, "": 1}
    env = {item["name"]: item.get("value", item.get("valueFrom")) for item in container["env"]}
    for name, value in env.items():
        if name.endswith("_BYTES") and (match := re.fullmatch(r"(\d+)(GiB|MiB|)", str(value))):
            env[name] = int(match[1]) * units[match[2]]
    return {**container, "env": env}


@pytest.mark.parametrize("name", ["cert-manager", "everything", "node-everything"])
def test_renders_are_the_golden_ones(name: str) -> None:
    """`SIDECAR_WRITE_GOLDEN=1` writes them: read the difference. What monitoring/ has is left out; certificates and
    sums are replaced."""
    copied = {"rules", "dashboards", "datasources"}
    documents = [
        document
        for document in render(MATRIX[name])
        if document["metadata"]["labels"]["app.kubernetes.io/component"] not in copied
    ]
    text = yaml.safe_dump_all(documents, sort_keys=False, width=120)
    text = re.sub(r"((?:ca|tls)\.(?:crt|key)|caBundle): \S+", r"\1: <made>", text)
    text = re.sub(r"(checksum/\w+): \S+", r"\1: <sum>", text)
    # One for each deriver that there is: `TestServices` compares them.
    text = re.sub(r" *- name: SIDECAR_DERIVE__\w+\n +value: 'false'\n", "", text)
    path = GOLDEN / f"{name}.yaml"
    if os.environ.get("SIDECAR_WRITE_GOLDEN") == "1":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    assert text == path.read_text("utf-8")
