"""What a Prometheus has that has run for days, of the series that rules look back on for an hour or more."""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from support.engines import prometheus3

DAY = 86_400
RECORDED = ("service:requests:rate5m", "service:request_errors:rate5m")
"""Rules look back on them for three days."""
COUNTED = "ml_revenue_impact_total"
"""A rule looks back on it for a day."""


def write(data: Path, services: Mapping[str, str], pods: Sequence[Mapping[str, str]], interval: float) -> None:
    """Blocks in Prometheus' data directory. `services`: name -> namespace; `pods`: labels of each target."""
    text = data.parent / "history.om"
    with text.open("w") as file:
        file.writelines(_lines(services, pods, interval))
    # In one block, as those of three days become; in blocks of two hours the text would be read once for each.
    options = ["--max-block-duration=216h", "--quiet"]
    command = [prometheus3("promtool"), "tsdb", "create-blocks-from", "openmetrics", *options, text, data]
    subprocess.run(command, check=True, capture_output=True, timeout=3600)
    text.unlink()


def _lines(services: Mapping[str, str], pods: Sequence[Mapping[str, str]], interval: float) -> Iterator[str]:
    end, rng = int(time.time()) - 120, random.Random(500)
    for name in RECORDED:
        yield f"# TYPE {name} gauge\n"
        for service, namespace in services.items():
            labels = f'namespace="{namespace}",service_name="{service}"'
            for at in _times(end - 3 * DAY, end, interval):
                yield f"{name}{{{labels}}} {rng.uniform(40, 60):.6f} {at:.3f}\n"
    yield f"# TYPE {COUNTED.removesuffix('_total')} counter\n"
    for pod in pods:
        own, value = ",".join(f'{key}="{text}"' for key, text in sorted(pod.items())), 0.0
        for at in _times(end - DAY, end, interval):
            value += rng.uniform(10, 30)
            yield f"{COUNTED}{{{own}}} {value:.2f} {at:.3f}\n"
    yield "# EOF\n"


def _times(begin: float, end: float, interval: float) -> Iterator[float]:
    at = begin
    while at < end:
        yield at
        at += interval
