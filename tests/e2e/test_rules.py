"""A rule given by a variable, on the installed program, through a kill."""

from __future__ import annotations

import json
import urllib.request

from support.engines import sidecar_process, wait_for
from support.load import samples, scrape

RULES = [
    {
        "name": "ml_revenue_impact_daily",
        "kind": "sum",
        "monotonic": False,
        "field": "revenue",
        "match": {"kind": "order"},
        "labels": ["country"],
    },
    {"name": "orders_total", "match": {"kind": "order"}},
]


def test_business_figures_from_log_lines_survive_a_kill() -> None:
    lines = [{"time": 1_800_000_000 + n, "kind": "order", "country": "DE", "revenue": 1.25} for n in range(8)]
    body = "\n".join(map(json.dumps, lines)).encode()
    expected = {'ml_revenue_impact_daily{country="DE"}': 10.0, "orders_total": 8.0}

    def figures() -> dict[str, float]:
        values = samples(scrape(sidecar.serve_url) or "")
        return {series: values[series] for series in expected if series in values}

    with sidecar_process({"SIDECAR_DERIVE__RULES": json.dumps(RULES)}) as sidecar:
        request = urllib.request.Request(f"{sidecar.otlp_url}/v1/json", body, {"Content-Type": "application/x-ndjson"})
        with urllib.request.urlopen(request, timeout=60) as reply:
            assert reply.status == 200
        wait_for(lambda: figures() == expected, 20, "the rules' figures")
        sidecar.kill9()
        sidecar.start()
        wait_for(lambda: figures() == expected, 20, "the same figures after the kill")
