"""Debian's Prometheus (2.42) scrapes native histograms over protobuf; its quantiles are those of what was sent."""

from __future__ import annotations

import pytest
from support.durations import lognormal, send_spans
from support.engines import http_get, run_prometheus, sidecar_process, wait_for
from support.promql import values

CONFIG = """
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
  - job_name: sidecar
    honor_labels: true
    static_configs: [{{targets: ["{target}"]}}]
"""
NAME = "traces_span_metrics_duration_seconds"
ERROR = 2 ** (1 / 8)
"""Width of a bucket."""


@pytest.mark.engine
def test_quantiles_of_native_histograms_are_those_of_what_was_sent() -> None:
    durations = lognormal(500, 0.08, 1.2)
    with sidecar_process({"SIDECAR_DERIVE__NATIVE_HISTOGRAMS": "true"}) as sidecar:
        send_spans(sidecar.otlp_url, "shop", durations)
        config = CONFIG.format(target=sidecar.serve_url.removeprefix("http://"))
        with run_prometheus(config, ["--enable-feature=native-histograms"]) as prometheus:
            wait_for(lambda: values(prometheus.url, f"histogram_count({NAME})") == [500], 60, "the spans to be scraped")
            for quantile in (0.1, 0.5, 0.9, 0.99):
                (found,) = values(prometheus.url, f"histogram_quantile({quantile}, {NAME})")
                exact = sorted(durations)[round(quantile * 500) - 1]
                assert exact / ERROR <= found <= exact * ERROR, quantile
            # Of a service that began while it was scraped, the first event is seen.
            send_spans(sidecar.otlp_url, "late", durations[:50])
            rate = f'histogram_count(increase({NAME}{{service_name="late"}}[10m]))'
            wait_for(lambda: (values(prometheus.url, rate) or [0])[0] > 0, 60, "an increase")
            assert values(prometheus.url, f'histogram_count({NAME}{{service_name="late"}})') == [50]
            sidecar.kill9()
            sidecar.start()
            send_spans(sidecar.otlp_url, "shop", durations)
            total = f'histogram_count({NAME}{{service_name="shop"}})'
            wait_for(lambda: values(prometheus.url, total) == [1000], 60, "the count to go on after a kill")
        plain = http_get(f"{sidecar.serve_url}/metrics")[1].decode()
    assert f'{NAME}_bucket{{service_name="shop"' in plain
