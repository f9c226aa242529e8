"""Who is a scraper: the headers are those that each program sends."""

from __future__ import annotations

import pytest

from sidecar.serve.scrapers import TIMEOUT, scraper

OPENMETRICS = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;"
    "version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)


@pytest.mark.parametrize(
    "headers",
    [
        {"user-agent": "Prometheus/3.5.0", "accept": OPENMETRICS, TIMEOUT: "10"},
        {"user-agent": "Prometheus/2.53.1"},
        {"user-agent": "GrafanaAgent/v0.43.1 (static; linux; binary)", "accept": OPENMETRICS, TIMEOUT: "10"},
        {"user-agent": "Alloy/v1.10.0 (linux; docker)", "accept": OPENMETRICS},
        {"user-agent": "vm_promscrape", "accept": "text/plain;version=0.0.4;q=1,*/*;q=0.1"},
        {"user-agent": "otelcol-contrib/0.155.0 (linux/amd64)", TIMEOUT: "10"},
        {"user-agent": "Datadog Agent/7.60.0", "accept": "text/plain"},
        {"user-agent": "Telegraf/1.33.0 Go/1.23", "accept": "*/*"},
        {"user-agent": "Datadog-Agent/7.60.0"},
        {"user-agent": "Fluent-Bit"},
        {"user-agent": "Zabbix 7.0"},
        {"user-agent": "SignalFx Smart Agent/5.0"},
        {"user-agent": "a house's own", "accept": "text/plain; version=0.0.4"},
        {"user-agent": "Go-http-client/1.1", "accept": "application/openmetrics-text"},
        {TIMEOUT: "10"},
    ],
)
def test_a_scraper(headers: dict[str, str]) -> None:
    assert scraper(headers, "10.0.0.1")
    assert scraper(headers, "10.0.0.1") == scraper(dict(headers), "10.0.0.1") != scraper(headers, "10.0.0.2")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"user-agent": "curl/8.5.0", "accept": "*/*"},
        {"user-agent": "curl/8.5.0", "accept": "application/openmetrics-text;version=1.0.0"},
        {"user-agent": "Wget/1.21.4", "accept": "*/*"},
        {"user-agent": "Mozilla/5.0 (X11; Linux x86_64) Firefox/130.0", "accept": "text/html,*/*;q=0.8"},
        {"user-agent": "HTTPie/3.2.4", "accept": "*/*"},
        {"user-agent": "python-requests/2.32", "accept": "*/*"},
        {"user-agent": "kube-probe/1.31", "accept": "*/*"},
        {"user-agent": "Python-urllib/3.12", "accept": "text/plain"},
    ],
)
def test_a_person(headers: dict[str, str]) -> None:
    assert scraper(headers, "10.0.0.1") == ""


def test_scrapers_behind_one_address_are_recognized_by_what_the_proxy_says_or_their_name() -> None:
    one = {"user-agent": "Prometheus/3.5.0", "x-forwarded-for": "10.1.0.1"}
    assert len({scraper(h, "a") for h in (one, one | {"x-forwarded-for": "10.1.0.2"}, {"user-agent": "vmagent"})}) == 3


def test_long_headers_are_cut() -> None:
    assert len(scraper({"user-agent": "Prometheus/" + "x" * 10_000, "x-forwarded-for": "y" * 10_000}, "a")) < 500
