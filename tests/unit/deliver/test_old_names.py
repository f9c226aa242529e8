"""Options of sinks by the names that they had: each means what it meant."""

from __future__ import annotations

from pathlib import Path

from sidecar.config import loader
from sidecar.deliver.redaction.options import rule

ES, LS, OTLP, FILE = (f"SIDECAR_DELIVER__{name}__" for name in ("ELASTICSEARCH", "LOGSTASH", "OTLP", "FILE"))


def test_elasticsearch_by_old_names() -> None:
    old = {
        "URL": "http://a:1,https://b:2",
        "CA_FILE": "/ca",
        "CLIENT_CERT": "/c",
        "CLIENT_KEY": "/k",
        "VERIFY": "false",
        "API_KEY_FILE": "/key",
        "LINGER": "0.5",
        "RETRY_INITIAL": "0.1",
        "RETRY_MAX": "3",
        "FILTER__ONE_IN": "20",
        "FILTER__KEEP_ERRORS": "false",
        "FILTER__SLOWER_THAN": "0.5",
        "FILTER__KEEP_ATTRIBUTES": "drift",
    }
    options = loader.load({ES + name: value for name, value in old.items()}).deliver.section("elasticsearch")
    assert options.is_enabled
    assert options.hosts == ("http://a:1", "https://b:2")
    assert (options.tls.ca_file, options.tls.cert_file, options.tls.key_file) == (Path("/ca"), Path("/c"), Path("/k"))
    assert options.tls.insecure_skip_verify is True
    assert options.auth.api_key_file == Path("/key")
    assert (options.batch_timeout, options.retry.initial_interval, options.retry.max_interval) == (0.5, 0.1, 3.0)
    sampled = rule(options.filter, options.sampling)
    assert sampled.keep_below == ((1 << 64) - 1) // 20 + 1
    assert (sampled.keep_errors, sampled.min_duration_ns, sampled.keep_attributes) == (False, 500_000_000, ("drift",))


def test_logstash_otlp_and_file_by_old_names() -> None:
    old = {
        LS + "HOSTS": "ls",
        LS + "TLS": "true",
        LS + "SERVER_NAME": "logstash.example",
        OTLP + "ENDPOINT": "http://c:4317",
        OTLP + "TOKEN_FILE": "/token",
        FILE + "PATH": "-",
        FILE + "KEEP": "3",
    }
    deliver = loader.load(old).deliver
    assert deliver.section("logstash").tls.enabled is True
    assert deliver.section("logstash").tls.server_name == "logstash.example"
    assert deliver.section("otlp").auth.token_file == Path("/token")
    assert deliver.section("file").max_files == 3
    assert {name for name, _, _ in deliver.enabled()} == {"store", "otlp", "logstash", "file"}


def test_redaction_and_additional_sinks_by_old_names(tmp_path: Path) -> None:
    file = tmp_path / "sidecar.yaml"
    file.write_text(
        "deliver:\n  keep_features: true\n  shape:\n    redact_keys: {password: drop}\n"
        "    redact_values: {email: mask}\n"
        "  more:\n    second:\n      kind: elasticsearch\n      url: http://b:2\n      username: u\n      password: p\n"
    )
    deliver = loader.load({}, file).deliver
    assert deliver.export_features is True
    assert deliver.redaction.keys == {"password": "drop"}
    assert deliver.redaction.values == {"email": "mask"}
    second = deliver.additional["second"]
    assert (second.hosts, second.auth.username) == (("http://b:2",), "u")


def test_a_sink_can_be_switched_off_in_spite_of_its_address() -> None:
    off = loader.load({f"{ES}HOSTS": "http://a:1", f"{ES}ENABLED": "false"}).deliver
    assert [name for name, _, _ in off.enabled()] == ["store"]
