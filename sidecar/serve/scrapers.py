"""Who asks for metrics: a scraper, which counts from one answer to the next, or a person, who looks.

A scraper names itself (`User-Agent`), sends Prometheus's timeout, or asks for a version of an exposition format. A tool
that people use is not a scraper, whatever it asks for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

TIMEOUT = "x-prometheus-scrape-timeout-seconds"
"""Sent by Prometheus and all that use its code: Grafana Agent and Alloy, the Collector's receiver, CloudWatch's agent;
vmagent sends it too."""

_SCRAPERS = re.compile(
    r"prometheus|grafana ?agent|alloy/|vm_promscrape|vmagent|otelcol|datadog[ -]agent|telegraf|metricbeat|vector/"
    r"|fluent-?bit|zabbix|signalfx|splunk|dynatrace|new ?relic|netdata",
    re.IGNORECASE,
)
_PEOPLE = re.compile(r"curl/|wget/|mozilla/|httpie/|postman|insomnia|^xh/|powershell|kube-probe/", re.IGNORECASE)
_FORMAT = re.compile(
    r"application/openmetrics-text|application/vnd\.google\.protobuf|text/plain\s*;[^,]*version=", re.IGNORECASE
)
_MAX_CHARS = 200


def scraper(headers: Mapping[str, str], address: str) -> str:
    """A name for whoever asks, the same at each scrape; empty for a person. `headers`: names in lower case."""
    agent = headers.get("user-agent", "")
    if _PEOPLE.search(agent):
        return ""
    asks = TIMEOUT in headers or _SCRAPERS.search(agent) or _FORMAT.search(headers.get("accept", ""))
    behind = headers.get("x-forwarded-for", "")
    return f"{address} {behind[:_MAX_CHARS]} {agent[:_MAX_CHARS]}" if asks else ""
