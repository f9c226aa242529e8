from __future__ import annotations

from pathlib import Path

import pytest

from sidecar.config import loader
from sidecar.decode.redaction.rules import Filter
from sidecar.deliver.redaction.options import rule
from sidecar.errors import ConfigError


def problems(environ: dict[str, str], path: Path | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        loader.load(environ, path)
    return caught.value.problems


def test_defaults_need_nothing() -> None:
    settings = loader.load({})
    assert settings.serve.port == 9464
    assert settings.receive.otlp_grpc.host == "127.0.0.1"


def test_environment_beats_file_and_file_beats_default(tmp_path: Path) -> None:
    file = tmp_path / "sidecar.yaml"
    file.write_text("serve: {port: 1111, host: 127.0.0.9}\n")
    settings = loader.load({"SIDECAR_SERVE__PORT": "2222", "SIDECAR_CONFIG": str(file)})
    assert (settings.serve.port, settings.serve.host) == (2222, "127.0.0.9")


def test_otel_variables_apply_below_ours() -> None:
    assert loader.load({"OTEL_EXPORTER_PROMETHEUS_PORT": "7000"}).serve.port == 7000
    both = {"OTEL_EXPORTER_PROMETHEUS_PORT": "7000", "SIDECAR_SERVE__PORT": "7001"}
    assert loader.load(both).serve.port == 7001


def test_every_problem_is_reported_at_once_with_its_place(tmp_path: Path) -> None:
    file = tmp_path / "sidecar.yaml"
    file.write_text("serve:\n  prot: 1\n  port: notanumber\nreceive:\n  otlp_grpc:\n    port: ${NOT_THERE}\n")
    found = problems({"SIDECAR_SERVE__HSOT": "x"}, file)
    text = "\n".join(found)
    assert f"{file}:2: serve.prot: no such setting; did you mean serve.port?" in text
    assert f"{file}:3: serve.port" in text
    assert f"{file}:6: receive.otlp_grpc.port: ${{NOT_THERE}} is not set" in text
    assert "environment variable SIDECAR_SERVE__HSOT: no such setting; did you mean SIDECAR_SERVE__HOST?" in text


def test_references_in_yaml_take_the_environment_or_the_default(tmp_path: Path) -> None:
    file = tmp_path / "sidecar.yaml"
    file.write_text('serve: {host: "${WHERE:-127.0.0.3}", port: "${PORT}"}\n')
    settings = loader.load({"PORT": "81"}, file)
    assert (settings.serve.host, settings.serve.port) == ("127.0.0.3", 81)


def test_service_links_of_kubernetes_and_variables_of_the_model_are_not_taken_for_settings() -> None:
    names = ["SIDECAR_SERVICE_HOST", "SIDECAR_PORT_4317_TCP_ADDR", "SIDECAR_SERVICE_PORT_GRPC", "SIDECAR_CAPTURE_ROWS"]
    names += ["SIDECAR_MODEL_NAME", "SIDECAR_MODEL_VERSION"]
    loader.load(dict.fromkeys(names, "10.0.0.1"))


def test_lists_are_json_or_comma_separated() -> None:
    name = "SIDECAR_DERIVE__RED__DIMENSIONS"
    assert list(loader.load({name: "a, b"}).derive.red.dimensions) == ["a", "b"]
    assert list(loader.load({name: '["a.b"]'}).derive.red.dimensions) == ["a.b"]


def test_a_setting_with_one_underscore_too_few_is_not_taken_for_a_service_link() -> None:
    assert "did you mean SIDECAR_SERVE__PORT?" in problems({"SIDECAR_SERVE_PORT": "9000"})[0]
    loader.load({"SIDECAR_SERVE_PORT": "tcp://10.0.0.1:9000"})


@pytest.mark.parametrize(
    "environ",
    [
        {"SIDECAR_RECEIVE__AUTH__TOKEN": "hunter2", "SIDECAR_RECEIVE__TLS__CERT_FILE": "/tls.crt"},
        {"SIDECAR_DELIVER__ELASTICSEARCH__HOSTS": "http://me:hunter2@es:9200"},
        {"SIDECAR_DELIVER__ELASTICSEARCH__HOSTS": "me:hunter2@es:9200"},
    ],
)
def test_secrets_are_not_repeated_in_messages(environ: dict[str, str]) -> None:
    found = problems(environ)
    assert "hunter2" not in "".join(found)
    assert all(p.startswith("environment variable SIDECAR_") for p in found)


@pytest.mark.parametrize(
    "url", ["es:9200", "ftp://es", "http://:9200", "http://es:99999", "http://es:port", "http://[::1"]
)
def test_what_is_no_address_is_said(url: str) -> None:
    assert f"invalid address: {url!r}" in problems({"SIDECAR_DELIVER__ELASTICSEARCH__HOSTS": url})[0]


@pytest.mark.parametrize(
    ("given", "found"), [("psi=0.2, ks=.15", {"psi": 0.2, "ks": 0.15}), ('{"psi": 0.2}', {"psi": 0.2})]
)
def test_thresholds_of_drift_are_a_mapping_in_either_form(given: str, found: dict[str, float]) -> None:
    settings = loader.load({"SIDECAR_DERIVE__DRIFT__THRESHOLDS": given})
    assert settings.derive.section("drift").thresholds == found


def test_what_should_be_a_mapping_is_said() -> None:
    with pytest.raises(ConfigError, match=r"drift\.features: expected a mapping \(in a variable as JSON\)"):
        loader.load({"SIDECAR_DERIVE__DRIFT__FEATURES": "age=ks"})


@pytest.mark.parametrize(("given", "level"), [("INFO", "info"), ("warn", "warning"), ("none", "error")])
def test_log_levels_in_any_spelling(given: str, level: str) -> None:
    assert loader.load({"OTEL_LOG_LEVEL": given}).log.level == level


def test_a_section_without_keys_is_no_problem(tmp_path: Path) -> None:
    file = tmp_path / "sidecar.yaml"
    file.write_text("serve:\nreceive:\n  otlp_grpc:\n    # port: 1\n")
    assert loader.load({}, file) == loader.load({})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("- a\n", "must be a mapping"),
        ("a: [", "not valid YAML"),
        ("a: !!python/object:os.system {}", "not valid YAML"),
        ("a: 2026-13-40", "not valid YAML"),
        ("a: &x {b: *x}", "not valid YAML"),
    ],
)
def test_a_file_that_is_no_mapping_is_said(tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "sidecar.yaml"
    file.write_text(content)
    assert message in problems({}, file)[0]


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    assert "cannot be read" in problems({}, tmp_path / "none.yaml")[0]


MORE = "SIDECAR_DELIVER__ADDITIONAL__"


def test_further_sinks_by_environment_have_every_option_of_their_kind() -> None:
    environ = {
        f"{MORE}SECOND_ONE__KIND": "elasticsearch",
        f"{MORE}SECOND_ONE__HOSTS": "http://a:1,http://b:2",
        f"{MORE}SECOND_ONE__SIGNALS": "logs",
        f"{MORE}SECOND_ONE__FILTER__MIN_SEVERITY": "WARN",
        f"{MORE}SECOND_ONE__FILTER__SERVICES": "shop,cart-*",
        f"{MORE}GATEWAY__KIND": "otlp",
        f"{MORE}GATEWAY__ENDPOINT": "http://c:4317",
        "SIDECAR_DELIVER__STORE__ENABLED": "false",
    }
    deliver = loader.load(environ).deliver
    assert [(name, kind.name) for name, kind, _ in deliver.enabled()] == [
        ("gateway", "otlp"),
        ("second_one", "elasticsearch"),
    ]
    second = {name: options for name, _, options in deliver.enabled()}["second_one"]
    assert second.hosts == ("http://a:1", "http://b:2")
    assert second.selected_signals == {"logs"}
    assert rule(second.filter, second.sampling) == Filter(services=("shop", "cart-*"), min_severity=13)


def test_further_sinks_in_a_file_are_overridden_by_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "sidecar.yaml"
    file.write_text(
        "deliver:\n  additional:\n    one:\n      kind: elasticsearch\n      hosts: http://a:1\n      filter:\n"
    )
    (one,) = loader.load({f"{MORE}ONE__HOSTS": "http://b:2"}, file).deliver.additional.values()
    assert one.kind == "elasticsearch"  # type: ignore[attr-defined]
    assert one.hosts == ("http://b:2",)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("ONE__KIND", "store", "deliver.additional.one.kind: must be one of elasticsearch, "),
        ("ONE__KIND", "nothing", "(given: 'nothing')"),
        ("ONE__HOSTS", "http://a:1", "deliver.additional.one.kind: must be one of"),
        ("STORE__KIND", "otlp", "a sink cannot be named 'store'"),
        ("DERIVE__KIND", "otlp", "a sink cannot be named 'derive'"),
        ("1ST__KIND", "otlp", "'1st' is not a name"),
        (f"{'X' * 33}__KIND", "otlp", "is not a name"),
    ],
)
def test_further_sinks_that_cannot_be_are_said(name: str, value: str, message: str) -> None:
    (problem,) = problems({MORE + name: value})
    assert problem.startswith(f"environment variable {MORE}{name}: ")
    assert message in problem


