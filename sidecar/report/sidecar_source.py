"""Figures of one sidecar since its counters began, from its `/metrics`: the Prometheus text format 0.0.4."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sidecar.deliver.common.connection import Connection
from sidecar.deliver.common.http import Reply, Send, Unreached
from sidecar.errors import Permanent
from sidecar.report.figure_source import ALERTS, About
from sidecar.report.period import Period
from sidecar.report.sources import Asked
from sidecar.serve.pages.metric_families import Histogram, Metrics, Series, labels_of

_SAMPLE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)(?: -?\d+)?")
_TYPE = re.compile(r"# TYPE (\S+) (\w+)")
_ACCEPT = {"accept": "*/*"}
"""Not as a scraper: the first 0 of a series is for those that count from it."""
_SERVER = "SPAN_KIND_SERVER"
_EXPECTED = "expected series such as model_predictions_total: has it received predictions?"
_COUNTING = (
    "Counts are those of one sidecar since they began. Quantiles are interpolated within the buckets of a histogram."
)


class SidecarSource:
    """One sidecar, which has no history and no alerts."""

    def __init__(self, send: Send, address: str) -> None:
        self._send, self._address = send, address
        self._description = f"the sidecar at {address}"

    def about(self) -> About:
        return About(self._description, _EXPECTED, _COUNTING, has_history=False, missing=(ALERTS,))

    def metrics(self, period: Period) -> Metrics:
        try:
            reply = self._send("GET", "/metrics", None, _ACCEPT)
        except Unreached as error:
            raise Permanent(f"{self._description} gives no answer: {error.reason}: {error.detail}") from error
        return parsed(self._text(reply))

    def history(self, period: Period) -> Sequence[tuple[float, Metrics]]:
        return ()

    def alerts(self, period: Period) -> None:
        return None

    def _text(self, reply: Reply) -> str:
        text = reply.body.decode("utf-8", "replace")
        if reply.status == 200 and "# TYPE " in text:
            return text
        raise Permanent(
            f"{self._address} does not answer as a sidecar does (HTTP {reply.status}); expected the base address of "
            "its metrics port, such as http://127.0.0.1:9464"
        )


@contextmanager
def opened(asked: Asked) -> Iterator[SidecarSource]:
    """See `sources.SourceType`."""
    with Connection(asked.server) as connection:
        yield SidecarSource(connection.send, asked.place)


def parsed(text: str) -> Metrics:
    """The families of an exposition, those of spans as `prometheus_source` names them."""
    kinds: dict[str, str] = {}
    flat: dict[str, dict[str, float]] = {}
    for line in text.splitlines():
        if line.startswith("# TYPE"):
            if found := _TYPE.match(line):
                kinds[found[1]] = found[2]
        elif (found := _SAMPLE.fullmatch(line)) and (value := _number(found[3])) is not None:
            flat.setdefault(found[1], {})[found[2] or ""] = value
    metrics = Metrics()
    for name, kind in kinds.items():
        if kind in ("histogram", "summary"):
            metrics.by_name[name] = list(_distributions(name, flat))
        else:
            short = name.removesuffix("_total" if kind == "counter" else "_info")
            metrics.by_name[short] = [Series(labels_of(labels), n) for labels, n in flat.get(name, {}).items()]
    calls, durations = (metrics[f"traces_span_metrics_{what}"] for what in ("calls", "duration_seconds"))
    metrics.by_name["calls"] = [one for one in calls if one.labels.get("span_kind") == _SERVER]
    metrics.by_name["durations"] = [one for one in durations if one.labels.get("span_kind") == _SERVER]
    return metrics


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if value == value else None


def _distributions(name: str, flat: dict[str, dict[str, float]]) -> Iterator[Series]:
    buckets: dict[tuple[tuple[str, str], ...], dict[float, float]] = {}
    for text, value in flat.get(f"{name}_bucket", {}).items():
        labels = labels_of(text)
        bound = _number(labels.pop("le", ""))
        if bound is not None:
            buckets.setdefault(tuple(sorted(labels.items())), {})[bound] = value
    sums = flat.get(f"{name}_sum", {})
    for text, count in flat.get(f"{name}_count", {}).items():
        labels = labels_of(text)
        found = buckets.get(tuple(sorted(labels.items())), {})
        bounds = sorted(found)
        histogram = Histogram(tuple(bounds[:-1]), tuple(found[b] for b in bounds), sums.get(text)) if bounds else None
        yield Series(labels, count, histogram, sums.get(text))
