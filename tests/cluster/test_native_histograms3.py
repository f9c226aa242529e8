"""Prometheus 3.16 scrapes native and classic histograms of the sidecar, and their quantiles agree."""

from __future__ import annotations

import pytest
from support.durations import lognormal, send_spans
from support.engines import prometheus3, run_prometheus, sidecar_process, wait_for
from support.promql import exemplars, query, values

# The first run on a machine builds what is tested.
pytestmark = pytest.mark.timeout(1500)

CONFIG = """
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
  - job_name: sidecar
    honor_labels: true
    scrape_native_histograms: true
    always_scrape_classic_histograms: true
    static_configs: [{{targets: ["{target}"]}}]
"""
NAME = "traces_span_metrics_duration_seconds"
BOUNDS = (0.0, 0.002, 0.004, 0.006, 0.008, 0.01, 0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.4, 2.0, 5.0, 10.0, 15.0)


def test_quantiles_of_native_and_classic_histograms_agree() -> None:
    binary = prometheus3("prometheus")  # Before the spans: its build may take longer than exemplars are asked for.
    durations = lognormal(2000, 0.08, 1.2)
    with sidecar_process({"SIDECAR_DERIVE__NATIVE_HISTOGRAMS": "true"}) as sidecar:
        send_spans(sidecar.otlp_url, "shop", durations)
        config = CONFIG.format(target=sidecar.serve_url.removeprefix("http://"))
        flags = ["--enable-feature=exemplar-storage"]
        with run_prometheus(config, flags, binary=binary) as prometheus:
            url = prometheus.url
            wait_for(lambda: values(url, f"histogram_count({NAME})") == [2000], 60, "the spans to be scraped")
            assert values(url, f"{NAME}_count") == [2000]
            assert values(url, f"histogram_sum({NAME})") == pytest.approx(values(url, f"{NAME}_sum"))
            for quantile in (0.01, 0.1, 0.5, 0.9, 0.99):
                (native,) = values(url, f"histogram_quantile({quantile}, {NAME})")
                (classic,) = values(url, f"histogram_quantile({quantile}, {NAME}_bucket)")
                exact = sorted(durations)[round(quantile * 2000) - 1]
                assert native == pytest.approx(exact, rel=0.1), quantile
                upper = next(bound for bound in BOUNDS if bound >= exact)
                lower = BOUNDS[BOUNDS.index(upper) - 1]
                # The classic one knows only between which two of its bounds it is.
                assert lower <= classic <= upper, quantile
                assert lower / 1.1 <= native <= upper * 1.1, quantile
            assert exemplars(url, NAME)
            # What is above each of its bounds, by both.
            for bound in (0.05, 0.1, 0.4):
                (below,) = values(url, f'{NAME}_bucket{{le="{bound}"}} / ignoring(le) {NAME}_count')
                (fraction,) = values(url, f"histogram_fraction(0, {bound}, {NAME})")
                assert fraction == pytest.approx(below, abs=0.02), bound
            assert not query(url, "scrape_samples_scraped == 0")
