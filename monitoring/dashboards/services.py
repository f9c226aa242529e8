"""Overview and application: what users of a service see."""

from __future__ import annotations

from generator.text import Thresholds

from dashboards.panels import NAMESPACE, SERVER, SERVICE, Board, Panel, Query, Row

_OF = '{namespace=~"$namespace",service_name=~"$service"}'
_SPANS = 'namespace=~"$namespace",service_name=~"$service",span_kind="SPAN_KIND_SERVER"'
_MODELS = '{namespace=~"$namespace",service=~"$service"}'


def overview(limits: Thresholds) -> Board:
    """The four golden signals of every service, predictions, and what fires."""
    of = limits.values
    return Board(
        "sidecar-overview",
        "Model services: overview",
        "Health, rate, errors, duration, resources and predictions of every service, and what fires now.",
        (
            Row(
                "Health",
                (
                    Panel(
                        "Up",
                        "Whether Prometheus can scrape each target: 1 yes, 0 no.",
                        "short",
                        (Query("min by (job, instance) (up)", "{{job}} {{instance}}"),),
                        "stat",
                        12,
                        6,
                        alarm=1,
                        low_is_bad=True,
                        alert="ServiceDown",
                    ),
                    Panel(
                        "Firing alerts",
                        "Alerts that fire, by severity.",
                        "short",
                        (Query('sort_desc(sum by (alertname, severity, team) (ALERTS{alertstate="firing"}))'),),
                        "table",
                        12,
                        6,
                    ),
                ),
            ),
            Row(
                "Golden signals",
                (
                    Panel(
                        "Requests",
                        "Requests a second, by service.",
                        "reqps",
                        (Query(f"service:requests:rate5m{_OF}", "{{service_name}}"),),
                        alert="ThroughputLow",
                    ),
                    Panel(
                        "Errors",
                        "Share of requests that failed (server spans with the status ERROR).",
                        "percentunit",
                        (Query(f"service:request_errors:ratio_rate5m{_OF}", "{{service_name}}"),),
                        alarm=of["error_ratio"],
                        alert="ErrorRateHigh",
                    ),
                    Panel(
                        "P95 duration",
                        "Duration that one in twenty requests exceeds.",
                        "s",
                        (Query(f"service:request_duration_seconds:p95_rate5m{_OF}", "{{service_name}}"),),
                        warn=of["latency_p95_warning"],
                        alarm=of["latency_p95_critical"],
                        alert="LatencyP95Critical",
                    ),
                    Panel(
                        "CPU of hosts",
                        "Share of CPU time in use, by host.",
                        "percentunit",
                        (
                            Query(
                                "1 - avg without (cpu, mode) "
                                '(rate(node_cpu_seconds_total{mode="idle"}[$__rate_interval]))',
                                "{{instance}}",
                            ),
                        ),
                        width=6,
                        warn=of["cpu_ratio"],
                        alert="HostCpuHigh",
                    ),
                    Panel(
                        "Memory of hosts",
                        "Share of memory in use, by host; page cache that can be freed is not counted.",
                        "percentunit",
                        (Query("1 - node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes", "{{instance}}"),),
                        width=6,
                        warn=of["memory_ratio"],
                        alert="HostMemoryHigh",
                    ),
                    Panel(
                        "Predictions",
                        "Rows predicted a second, by model and version.",
                        "ops",
                        (Query(f"model:predictions:rate5m{_MODELS}", "{{model}} {{version}}"),),
                        width=6,
                        alert="PredictionsStopped",
                    ),
                    Panel(
                        "Confidence",
                        "Mean probability of the predicted class.",
                        "percentunit",
                        (Query(f"model:confidence:mean_rate5m{_MODELS}", "{{model}} {{version}}"),),
                        width=6,
                        warn=of["confidence_mean"],
                        low_is_bad=True,
                        alert="ConfidenceLow",
                    ),
                ),
            ),
            Row(
                "Error budget",
                (
                    Panel(
                        "Burn rate",
                        "Error ratio over each window by what the objective allows: at 1 the budget lasts exactly.",
                        "short",
                        tuple(
                            Query(
                                f"service:request_errors:ratio_rate{window}{_OF} / (1 - {of['slo_objective']:g})",
                                f"{{{{service_name}}}} {window}",
                            )
                            for window in ("5m", "30m", "1h", "6h", "3d")
                        ),
                        width=24,
                        warn=6,
                        alarm=14.4,
                        alert="ErrorBudgetBurnFast",
                    ),
                ),
            ),
        ),
        (NAMESPACE, SERVICE),
    )