def test_two_sinks_cannot_write_to_one_file() -> None:
    two = {f"{MORE}TWO__KIND": "file", "SIDECAR_DELIVER__FILE__PATH": "/var/log/a.ndjson"}
    with pytest.raises(ConfigError, match="file and two write to the same file: /var/log/x/"):
        loader.load({**two, f"{MORE}TWO__PATH": "/var/log/x/../a.ndjson"})
    loader.load({**two, f"{MORE}TWO__PATH": "/var/log/b.ndjson"})
    both = {"SIDECAR_DELIVER__FILE__PATH": "-", f"{MORE}TWO__PATH": "-"}
    assert [name for name, _, _ in loader.load({**two, **both}).deliver.enabled()] == ["store", "file", "two"]


def test_slips_in_further_sinks_are_named_with_their_place_and_a_suggestion(tmp_path: Path) -> None:
    file = tmp_path / "sidecar.yaml"
    file.write_text(
        "deliver:\n  additional:\n    one:\n      kind: elasticsearch\n      host: http://a:1\n      sampling:\n"
        "        ratio: 2\n    two:\n      kind: otlp\n      url: http://a:1\n"
    )
    found = problems({f"{MORE}ONE__FILTER__SERVICE": "x", f"{MORE}TWO__ENDPOIN": "x"}, file)
    assert (
        f"{file}:5: deliver.additional.one.host: no such setting; did you mean deliver.additional.one.hosts?" in found
    )
    assert any(p.startswith(f"{file}:7: deliver.additional.one.sampling.ratio: ") for p in found)
    assert any(p.startswith(f"{file}:10: deliver.additional.two.hosts: no such setting") for p in found)
    assert (
        f"environment variable {MORE}ONE__FILTER__SERVICE: no such setting; did you mean {MORE}ONE__FILTER__SERVICES?"
        in found
    )
    assert f"environment variable {MORE}TWO__ENDPOIN: no such setting; did you mean {MORE}TWO__ENDPOINT?" in found


