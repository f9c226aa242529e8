from __future__ import annotations

import pytest

from sidecar.decode.otlp.metrics import PointKind
from sidecar.derive.otlp_metrics.prometheus_names import family_kind, family_name, unit_name


@pytest.mark.parametrize(
    ("unit", "name"),
    [
        ("s", "seconds"),
        ("ms", "milliseconds"),
        ("By", "bytes"),
        ("By/s", "bytes_per_second"),
        ("{request}", ""),
        ("{request}/s", "per_second"),
        ("1/s", "per_second"),
        ("1", ""),
        ("%", "percent"),
        ("", ""),
        ("requests", "requests"),
        ("km/h", "km_per_hour"),
        ("m/s2", "meters_per_s2"),
        ("a.b c", "a_b_c"),
        ("/", ""),
    ],
)
def test_units(unit: str, name: str) -> None:
    assert unit_name(unit) == name


@pytest.mark.parametrize(
    ("given", "kind", "name"),
    [
        (("http.server.request.duration", "s"), "histogram", "http_server_request_duration_seconds"),
        (("request_seconds", "s"), "histogram", "request_seconds"),
        (("seconds_before_noon", "s"), "gauge", "seconds_before_noon_seconds"),
        (("seconds", "s"), "gauge", "seconds"),
        (("hits_total", ""), "counter", "hits"),
        (("io_total", "By"), "counter", "io_bytes"),
        (("queue_total", ""), "gauge", "queue_total"),
        (("cpu.utilization", "1"), "gauge", "cpu_utilization_ratio"),
        (("runs", "1"), "counter", "runs"),
        (("(lambda).function.executions(#)", ""), "gauge", "lambda_function_executions"),
        (("2xx.replies", ""), "gauge", "_2xx_replies"),
        (("größe", ""), "gauge", "gr_e"),
        (("…", ""), "gauge", "_"),
        (("a:b", ""), "gauge", "a:b"),
    ],
)
def test_names(given: tuple[str, str], kind: str, name: str) -> None:
    assert family_name(*given, kind)[0] == name  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("point", "monotonic", "kind"),
    [
        ("sum", True, "counter"),
        ("sum", False, "gauge"),
        ("gauge", False, "gauge"),
        ("exponential_histogram", False, "histogram"),
        ("summary", False, "summary"),
    ],
)
def test_kinds(point: PointKind, monotonic: bool, kind: str) -> None:
    assert family_kind(point, monotonic) == kind
