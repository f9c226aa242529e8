"""OTLP metric points as tests write them, and a deriver of them."""

from __future__ import annotations

from sidecar.decode.api import Resource
from sidecar.decode.otlp.metrics import Data, MetricBatch, Point, PointKind
from sidecar.derive.otlp_metrics.deriver import OtlpMetricsDeriver
from sidecar.derive.target_info import Targets
from support.derive_fakes import arrival, lines

SECOND = 10**9
SHOP: Resource = (("service.instance.id", "i1"), ("service.name", "shop"))
OWN = 'job="shop",instance="i1",otel_scope_name="meter",otel_scope_version="1"'


def point(
    data: Data | None,
    kind: PointKind = "sum",
    name: str = "hits",
    *,
    delta: bool = False,
    start: int = 5 * SECOND,
    time: int = 0,
    attributes: Resource = (),
    unit: str = "",
    monotonic: bool = True,
    resource: Resource = SHOP,
    description: str = "Help.",
) -> Point:
    return Point(
        name=name,
        description=description,
        unit=unit,
        kind=kind,
        temporality="delta" if delta else "cumulative",
        monotonic=monotonic and kind == "sum",
        start=start,
        time=time,
        attributes=attributes,
        resource=resource,
        scope_name="meter",
        scope_version="1",
        data=data,
    )


def deriver(*points: Point, budget: int = 100) -> OtlpMetricsDeriver:
    built = OtlpMetricsDeriver(budget, Targets(10))
    feed(built, *points)
    return built


def feed(built: OtlpMetricsDeriver, *points: Point, now: int = SECOND) -> None:
    built.apply(MetricBatch(points), arrival(len(points), now))


def shown(built: OtlpMetricsDeriver, openmetrics: bool = False) -> dict[str, str]:
    return lines(list(built.collect()), openmetrics)