def test_there_is_a_bound_on_further_sinks() -> None:
    environ = {f"{MORE}S{n}__KIND": "otlp" for n in range(17)}
    assert "at most 16 items" in problems(environ)[0]


def test_signals_that_a_sink_cannot_take_are_said() -> None:
    (problem,) = problems({"SIDECAR_DELIVER__ELASTICSEARCH__SIGNALS": "logs,metrics"})
    assert "deliver.elasticsearch.signals: this sink supports logs, spans" in problem
    assert loader.load({"SIDECAR_DELIVER__OTLP__SIGNALS": "metrics"}).deliver.otlp.selected_signals == {"metrics"}


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("OTEL_LOG_LEVEL", "loud"),
        ("OTEL_EXPORTER_PROMETHEUS_PORT", "http"),
        ("OTEL_EXPORTER_PROMETHEUS_PORT", "70000"),
        ("OTEL_EXPORTER_PROMETHEUS_HOST", "no such host"),
        ("OTEL_EXPORTER_PROMETHEUS_HOST", "192.0.2.1"),
        ("OTEL_RESOURCE_ATTRIBUTES", "spam"),
        ("OTEL_RESOURCE_ATTRIBUTES", ",".join(f"k{n}=v" for n in range(65))),
    ],
)
def test_an_invalid_standard_variable_is_ignored_and_said(variable: str, value: str) -> None:
    settings = loader.load({variable: value})
    assert [line.partition(":")[0] for line in settings.ignored] == [variable]
    assert settings.model_dump() == loader.load({}).model_dump()


