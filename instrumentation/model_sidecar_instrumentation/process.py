"""CPU and memory of the model's process, where OpenTelemetry's own instrumentation of it (system-metrics, which needs
psutil) is not installed. Names and units are those of OpenTelemetry's conventions for processes."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from importlib import metadata
from typing import Any

from opentelemetry import metrics
from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined]

from model_sidecar_instrumentation import __version__

STATM = "/proc/self/statm"


class ProcessInstrumentor(BaseInstrumentor):  # type: ignore[misc]
    """`process.cpu.time` (s, by `cpu.mode`) and `process.memory.usage` (bytes resident)."""

    def instrumentation_dependencies(self) -> Collection[str]:
        return ()

    def _instrument(self, **kwargs: Any) -> None:
        if _is_installed("opentelemetry-instrumentation-system-metrics"):
            return
        meter = metrics.get_meter("model_sidecar_instrumentation", __version__)
        meter.create_observable_counter("process.cpu.time", [_cpu], "s", "CPU seconds of the process.")
        if os.path.exists(STATM):
            meter.create_observable_up_down_counter("process.memory.usage", [_memory], "By", "Resident memory.")

    def _uninstrument(self, **kwargs: Any) -> None:
        """Instruments of OpenTelemetry cannot be taken back; they cost one reading an export."""


def _is_installed(distribution: str) -> bool:
    try:
        metadata.distribution(distribution)
    except metadata.PackageNotFoundError:
        return False
    return True


def _cpu(_: metrics.CallbackOptions) -> Iterator[metrics.Observation]:
    times = os.times()
    yield metrics.Observation(times.user, {"cpu.mode": "user"})
    yield metrics.Observation(times.system, {"cpu.mode": "system"})


def _memory(_: metrics.CallbackOptions) -> Iterator[metrics.Observation]:
    with open(STATM, encoding="ascii") as file:
        yield metrics.Observation(int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE"))
