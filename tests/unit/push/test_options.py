from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from sidecar.push.options import OtlpPushOptions, PushOptions, RemoteWriteOptions
from sidecar.push.registry import DESTINATIONS, enabled


def test_nothing_is_pushed_by_default() -> None:
    assert not list(enabled(PushOptions()))
    assert set(DESTINATIONS) == {name for name, info in PushOptions.model_fields.items() if name in DESTINATIONS}


def test_an_endpoint_switches_a_destination_on_and_enabled_false_off() -> None:
    options = PushOptions.model_validate(
        {
            "otlp": {"endpoint": "http://collector:4317"},
            "remote_write": {"endpoint": "http://p:9090/api/v1/write", "enabled": False},
        }
    )
    assert [name for name, _ in enabled(options)] == ["otlp"]


def test_headers_and_labels_may_be_text() -> None:
    options = PushOptions.model_validate(
        {"labels": "team=risk,region=eu", "remote_write": {"headers": "X-Scope-OrgID=7"}}
    )
    assert options.labels == {"team": "risk", "region": "eu"}
    assert options.remote_write.headers["X-Scope-OrgID"].get_secret_value() == "7"


@pytest.mark.parametrize(
    ("model", "given", "said"),
    [
        (RemoteWriteOptions, {"enabled": True}, "expected endpoint as well"),
        (RemoteWriteOptions, {"endpoint": "http://u:p@host/write"}, "must not hold credentials"),
        (RemoteWriteOptions, {"endpoint": "prometheus:9090"}, "invalid address"),
        (RemoteWriteOptions, {"headers": {"Authorization": "x"}, "auth": {"token": "t"}}, "given twice"),
        (OtlpPushOptions, {"endpoint": "http://p:9090/api/v1/otlp"}, "set protocol to http/protobuf"),
        (OtlpPushOptions, {"endpoint": "http://p/v1/metrics", "protocol": "http/protobuf"}, "write it without"),
        (OtlpPushOptions, {"tls": {"insecure_skip_verify": True}}, "has no effect over gRPC"),
        (PushOptions, {"labels": {"a-b": "1"}}, "invalid label: 'a-b'"),
        (PushOptions, {"labels": {"__name__": "1"}}, "invalid label: '__name__'"),
        (PushOptions, {"labels": "a"}, "write them as name=value"),
        (PushOptions, {"interval": "100ms"}, "greater than or equal to 1"),
    ],
)
def test_what_does_not_fit_is_named(model: Any, given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        model.model_validate(given)
