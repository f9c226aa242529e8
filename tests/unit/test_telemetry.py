"""The program's own metrics, as they are shown at a scrape."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest
import structlog
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from sidecar.serve.exposition import from_client, render
from sidecar.telemetry import MetricFamily, Telemetry


def text(telemetry: Telemetry) -> str:
    return render(from_client(telemetry.collect()), False).decode()


def test_a_histogram_has_cumulative_buckets_a_sum_and_a_count() -> None:
    telemetry = Telemetry()
    for value in (0.0005, 0.0006, 3.0, 99.0):
        telemetry.record("sidecar_receiver_request_duration_seconds", value, receiver="otlp_grpc")
    telemetry.record("sidecar_receiver_request_duration_seconds", 1.0, receiver="json_tcp")
    shown = text(telemetry)
    start = "sidecar_receiver_request_duration_seconds"
    assert f'{start}_bucket{{receiver="otlp_grpc",le="0.0005"}} 1' in shown, "a bound belongs to its bucket"
    assert f'{start}_bucket{{receiver="otlp_grpc",le="0.001"}} 2' in shown
    assert f'{start}_bucket{{receiver="otlp_grpc",le="+Inf"}} 4' in shown
    assert f'{start}_count{{receiver="otlp_grpc"}} 4' in shown
    assert f'{start}_sum{{receiver="otlp_grpc"}} 102.0011' in shown
    assert f'{start}_count{{receiver="json_tcp"}} 1' in shown


def test_nothing_is_shown_of_a_histogram_that_was_never_observed() -> None:
    assert text(Telemetry()) == ""


@pytest.mark.parametrize(
    "labels", [{}, {"receiver": "x"}, {"receiver": "x", "signal": "y", "more": "z"}, {"a": "b", "c": "d"}]
)
def test_labels_that_the_table_does_not_know_are_a_bug_that_surfaces(labels: dict[str, str]) -> None:
    with pytest.raises(KeyError):
        Telemetry().add("sidecar_receiver_bytes_total", 1, **labels)
    with pytest.raises(KeyError):
        Telemetry().record("sidecar_receiver_bytes_total", 1, receiver="x", signal="y")


def test_threads_lose_no_count() -> None:
    telemetry = Telemetry()

    def work() -> None:
        for _ in range(2_000):
            telemetry.record("sidecar_journal_commit_entries", 3)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert "sidecar_journal_commit_entries_count 8000" in text(telemetry)
    assert "sidecar_journal_commit_entries_sum 24000.0" in text(telemetry)


def test_what_cannot_be_read_is_said_and_left_out() -> None:
    def gone() -> list[tuple[float, dict[str, str]]]:
        raise OSError("the disk is away")

    telemetry = Telemetry()
    telemetry.watch("sidecar_store_bytes", gone)
    telemetry.watch("sidecar_store_spans", lambda: [(7, {})])
    with structlog.testing.capture_logs() as lines:
        shown = text(telemetry)
    assert "sidecar_store_spans 7" in shown
    assert "sidecar_store_bytes" not in shown
    assert [(line["event"], line["metric"]) for line in lines] == [("metric_not_read", "sidecar_store_bytes")]


def test_what_a_library_measures_stands_beside_it() -> None:
    registry = CollectorRegistry()
    Counter("jobs", "Jobs run.", registry=registry).inc(3)
    telemetry = Telemetry()
    telemetry.add("sidecar_spans_without_start_total", 2)
    telemetry.instrumented(registry.collect)
    samples = [line for line in text(telemetry).splitlines() if not line.startswith("#")]
    assert samples == ["sidecar_spans_without_start_total 2", "jobs_total 3.0"]


def test_what_is_no_number_of_pythons_is_shown_as_one() -> None:
    telemetry = Telemetry()
    telemetry.watch("sidecar_store_bytes", lambda: [(np.float64(1.5), {})])
    telemetry.watch("sidecar_store_spans", lambda: [(True, {})])
    telemetry.watch("sidecar_waiting_items", lambda: [(2, {"consumer": 7, "signal": None})])  # type: ignore[dict-item]
    telemetry.add("sidecar_spans_scaled_total", np.int64(3))
    telemetry.record("sidecar_journal_commit_seconds", np.float64(0.5))
    for openmetrics in (False, True):
        shown = render(from_client(telemetry.collect()), openmetrics).decode()
        families = list(parse_openmetrics(shown) if openmetrics else parse_text(shown))
        values = {(s.name, *s.labels.values()): s.value for family in families for s in family.samples}
        assert values[("sidecar_store_bytes",)] == 1.5
        assert values[("sidecar_store_spans",)] == 1
        assert values[("sidecar_waiting_items", "7", "None")] == 2
        assert values[("sidecar_spans_scaled_total",)] == 3
        assert values[("sidecar_journal_commit_seconds_sum",)] == 0.5


@pytest.mark.parametrize("value", [None, "many", [1]])
def test_a_value_that_is_none_is_said_once_and_left_out(value: object) -> None:
    telemetry = Telemetry()
    telemetry.watch("sidecar_store_bytes", lambda: [(value, {})])  # type: ignore[list-item]
    telemetry.watch("sidecar_store_spans", lambda: [(7, {})])
    with structlog.testing.capture_logs() as lines:
        for _ in range(3):
            samples = [line for line in text(telemetry).splitlines() if not line.startswith("#")]
            assert samples == ["sidecar_store_spans 7"]
    assert [line["metric"] for line in lines] == ["sidecar_store_bytes"]


def test_a_library_that_fails_does_not_stop_a_scrape() -> None:
    def fails() -> Iterator[MetricFamily]:
        raise RuntimeError("broken")

    telemetry = Telemetry()
    telemetry.add("sidecar_spans_without_start_total", 2)
    telemetry.instrumented(fails)
    with structlog.testing.capture_logs() as lines:
        assert "sidecar_spans_without_start_total 2" in text(telemetry)
    assert [line["event"] for line in lines] == ["metric_not_read"]