def test_of_resource_attributes_the_valid_pairs_are_kept() -> None:
    settings = loader.load({"OTEL_RESOURCE_ATTRIBUTES": "a=b,spam,c=d%20e,=f", "OTEL_SERVICE_NAME": "s"})
    assert settings.receive.ingest.anonymous() == {"a": "b", "c": "d e", "service.name": "s"}
    assert "must be key=value pairs" in settings.ignored[0]
    ours = problems({"SIDECAR_RECEIVE__INGEST__RESOURCE": "a=b,spam"})
    assert "must be key=value pairs" in ours[0], "what is meant for the program is an error"


@pytest.mark.parametrize("level", ["off", "OFF", "critical", "trace", ""])
def test_other_words_for_levels_are_known(level: str) -> None:
    assert loader.load({"OTEL_LOG_LEVEL": level}).ignored == ()


@pytest.mark.parametrize(
    "environ",
    [
        {
            "SIDECAR_VERSION": "1.2",
            "SIDECAR_IMAGE": "registry/sidecar:1",
            "SIDECAR_HOME": "/opt",
            "SIDECAR_ENABLED": "1",
        },
        {"SIDECAR_PORT": "tcp://10.0.0.1:4317", "SIDECAR_SERVICE_PORT": "4317"},
        {"SIDECAR_PORT_4317_TCP": "tcp://10.0.0.1:4317", "SIDECAR_PORT_4317_TCP_PROTO": "tcp"},
        {"SIDECAR_RECEIVE_PORT": "tcp://10.0.0.1:1", "SIDECAR_RECEIVE_SERVICE_HOST": "10.0.0.1"},
        {"SIDECAR_RECEIVE_PORT_4318_TCP_ADDR": "10.0.0.1", "SIDECAR_RECEIVE_SERVICE_PORT_OTLP_HTTP": "4318"},
        {"SIDECAR_SERVE__PORT": "", "SIDECAR_DERIVE__RED__DIMENSIONS": "", "SIDECAR_TYPO__X": ""},
        {"SIDECAR_EXIT_TIMEOUT": "2", "SIDECAR_RESPONSE_HEADER": "X-Prediction-Id"},
        {"SIDECAR_CONFIG": "  ", "SIDECAR_RECEIVE__LUMBERJACK__PORT": " ", "SIDECAR_LOG__LEVEL": "\n"},
    ],
)
def test_what_images_and_kubernetes_set_is_not_taken_for_settings(environ: dict[str, str]) -> None:
    assert loader.load(environ) == loader.load({})


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("SIDECAR_SERVE__PROT", "SIDECAR_SERVE__PORT"),
        ("SIDECAR_RECEIVE_OTLP_HTTP_PORT", "SIDECAR_RECEIVE__OTLP_HTTP__PORT"),
        ("SIDECAR_DELIVER_FILE_PATH", "SIDECAR_DELIVER__FILE__PATH"),
        ("SIDECAR_CONFG", "SIDECAR_CONFIG"),
        ("SIDECAR_JOURNAL_PATH", "SIDECAR_JOURNAL__PATH"),
    ],
)
def test_slips_are_still_errors_with_a_suggestion(variable: str, meant: str) -> None:
    assert problems({variable: "1"}) == [f"environment variable {variable}: no such setting; did you mean {meant}?"]


