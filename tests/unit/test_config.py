from __future__ import annotations

from pathlib import Path

import pytest

from sidecar import config
from sidecar.errors import ConfigError


def problems(environ: dict[str, str], path: Path | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        config.load(environ, path)
    return caught.value.problems


def test_defaults_need_nothing() -> None:
    settings = config.load({})
    assert settings.serve.port == 9464
    assert settings.receive.otlp_grpc.host == "127.0.0.1"


def test_environment_beats_file_and_file_beats_default(tmp_path: Path) -> None:
    file = tmp_path / "sidecar.yaml"
    file.write_text("serve: {port: 1111, host: 127.0.0.9}\n")
    settings = config.load({"SIDECAR_SERVE__PORT": "2222", "SIDECAR_CONFIG": str(file)})
    assert (settings.serve.port, settings.serve.host) == (2222, "127.0.0.9")


def test_otel_variables_apply_below_ours() -> None:
    assert config.load({"OTEL_EXPORTER_PROMETHEUS_PORT": "7000"}).serve.port == 7000
    both = {"OTEL_EXPORTER_PROMETHEUS_PORT": "7000", "SIDECAR_SERVE__PORT": "7001"}
    assert config.load(both).serve.port == 7001


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
    settings = config.load({"PORT": "81"}, file)
    assert (settings.serve.host, settings.serve.port) == ("127.0.0.3", 81)


def test_service_links_of_kubernetes_and_capture_variables_are_not_taken_for_settings() -> None:
    names = ["SIDECAR_SERVICE_HOST", "SIDECAR_PORT_4317_TCP_ADDR", "SIDECAR_SERVICE_PORT_GRPC", "SIDECAR_CAPTURE_ROWS"]
    config.load(dict.fromkeys(names, "10.0.0.1"))


def test_lists_are_json_or_comma_separated() -> None:
    name = "SIDECAR_DERIVE__RED__DIMENSIONS"
    assert list(config.load({name: "a, b"}).derive.red.dimensions) == ["a", "b"]
    assert list(config.load({name: '["a.b"]'}).derive.red.dimensions) == ["a.b"]


def test_a_setting_with_one_underscore_too_few_is_not_taken_for_a_service_link() -> None:
    assert "did you mean SIDECAR_SERVE__PORT?" in problems({"SIDECAR_SERVE_PORT": "9000"})[0]
    config.load({"SIDECAR_SERVE_PORT": "tcp://10.0.0.1:9000"})


@pytest.mark.parametrize(
    "environ",
    [
        {"SIDECAR_RECEIVE__CREDENTIALS__TOKEN": "hunter2", "SIDECAR_RECEIVE__CREDENTIALS__CERT_FILE": "/tls.crt"},
        {"SIDECAR_DELIVER__ELASTICSEARCH__URL": "http://me:hunter2@es:9200"},
        {"SIDECAR_DELIVER__ELASTICSEARCH__URL": "me:hunter2@es:9200"},
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
    assert f"{url!r} is not an address" in problems({"SIDECAR_DELIVER__ELASTICSEARCH__URL": url})[0]


@pytest.mark.parametrize(("given", "level"), [("INFO", "info"), ("warn", "warning"), ("none", "error")])
def test_log_levels_in_any_spelling(given: str, level: str) -> None:
    assert config.load({"OTEL_LOG_LEVEL": given}).telemetry.log_level == level


def test_a_section_without_keys_is_no_problem(tmp_path: Path) -> None:
    file = tmp_path / "sidecar.yaml"
    file.write_text("serve:\nreceive:\n  otlp_grpc:\n    # port: 1\n")
    assert config.load({}, file) == config.load({})


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
