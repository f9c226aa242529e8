"""Figures of one sidecar from its exposition."""

from __future__ import annotations

import pytest
from support.report_sources import PERIOD

from sidecar.deliver.common.http import Reply, Unreached
from sidecar.errors import Permanent
from sidecar.report.building import build
from sidecar.report.sidecar_source import SidecarSource, parsed

TEXT = """# HELP model_predictions_total x
# TYPE model_predictions_total counter
model_predictions_total{service="shop",model="a\\"b\\\\,}",version="7",status="ok"} 90
model_predictions_total{service="shop",model="a\\"b\\\\,}",version="7",status="error"} 10
# TYPE model_inference_latency_seconds histogram
model_inference_latency_seconds_bucket{service="shop",model="a\\"b\\\\,}",version="7",stage="inference",le="0.01"} 50
model_inference_latency_seconds_bucket{service="shop",model="a\\"b\\\\,}",version="7",stage="inference",le="0.1"} 100
model_inference_latency_seconds_bucket{service="shop",model="a\\"b\\\\,}",version="7",stage="inference",le="+Inf"} 100
model_inference_latency_seconds_sum{service="shop",model="a\\"b\\\\,}",version="7",stage="inference"} 3.5
model_inference_latency_seconds_count{service="shop",model="a\\"b\\\\,}",version="7",stage="inference"} 100
# TYPE model_info gauge
model_info{service="shop",model="a\\"b\\\\,}",version="7"} 1
# TYPE model_roc_auc gauge
model_roc_auc{model="a\\"b\\\\,}",version="7",window="1h"} NaN
not a sample at all
"""


def test_figures_since_the_counters_began() -> None:
    report = build(SidecarSource(lambda *asked: Reply(200, TEXT.encode()), "http://s"), PERIOD, 1.0)
    (one,) = report.models
    assert one.model.name == 'a"b\\,}'
    assert one.rates.errors is not None
    assert one.rates.inference is not None
    assert (one.rates.predictions, one.rates.errors.value) == (100, 0.1)
    assert one.rates.inference.p50 == pytest.approx(1e7)
    assert parsed(TEXT)["model_roc_auc"] == []


@pytest.mark.parametrize("reply", [Reply(404, b"no"), Reply(200, b"<html>"), Reply(503, b"")])
def test_what_is_no_exposition_is_refused(reply: Reply) -> None:
    with pytest.raises(Permanent, match="does not answer as a sidecar does"):
        SidecarSource(lambda *asked: reply, "http://s").metrics(PERIOD)


def test_nobody_answers() -> None:
    def send(*asked: object) -> Reply:
        raise Unreached("timeout", "5 s")

    with pytest.raises(Permanent, match="the sidecar at http://s gives no answer: timeout: 5 s"):
        SidecarSource(send, "http://s").metrics(PERIOD)
