"""The program's own metrics, as they are shown at a scrape."""

from __future__ import annotations

import threading

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from sidecar.telemetry import Telemetry


def text(telemetry: Telemetry) -> str:
    registry = CollectorRegistry()
    registry.register(telemetry)
    return generate_latest(registry).decode()


def test_a_histogram_has_cumulative_buckets_a_sum_and_a_count() -> None:
    telemetry = Telemetry()
    for value in (0.0005, 0.0006, 3.0, 99.0):
        telemetry.record("sidecar_receiver_request_duration_seconds", value, receiver="otlp_grpc")
    telemetry.record("sidecar_receiver_request_duration_seconds", 1.0, receiver="json_tcp")
    shown = text(telemetry)
    start = "sidecar_receiver_request_duration_seconds"
    assert f'{start}_bucket{{le="0.0005",receiver="otlp_grpc"}} 1.0' in shown, "a bound belongs to its bucket"
    assert f'{start}_bucket{{le="0.001",receiver="otlp_grpc"}} 2.0' in shown
    assert f'{start}_bucket{{le="+Inf",receiver="otlp_grpc"}} 4.0' in shown
    assert f'{start}_count{{receiver="otlp_grpc"}} 4.0' in shown
    assert f'{start}_sum{{receiver="otlp_grpc"}} 102.0011' in shown
    assert f'{start}_count{{receiver="json_tcp"}} 1.0' in shown


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
    assert "sidecar_journal_commit_entries_count 8000.0" in text(telemetry)
    assert "sidecar_journal_commit_entries_sum 24000.0" in text(telemetry)
