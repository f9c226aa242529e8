"""A pod with the sidecar in it."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from support.pods import WORKLOADS, owned, pod, random_pods

from sidecar.inject import names
from sidecar.inject.not_injected import CannotInject
from sidecar.inject.pod import Injection, inject
from sidecar.inject.profile import Profile

PROFILE = Profile()


def env(container: dict[str, Any]) -> dict[str, Any]:
    return {item["name"]: item.get("value", item.get("valueFrom")) for item in container["env"]}


def sidecar_of(result: Injection) -> dict[str, Any]:
    spec = result.pod["spec"]
    found = [c for c in [*spec.get("initContainers", ()), *spec["containers"]] if c["name"] == "model-sidecar"]
    assert len(found) == 1
    return dict(found[0])


def model_of(result: Injection, name: str = "model") -> dict[str, Any]:
    return next(dict(c) for c in result.pod["spec"]["containers"] if c["name"] == name)


class TestWorkloads:
    @pytest.mark.parametrize("kind", WORKLOADS)
    def test_the_sidecar_starts_first_and_knows_the_service(self, kind: str) -> None:
        given_pod, service, attribute = WORKLOADS[kind]
        result = inject(given_pod, PROFILE)
        begin = [c["name"] for c in result.pod["spec"]["initContainers"]]
        assert begin[:2] == ["model-sidecar-bundle", "model-sidecar"]
        assert begin[2:] == [c["name"] for c in given_pod["spec"].get("initContainers", ())]
        assert sidecar_of(result)["restartPolicy"] == "Always"
        assert env(sidecar_of(result))["OTEL_SERVICE_NAME"] == service
        models = [c for c in result.pod["spec"]["containers"] if "PYTHONPATH" in {e["name"] for e in c.get("env", ())}]
        assert len(models) == 1
        assert env(models[0])["OTEL_SERVICE_NAME"] == service
        assert attribute in env(models[0])["OTEL_RESOURCE_ATTRIBUTES"].split(",")

    @pytest.mark.parametrize("kind", WORKLOADS)
    def test_applied_twice_is_applied_once(self, kind: str) -> None:
        once = inject(WORKLOADS[kind][0], PROFILE)
        assert inject(once.pod, PROFILE) == Injection(once.pod, False, "injected already")

    @pytest.mark.parametrize(("kind", "model"), [("KServe", "kserve-container"), ("Seldon", "classifier")])
    def test_companions_are_not_taken_for_the_model(self, kind: str, model: str) -> None:
        result = inject(WORKLOADS[kind][0], PROFILE)
        assert [c["name"] for c in result.pod["spec"]["containers"] if "OTEL_SERVICE_NAME" in str(c)] == [model]

    def test_what_was_there_is_still_there(self) -> None:
        given_pod, _, _ = WORKLOADS["KServe"]
        result = inject(given_pod, PROFILE)
        before, after = given_pod["spec"], result.pod["spec"]
        assert after["volumes"][: len(before["volumes"])] == before["volumes"]
        model = model_of(result, "kserve-container")
        assert {"name": "PORT", "value": "8080"} in model["env"]
        assert before["containers"][1]["volumeMounts"][0] in model["volumeMounts"]
        assert model["args"] == before["containers"][1]["args"]


class TestSidecar:
    def test_it_is_as_restricted_as_the_pod_security_standard_wants(self) -> None:
        result = inject(pod(), PROFILE)
        for container in result.pod["spec"]["initContainers"]:
            context = container["securityContext"]
            assert context["runAsNonRoot"] is True
            assert context["readOnlyRootFilesystem"] is True
            assert context["allowPrivilegeEscalation"] is False
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert context["seccompProfile"] == {"type": "RuntimeDefault"}
            assert container["resources"]["limits"]["memory"]
            assert container["resources"]["requests"]["memory"]

    def test_what_it_stores_fits_into_its_volume(self) -> None:
        result = inject(pod(), Profile.model_validate({"data_size": "64MiB"}))
        volume = next(v for v in result.pod["spec"]["volumes"] if v["name"] == names.DATA_VOLUME)
        assert volume["emptyDir"] == {"sizeLimit": "64Mi"}
        limits = [v for k, v in env(sidecar_of(result)).items() if k.endswith("_BYTES")]
        assert limits == ["32MiB", "4MiB", "8MiB"]

    @pytest.mark.parametrize(("grace", "timeout"), [(None, "25s"), (60, "55s"), (8, "3s"), (2, "1s")])
    def test_it_drains_within_the_grace_period(self, grace: int | None, timeout: str) -> None:
        spec = {} if grace is None else {"terminationGracePeriodSeconds": grace}
        assert env(sidecar_of(inject(pod(**spec), PROFILE)))["SIDECAR_SHUTDOWN__TIMEOUT"] == timeout

    def test_before_native_sidecars_it_is_the_last_of_the_containers(self) -> None:
        result = inject(pod(), Profile(native=False))
        assert [c["name"] for c in result.pod["spec"]["containers"]] == ["model", "model-sidecar"]
        assert "restartPolicy" not in sidecar_of(result)
        assert [c["name"] for c in result.pod["spec"]["initContainers"]] == ["model-sidecar-bundle"]

    def test_the_profile_sets_configuration_secrets_and_environment(self) -> None:
        profile = Profile(
            config_map="telemetry",
            secret="es",
            image_pull_secrets=("pull",),
            env=({"name": "SIDECAR_SHUTDOWN__TIMEOUT", "value": "9s"}, {"name": "POD_NAME", "value": "x"}),
        )
        result = inject(pod(imagePullSecrets=[{"name": "own"}]), profile)
        container = sidecar_of(result)
        assert [e["name"] for e in container["env"]].count("POD_NAME") == 1
        assert env(container)["SIDECAR_SHUTDOWN__TIMEOUT"] == "9s"
        assert env(container)["SIDECAR_CONFIG"] == "/etc/sidecar/config/sidecar.yaml"
        assert result.pod["spec"]["imagePullSecrets"] == [{"name": "own"}, {"name": "pull"}]
        sources = {v["name"]: v for v in result.pod["spec"]["volumes"]}
        assert sources["model-sidecar-config"]["configMap"] == {"name": "telemetry"}
        assert sources["model-sidecar-secrets"]["secret"]["secretName"] == "es"
        mounted = {m["name"] for m in container["volumeMounts"]}
        assert mounted == {"model-sidecar-data", "model-sidecar-config", "model-sidecar-secrets"}


class TestModel:
    def test_annotations_name_model_version_capture_and_service(self) -> None:
        asked = {"model": "fraud $(X)", "model-version": "7", "capture": "none", "service-name": "scoring"}
        result = inject(pod(annotations={names.PREFIX + k: v for k, v in asked.items()}), PROFILE)
        values = env(model_of(result))
        assert values["SIDECAR_MODEL_NAME"] == "fraud $$(X)", "Kubernetes would replace $(X)"
        assert (values["SIDECAR_MODEL_VERSION"], values["SIDECAR_CAPTURE"]) == ("7", "none")
        assert values["OTEL_SERVICE_NAME"] == "scoring"

    @pytest.mark.parametrize(
        ("present", "expected"),
        [
            ([], names.BUNDLE_PATH),
            ([{"name": "PYTHONPATH", "value": "/app:/lib"}], f"{names.BUNDLE_PATH}:/app:/lib"),
            ([{"name": "PYTHONPATH"}], names.BUNDLE_PATH),
            (
                [{"name": "PYTHONPATH", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}}],
                f"{names.BUNDLE_PATH}:$(MODEL_SIDECAR_PYTHONPATH)",
            ),
        ],
    )
    def test_the_bundle_comes_before_the_path_that_is_there(self, present: list[Any], expected: str) -> None:
        model = model_of(inject(pod({"name": "model", "image": "i", "env": present}), PROFILE))
        assert env(model)["PYTHONPATH"] == expected
        listed = [item["name"] for item in model["env"]]
        for item in model["env"]:
            for name in ("K8S_POD_NAME", "MODEL_SIDECAR_PYTHONPATH"):
                if f"$({name})" in str(item.get("value")):
                    assert listed.index(name) < listed.index(item["name"]), "a variable refers to those before it"

    def test_the_path_of_the_image_is_given_by_annotation(self) -> None:
        result = inject(pod(annotations={names.PYTHON_PATH: "/srv"}), PROFILE)
        assert env(model_of(result))["PYTHONPATH"] == f"{names.BUNDLE_PATH}:/srv"

    def test_what_the_container_sets_itself_stays(self) -> None:
        own = [
            {"name": "OTEL_SERVICE_NAME", "value": "mine"},
            {"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": "http://collector:4318"},
            {"name": "OTEL_RESOURCE_ATTRIBUTES", "value": "team=risk,k8s.pod.name=p"},
        ]
        result = inject(pod({"name": "model", "image": "i", "env": own}), PROFILE)
        values = env(model_of(result))
        assert values["OTEL_SERVICE_NAME"] == "mine"
        assert values["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://collector:4318"
        assert "OTEL_EXPORTER_OTLP_PROTOCOL" not in values
        attributes = values["OTEL_RESOURCE_ATTRIBUTES"].split(",")
        assert attributes[:2] == ["team=risk", "k8s.pod.name=p"]
        assert [a.partition("=")[0] for a in attributes].count("k8s.pod.name") == 1
        assert any("telemetry goes there" in w for w in result.warnings)

    def test_without_instrumentation_there_is_no_bundle(self) -> None:
        result = inject(pod(annotations={names.INSTRUMENT: "false"}), PROFILE)
        assert [c["name"] for c in result.pod["spec"]["initContainers"]] == ["model-sidecar"]
        assert "PYTHONPATH" not in env(model_of(result))
        assert names.BUNDLE_VOLUME not in str(result.pod)

    def test_log_files_are_read_from_a_shared_volume(self) -> None:
        result = inject(pod(annotations={names.LOGS: "/var/log/app/"}), PROFILE)
        assert {"name": names.LOG_VOLUME, "mountPath": "/var/log/app"} in model_of(result)["volumeMounts"]
        shared = {"name": names.LOG_VOLUME, "mountPath": "/var/log/model", "readOnly": True}
        assert shared in sidecar_of(result)["volumeMounts"]
        assert env(sidecar_of(result))["SIDECAR_RECEIVE__FILE_TAIL__INCLUDE"].startswith("/var/log/model/")

    def test_a_volume_that_the_model_has_there_is_the_shared_one(self) -> None:
        mount = {"name": "logs", "mountPath": "/var/log/app", "subPath": "model"}
        model = {"name": "model", "image": "i", "volumeMounts": [mount]}
        volumes = [{"name": "logs", "persistentVolumeClaim": {"claimName": "logs"}}]
        result = inject(pod(model, annotations={names.LOGS: "/var/log/app"}, volumes=volumes), PROFILE)
        shared = {"name": "logs", "subPath": "model", "mountPath": "/var/log/model", "readOnly": True}
        assert shared in sidecar_of(result)["volumeMounts"]
        assert names.LOG_VOLUME not in str(result.pod["spec"]["volumes"])
        assert model_of(result)["volumeMounts"].count(mount) == 1

    @pytest.mark.parametrize(
        ("annotation", "volume", "path", "variable"),
        [
            (names.REFERENCE, names.REFERENCE_VOLUME, names.REFERENCE_PATH, "SIDECAR_DERIVE__DRIFT__REFERENCE"),
            (names.SUITE, names.SUITE_VOLUME, names.SUITE_PATH, "SIDECAR_DERIVE__DRIFT__SUITES"),
        ],
    )
    def test_references_and_suites_are_mounted_and_may_come_later(
        self, annotation: str, volume: str, path: str, variable: str
    ) -> None:
        result = inject(pod(annotations={annotation: "of-fraud"}), PROFILE)
        assert {"name": volume, "mountPath": path, "readOnly": True} in sidecar_of(result)["volumeMounts"]
        assert env(sidecar_of(result))[variable] == path
        assert {"name": volume, "configMap": {"name": "of-fraud", "optional": True}} in result.pod["spec"]["volumes"]
        assert volume not in str(inject(pod(), PROFILE).pod)

    def test_several_containers_can_be_named(self) -> None:
        both = [{"name": "a", "image": "i"}, {"name": "b", "image": "i"}, {"name": "c", "image": "i"}]
        result = inject(pod(*both, annotations={names.CONTAINER: "a, c"}), PROFILE)
        assert [c["name"] for c in result.pod["spec"]["containers"] if "env" in c] == ["a", "c"]


class TestMarks:
    def test_prometheus_finds_it(self) -> None:
        metadata = inject(pod(), PROFILE).pod["metadata"]
        assert metadata["annotations"]["prometheus.io/port"] == "9464"
        assert metadata["labels"] == {"app": "fraud", names.INJECTED: "true"}
        assert sidecar_of(inject(pod(), PROFILE))["ports"][0]["name"] == "sidecar-metrics"

    def test_annotations_of_the_pod_for_prometheus_stay(self) -> None:
        result = inject(pod(annotations={"prometheus.io/port": "80"}), PROFILE)
        assert result.pod["metadata"]["annotations"]["prometheus.io/port"] == "80"
        assert "prometheus.io/scrape" not in result.pod["metadata"]["annotations"]
        assert any("PodMonitor" in w for w in result.warnings)

    def test_an_unknown_annotation_is_a_warning(self) -> None:
        result = inject(pod(annotations={"model-sidecar/modle": "x"}), PROFILE)
        assert result.changed
        assert any("model-sidecar/modle" in w for w in result.warnings)


class TestRefusals:
    @pytest.mark.parametrize(
        ("given_pod", "message"),
        [
            (pod(hostNetwork=True), "host's network"),
            (pod(os={"name": "windows"}), "is for windows"),
            (pod(nodeSelector={"kubernetes.io/os": "windows"}), "is for windows"),
            (pod(annotations={"kubernetes.io/config.mirror": "x"}), "static pod"),
            (pod({"name": "x", "image": "i", "ports": [{"containerPort": 4317}]}), "container x uses port 4317"),
            (pod({"name": "model-sidecar", "image": "i"}), "container model-sidecar of its own"),
            (pod(volumes=[{"name": "model-sidecar-data", "emptyDir": {}}]), "volume model-sidecar-data of its own"),
            (pod(annotations={names.CAPTURE: "all"}), "'all'; expected features, predictions, none"),
            (pod(annotations={names.INJECT: "yes"}), '\'yes\'; expected "true" or "false"'),
            (pod(annotations={names.LOGS: "logs"}), "expected an absolute directory"),
            (pod(annotations={names.LOGS: "/../"}), "not /"),
            (pod(annotations={names.CONTAINER: "modle"}), "modle; the pod has model"),
            (
                pod(
                    {
                        "name": "model",
                        "image": "i",
                        "volumeMounts": [{"name": "v", "mountPath": "/model-sidecar/bundle/x"}],
                    }
                ),
                "mount it elsewhere",
            ),
            ({"metadata": {"annotations": {names.INJECT: "true"}}, "spec": {}}, "invalid spec.containers"),
            ({"metadata": {"annotations": {names.INJECT: True}}, "spec": {}}, "expected a text, in quotes"),
            (pod(initContainers="x"), "invalid spec.initContainers"),
        ],
    )
    def test_it_says_what_is_in_the_way_and_changes_nothing(self, given_pod: dict[str, Any], message: str) -> None:
        before = copy.deepcopy(given_pod)
        with pytest.raises(CannotInject, match=message.replace("(", r"\(")):
            inject(given_pod, PROFILE)
        assert given_pod == before

    def test_a_job_needs_a_native_sidecar(self) -> None:
        with pytest.raises(CannotInject, match=r"needs Kubernetes 1\.29"):
            inject(WORKLOADS["job"][0], Profile(native=False))

    @pytest.mark.parametrize("value", ["false", ""])
    def test_a_pod_that_does_not_ask_is_left(self, value: str) -> None:
        given_pod = pod(annotations={names.INJECT: value})
        assert inject(given_pod, PROFILE) == Injection(given_pod, False, "not asked for")

    def test_by_default_only_those_that_decline_are_left(self) -> None:
        assert inject(pod(annotations={names.INJECT: ""}), PROFILE, by_default=True).changed
        assert not inject(pod(annotations={names.INJECT: "false"}), PROFILE, by_default=True).changed

    def test_the_mark_alone_is_not_the_sidecar(self) -> None:
        """A template that was copied from a running pod, without its init containers."""
        assert inject(pod(annotations={names.INJECTED: "0.0.1"}), PROFILE).changed


def test_a_job_of_nine_digits_is_a_scheduled_one_and_a_year_is_not() -> None:
    dated = inject(owned("Job", "report-2026", {}, restartPolicy="Never"), PROFILE)
    assert env(sidecar_of(dated))["OTEL_SERVICE_NAME"] == "report-2026"


@settings(max_examples=300)
@given(random_pods())
def test_random_pods_are_injected_once_or_refused(given_pod: dict[str, Any]) -> None:
    before = copy.deepcopy(given_pod)
    try:
        once = inject(given_pod, PROFILE)
    except CannotInject:
        return
    finally:
        assert given_pod == before
    if once.changed:
        check_whole(once.pod, before)
    again = inject(once.pod, PROFILE)
    assert again.pod == once.pod
    assert not again.changed


def _ours(mount: dict[str, Any]) -> bool:
    return str(mount["name"]).startswith("model-sidecar")


def check_whole(made: dict[str, Any], before: dict[str, Any]) -> None:
    """What the API server would check of names and references, and that nothing was lost."""
    spec, old = made["spec"], before["spec"]
    every = [*(spec.get("initContainers") or ()), *spec["containers"]]
    for items in (every, spec["volumes"]):
        listed = [item["name"] for item in items]
        assert len(set(listed)) == len(listed), listed
    there = {volume["name"] for volume in spec["volumes"]} | {"v", "w"}
    for container in every:
        paths = [m["mountPath"].rstrip("/") for m in container.get("volumeMounts") or ()]
        assert all(paths.count(m["mountPath"]) == 1 for m in container.get("volumeMounts") or () if _ours(m)), container
        assert {m["name"] for m in container.get("volumeMounts") or ()} <= there
        variables = [item["name"] for item in container.get("env") or ()]
        assert len(set(variables)) == len(variables), variables
        assert not any("value" in item and "valueFrom" in item for item in container.get("env") or ())
    kept = {c["name"] for c in [*(old.get("initContainers") or ()), *old["containers"]]}
    assert kept == {c["name"] for c in every} - {names.SIDECAR_CONTAINER, names.BUNDLE_CONTAINER}
    assert len(spec["containers"]) == len(old["containers"])