def test_which_variables_there_may_be() -> None:
    assert loader.is_variable(f"{MORE}ANY__HOSTS")
    assert loader.is_variable(f"{MORE}ANY__KIND")
    assert loader.is_variable("SIDECAR_SERVE__PORT")
    assert loader.is_variable("SIDECAR_MODEL_NAME")
    assert not loader.is_variable(f"{MORE}ANY__NOTHING")
    assert not loader.is_variable("SIDECAR_DELIVER__ELASTICSEARCH__KIND")


def test_the_pod_s_identity_is_read_from_the_downward_api() -> None:
    environ = {
        "POD_NAME": "plain",
        "K8S_POD_NAME": "pod-1",
        "POD_NAMESPACE": "ns",
        "NODE_NAME": "node",
        "POD_UID": "uid",
        "K8S_CONTAINER_NAME": "model",
        "K8S_NODE_NAME": "",
    }
    kubernetes = loader.load(environ).deliver.redaction.kubernetes
    assert kubernetes.attributes() == {
        "k8s.pod.name": "pod-1",
        "k8s.namespace.name": "ns",
        "k8s.node.name": "node",
        "k8s.pod.uid": "uid",
        "k8s.container.name": "model",
    }
    off = loader.load(environ | {"SIDECAR_DELIVER__REDACTION__KUBERNETES__ENABLED": "false"})
    assert off.deliver.redaction.kubernetes.attributes() == {}
    ours = loader.load(environ | {"SIDECAR_DELIVER__REDACTION__KUBERNETES__POD_NAME": "chosen"})
    assert ours.deliver.redaction.kubernetes.pod_name == "chosen"


def test_the_key_of_hashes_is_not_repeated() -> None:
    shape = "SIDECAR_DELIVER__REDACTION__"
    found = problems({f"{shape}HASH_KEY": "hunter2", f"{shape}KEYS": "a=hash"})
    assert "hash_key must have 16 characters at least" in found[0]
    assert "hunter2" not in found[0]


@pytest.mark.parametrize("variable", list(loader.STANDARD_VARIABLES))
def test_standard_variables_of_any_bytes_do_not_stop_the_program(variable: str) -> None:
    text = "a=caf\udce9,b=c" if variable == "OTEL_RESOURCE_ATTRIBUTES" else "caf\udce9"
    settings = loader.load({variable: text})
    assert settings.ignored[0].startswith(f"{variable}: not UTF-8; taken as ")
    settings.model_dump_json()


@pytest.mark.parametrize(
    ("variable", "text", "named"),
    [
        ("SIDECAR_RECEIVE__INGEST__SERVICE_NAME", "caf\udce9", "receive.ingest.service_name"),
        ("SIDECAR_DELIVER__REDACTION__ADD", '{"a":"caf\udce9"}', "deliver.redaction.add.a"),
        ("SIDECAR_DELIVER__REDACTION__ADD", '{"\\udce9":"x"}', "deliver.redaction.add.\N{REPLACEMENT CHARACTER}"),
        ("SIDECAR_RECEIVE__AUTH__TOKEN", "\udce9", "receive.auth.token"),
        ("SIDECAR_DELIVER__ELASTICSEARCH__HOSTS", "http://\udce9:9200", "deliver.elasticsearch.hosts"),
        ("SIDECAR_DERIVE__RED__DIMENSIONS", "a,\udce9", "derive.red.dimensions"),
    ],
)
def test_settings_that_are_no_text_are_named(variable: str, text: str, named: str) -> None:
    assert f"environment variable {variable}: {named}: invalid text; expected UTF-8" in problems({variable: text})


def test_names_of_files_may_be_of_any_bytes() -> None:
    settings = loader.load(
        {
            "SIDECAR_JOURNAL__PATH": "/var/caf\udce9",
            "SIDECAR_DELIVER__FILE__PATH": "/var/\udce9",
            "SIDECAR_RECEIVE__FILE_TAIL__INCLUDE": "/var/log/\udce9/*.log",
            f"{MORE}X__KIND": "file",
            f"{MORE}X__PATH": "/x/\udce9",
        }
    )
    assert settings.receive.file_tail.include == ("/var/log/\udce9/*.log",)
    assert settings.journal.path == Path("/var/caf\udce9")
