"""State of metrics received over OTLP that an older version of the program wrote."""

from __future__ import annotations

import json
from typing import Any

import pytest
from structlog.testing import capture_logs
from support.derive_fakes import SECOND, FakeLog, JsonDecoder
from support.metric_points import OWN, deriver, feed, point, shown

from sidecar.decode.otlp.metrics import Histogram, Number
from sidecar.derive.engine import DeriveEngine
from sidecar.derive.otlp_metrics.deriver import OtlpMetricsDeriver
from sidecar.derive.otlp_metrics.point_labels import stream_of
from sidecar.derive.registry import DeriveOptions
from sidecar.derive.target_info import Targets
from sidecar.telemetry import Telemetry

_LABELS = (("job", "shop"), ("instance", "i1"), ("otel_scope_name", "meter"), ("otel_scope_version", "1"))


def row(name: str, kind: str, **more: Any) -> tuple[bytes, bytes]:
    """A row as the first version wrote it: one value for a series, nothing of its writers."""
    first: dict[str, Any] = {"name": name, "kind": kind, "unit": "", "help": "Help.", "labels": _LABELS}
    first |= {"start": 5 * SECOND, "time": 9 * SECOND, "seen": SECOND, "delta": False} | more
    return f"metric\0{name}\0{OWN}".encode(), json.dumps(first, separators=(",", ":")).encode()


FIRST = dict(
    [
        row("hits", "counter", data=["n", 7]),
        row("level", "gauge", data=["n", 2.5]),
        row("depth", "gauge", data=["n", 4]),
        row("took", "histogram", data=["h", 2, 3.5, [1.0], [1, 1]]),
    ]
)
_WRITERS = {"falls": False, "writers": [["0123456789abcdef", 5 * SECOND, 9 * SECOND, SECOND, ["n", 7]]], "rest": None}
SECOND_VERSION = dict([row("hits", "counter", stream="0123456789abcdef", writers=_WRITERS)])
"""Its writers' keys say nothing of the process: a writer is not known again by them."""

POINTS = (
    point(Number(9), time=11 * SECOND),
    point(Number(3.5), "gauge", "level", time=11 * SECOND),
    point(Number(5), name="depth", monotonic=False, time=11 * SECOND),
    point(Histogram(3, 4.5, None, None, (1.0,), (2, 1)), "histogram", "took", time=11 * SECOND),
)
STREAMS_OF_FORMAT_2 = ["9e7ad393d77400f0", "fde40cdc496f240e", "d4b4e01c8a6a11a9", "6ae5bdbed53882fb"]


@pytest.mark.parametrize("state", [FIRST, SECOND_VERSION, FIRST | SECOND_VERSION])
def test_nothing_of_older_rows_is_counted_twice(state: dict[bytes, bytes]) -> None:
    built = OtlpMetricsDeriver(100, Targets(10))
    with capture_logs() as logs:
        assert built.restore(state) == set()
    assert [(entry["log_level"], entry["series"], entry["restored"]) for entry in logs] == [("warning", len(state), 0)]
    feed(built, *POINTS)
    assert shown(built) == shown(deriver(*POINTS))
    assert shown(built)[f"hits_total{{{OWN}}}"] == "9"


def test_older_rows_go_and_later_ones_replace_them() -> None:
    log = FakeLog(kept={**FIRST, **SECOND_VERSION})
    engine = DeriveEngine(log.consumer(None), JsonDecoder(), DeriveOptions(), Telemetry(), lambda: SECOND)  # type: ignore[arg-type]
    engine.restore()
    engine.checkpoint()
    assert not [key for key in log.kept if key.startswith(b"metric\0")]


def test_rows_of_now_are_restored_without_a_warning() -> None:
    state = {key: value for key, value in deriver(*POINTS).checkpoint() if value is not None}
    built = OtlpMetricsDeriver(100, Targets(10))
    with capture_logs() as logs:
        assert built.restore(state) == set(state)
    assert logs == []
    feed(built, *POINTS)
    built.mark_exported()
    assert shown(built)[f"hits_total{{{OWN}}}"] == "9"


def test_a_row_of_a_later_format_is_left_out() -> None:
    ((key, value),) = deriver(POINTS[0]).checkpoint()
    later = json.dumps(json.loads(value or b"") | {"format": 3}).encode()
    assert OtlpMetricsDeriver(100, Targets(10)).restore({key: later}) == set()


def test_what_a_writer_is_known_by_is_that_of_format_2() -> None:
    """Where this differs `_FORMAT` in `derive/otlp_metrics/deriver.py` has to be raised."""
    assert [stream_of(one) for one in POINTS] == STREAMS_OF_FORMAT_2