def application(limits: Thresholds) -> Board:
    """Requests by route and status, percentiles, apdex, slow routes."""
    of = limits.values
    quantiles = tuple(
        Query(
            f"histogram_quantile({q}, sum by (le) (rate(traces_span_metrics_duration_seconds_bucket{{{_SPANS}}}"
            "[$__rate_interval])))",
            name,
            exemplars=name == "P95",
        )
        for q, name in (("0.5", "P50"), ("0.95", "P95"), ("0.99", "P99"))
    )
    return Board(
        "sidecar-application",
        "Model services: application",
        "Requests of a service by route and status, durations with exemplars that lead to traces, apdex, slow routes.",
        (
            Row(
                "Requests",
                (
                    Panel(
                        "Requests by route and status",
                        "Requests a second by route and HTTP status.",
                        "reqps",
                        (
                            Query(
                                "sum by (http_route, http_response_status_code) "
                                f"(rate(traces_span_metrics_calls_total{{{_SPANS}}}[$__rate_interval]))",
                                "{{http_route}} {{http_response_status_code}}",
                            ),
                        ),
                        width=12,
                        stacked=True,
                    ),
                    Panel(
                        "Throughput",
                        "All requests a second, by service.",
                        "reqps",
                        (Query(f"service:requests:rate5m{_OF}", "{{service_name}}"),),
                        width=6,
                        warn=of["throughput_min"],
                        low_is_bad=True,
                        alert="ThroughputLow",
                    ),
                    Panel(
                        "Active requests",
                        "Requests being answered now; from the app's own OpenTelemetry HTTP metrics.",
                        "short",
                        (
                            Query(
                                'sum by (job) (http_server_active_requests{namespace=~"$namespace"})',
                                "{{job}}",
                            ),
                        ),
                        width=6,
                    ),
                ),
            ),
            Row(
                "Durations",
                (
                    Panel(
                        "Percentiles",
                        "P50, P95 and P99 of all requests; the points are traces.",
                        "s",
                        quantiles,
                        width=12,
                        warn=of["latency_p95_warning"],
                        alarm=of["latency_p95_critical"],
                        alert="LatencyP95Critical",
                    ),
                    Panel(
                        "Mean response time",
                        "By service.",
                        "s",
                        (Query(f"service:request_duration_seconds:mean_rate5m{_OF}", "{{service_name}}"),),
                        width=6,
                        warn=of["response_time_mean"],
                        alert="ResponseTimeHigh",
                    ),
                    Panel(
                        "Apdex",
                        f"Satisfied within {of['apdex_satisfied']:g} s, tolerated within {of['apdex_tolerated']:g} s; "
                        "1 is best.",
                        "short",
                        (Query(f"service:apdex:ratio_rate5m{_OF}", "{{service_name}}"),),
                        width=6,
                        warn=0.85,
                        alarm=0.7,
                        low_is_bad=True,
                    ),
                    Panel(
                        "Slowest routes",
                        "The ten routes with the highest P95.",
                        "s",
                        (
                            Query(
                                "topk(10, histogram_quantile(0.95, sum by (le, service_name, http_route) (rate("
                                f"traces_span_metrics_duration_seconds_bucket{{{_SPANS}}}[$__rate_interval]))))",
                            ),
                        ),
                        "table",
                        width=12,
                    ),
                    Panel(
                        "Errors",
                        "Share of requests that failed.",
                        "percentunit",
                        (Query(f"service:request_errors:ratio_rate5m{_OF}", "{{service_name}}"),),
                        width=6,
                        alarm=of["error_ratio"],
                        alert="ErrorRateHigh",
                    ),
                    Panel(
                        "Exceptions in logs",
                        "Records with an exception a second, by its type.",
                        "ops",
                        (
                            Query(
                                f"sum by (type) (rate(log_exceptions_total{_MODELS}[$__rate_interval]))",
                                "{{type}}",
                            ),
                        ),
                        width=6,
                    ),
                ),
            ),
        ),
        (NAMESPACE, SERVER),
    )
