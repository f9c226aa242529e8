"""Infrastructure and pipeline: hosts, containers, and the sidecars themselves."""

from __future__ import annotations

from generator.text import Thresholds

from dashboards.panels import NAMESPACE, Board, Panel, Query, Row, Variable

_CONTAINER = "{{pod}} {{container}} {{name}}"
_INSIDE = 'namespace=~"$namespace",image!="",container!=""'
_OUTSIDE = 'namespace=~"$namespace",image!="",pod=""'
_SIDECARS = {
    "inside": 'namespace=~"$namespace",container=~".*sidecar.*"',
    "outside": 'container="",name=~".*sidecar.*"',
}
_DISKS = 'fstype!~"tmpfs|ramfs|overlay|squashfs|iso9660|fuse.*"'
INSTANCE = Variable("instance", "Sidecar", "label_values(sidecar_build_info, instance)")
_SIDECAR = 'namespace=~"$namespace",instance=~"$instance"'


def _of_containers(part: str, of: str = "", inside: str = _INSIDE, outside: str = _OUTSIDE) -> str:
    """A sum for each container, divided by another: by pod and container, and outside Kubernetes, where there are none,
    by name; in it the name is an id of the runtime. `inside`, `outside`: which containers there."""
    found = []
    for chosen, by in ((f"{{{inside}}}", "pod, container"), (f"{{{outside}}}", "name")):
        found.append(" / ".join(f"sum by ({by}) ({one.replace('{}', chosen)})" for one in (part, of) if one))
    return " or ".join(found)


def infrastructure(limits: Thresholds) -> Board:
    """Hosts from node-exporter, containers from cAdvisor."""
    of = limits.values
    return Board(
        "sidecar-infrastructure",
        "Model services: infrastructure",
        "CPU, memory, disks and network of hosts (node-exporter), CPU and memory of containers (cAdvisor), pods.",
        (
            Row(
                "Hosts",
                (
                    Panel(
                        "CPU",
                        "Share of CPU time in use.",
                        "percentunit",
                        (
                            Query(
                                "1 - avg without (cpu, mode) "
                                '(rate(node_cpu_seconds_total{mode="idle"}[$__rate_interval]))',
                                "{{instance}}",
                            ),
                        ),
                        warn=of["cpu_ratio"],
                        alert="HostCpuHigh",
                    ),
                    Panel(
                        "Memory",
                        "Share of memory in use; page cache that can be freed is not counted.",
                        "percentunit",
                        (Query("1 - node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes", "{{instance}}"),),
                        warn=of["memory_ratio"],
                        alert="HostMemoryHigh",
                    ),
                    Panel(
                        "Free space",
                        "Share of each file system that is free.",
                        "percentunit",
                        (
                            Query(
                                f"node_filesystem_avail_bytes{{{_DISKS}}} / node_filesystem_size_bytes{{{_DISKS}}}",
                                "{{instance}} {{mountpoint}}",
                            ),
                        ),
                        warn=of["disk_free_ratio"],
                        low_is_bad=True,
                        alert="HostDiskSpaceLow",
                    ),
                    Panel(
                        "Disk input and output",
                        "Bytes a second, read and written.",
                        "Bps",
                        (
                            Query(
                                "sum by (instance) (rate(node_disk_read_bytes_total[$__rate_interval]))",
                                "{{instance}} read",
                            ),
                            Query(
                                "sum by (instance) (rate(node_disk_written_bytes_total[$__rate_interval]))",
                                "{{instance}} written",
                            ),
                        ),
                    ),
                    Panel(
                        "Network",
                        "Bytes a second, received and sent, without loopback.",
                        "Bps",
                        (
                            Query(
                                "sum by (instance) "
                                '(rate(node_network_receive_bytes_total{device!="lo"}[$__rate_interval]))',
                                "{{instance}} received",
                            ),
                            Query(
                                "sum by (instance) "
                                '(rate(node_network_transmit_bytes_total{device!="lo"}[$__rate_interval]))',
                                "{{instance}} sent",
                            ),
                        ),
                    ),
                    Panel(
                        "Load",
                        "Processes that run or wait, mean of a minute.",
                        "short",
                        (Query("node_load1", "{{instance}}"),),
                    ),
                ),
            ),
            Row(
                "Containers",
                (
                    Panel(
                        "CPU of containers",
                        "CPUs in use.",
                        "short",
                        (
                            Query(
                                _of_containers("rate(container_cpu_usage_seconds_total{}[$__rate_interval])"),
                                _CONTAINER,
                            ),
                        ),
                        alert="ContainerCpuHigh",
                    ),
                    Panel(
                        "Throttling",
                        "Share of the scheduler's periods in which a container had to wait for its limit.",
                        "percentunit",
                        (
                            Query(
                                _of_containers(
                                    "rate(container_cpu_cfs_throttled_periods_total{}[$__rate_interval])",
                                    "rate(container_cpu_cfs_periods_total{}[$__rate_interval])",
                                ),
                                _CONTAINER,
                            ),
                        ),
                        alert="ContainerCpuHigh",
                    ),
                    Panel(
                        "Memory of containers",
                        "Working set.",
                        "bytes",
                        (
                            Query(
                                _of_containers("container_memory_working_set_bytes{}"),
                                _CONTAINER,
                            ),
                        ),
                        alert="ContainerMemoryHigh",
                    ),
                    Panel(
                        "Pods by phase",
                        "From kube-state-metrics; empty outside Kubernetes.",
                        "short",
                        (
                            Query(
                                'sum by (namespace, phase) (kube_pod_status_phase{namespace=~"$namespace"})',
                                "{{namespace}} {{phase}}",
                            ),
                        ),
                        width=24,
                        stacked=True,
                    ),
                ),
            ),
        ),
        (NAMESPACE,),
    )


def _rate(metric: str, by: str, more: str = "") -> str:
    return f"sum by ({by}) (rate({metric}{{{_SIDECAR}{more}}}[$__rate_interval]))"


def pipeline(limits: Thresholds) -> Board:
    """What sidecars received, delivered, keep and lost."""
    of = limits.values
    return Board(
        "sidecar-pipeline",
        "Sidecars: pipeline",
        "The ledger of the sidecars as rates: received, delivered, waiting, dropped; journal, lag, dead letters.",
        (
            Row(
                "In",
                (
                    Panel(
                        "Received",
                        "Items a second that were stored in the journal, by signal.",
                        "ops",
                        (Query(_rate("sidecar_received_items_total", "signal"), "{{signal}}"),),
                    ),
                    Panel(
                        "Requests by outcome",
                        "Requests a second by receiver and outcome.",
                        "reqps",
                        (
                            Query(
                                _rate("sidecar_receiver_requests_total", "receiver, outcome"),
                                "{{receiver}} {{outcome}}",
                            ),
                        ),
                    ),
                    Panel(
                        "P99 of a request",
                        "From a request's arrival to its reply, fsync included.",
                        "s",
                        (
                            Query(
                                "histogram_quantile(0.99, "
                                + _rate("sidecar_receiver_request_duration_seconds_bucket", "le, receiver")
                                + ")",
                                "{{receiver}}",
                            ),
                        ),
                    ),
                    Panel(
                        "Refused credentials",
                        "Requests without credentials or with wrong ones, in five minutes.",
                        "short",
                        (
                            Query(
                                "sum by (instance, receiver) "
                                f"(increase(sidecar_receiver_auth_failures_total{{{_SIDECAR}}}[5m]))",
                                "{{instance}} {{receiver}}",
                            ),
                        ),
                        warn=of["refused_credentials"],
                        alert="RefusedCredentials",
                    ),
                    Panel(
                        "Rejected, duplicate and repaired",
                        "Items a second that were invalid or resent, and parts that were corrected.",
                        "ops",
                        (
                            Query(_rate("sidecar_rejected_items_total", "signal"), "rejected {{signal}}"),
                            Query(_rate("sidecar_duplicate_items_total", "signal"), "duplicate {{signal}}"),
                            Query(_rate("sidecar_receiver_repaired_total", "reason"), "repaired {{reason}}"),
                        ),
                    ),
                    Panel(
                        "Behind in log files",
                        "Bytes that are written and not read yet.",
                        "bytes",
                        (Query(f"sidecar_file_tail_lag_bytes{{{_SIDECAR}}}", "{{instance}}"),),
                    ),
                ),
            ),
            Row(
                "Journal",
                (
                    Panel(
                        "Journal, of its quota",
                        "Share of the quota in use.",
                        "percentunit",
                        (
                            Query(
                                f'sidecar_journal_bytes{{{_SIDECAR},kind="stored"}} / ignoring (kind) '
                                f'sidecar_journal_bytes{{{_SIDECAR},kind="quota"}}',
                                "{{instance}}",
                            ),
                        ),
                        warn=of["journal_ratio"],
                        alert="JournalFilling",
                    ),
                    Panel(
                        "Behind",
                        "Age of the oldest item that a consumer has not finished with.",
                        "s",
                        (
                            Query(
                                f"max by (instance, consumer) (sidecar_consumer_lag_seconds{{{_SIDECAR}}})",
                                "{{instance}} {{consumer}}",
                            ),
                        ),
                        alarm=of["delivery_lag"],
                        alert="DeliveryStalled",
                    ),
                    Panel(
                        "Waiting",
                        "Items that a consumer has not finished with.",
                        "short",
                        (
                            Query(
                                f"sum by (consumer, signal) (sidecar_waiting_items{{{_SIDECAR}}})",
                                "{{consumer}} {{signal}}",
                            ),
                        ),
                    ),
                    Panel(
                        "P99 of a commit",
                        "Group commits of the journal, with fsync.",
                        "s",
                        (
                            Query(
                                "histogram_quantile(0.99, "
                                + _rate("sidecar_journal_commit_seconds_bucket", "le, instance")
                                + ")",
                                "{{instance}}",
                            ),
                        ),
                    ),
                    Panel(
                        "Dropped",
                        "Items lost in a quarter of an hour, by stage and reason.",
                        "short",
                        (
                            Query(
                                f"sum by (stage, reason) (increase(sidecar_dropped_items_total{{{_SIDECAR}}}[15m]))",
                                "{{stage}} {{reason}}",
                            ),
                        ),
                        alarm=1,
                        alert="ItemsDropped",
                    ),
                    Panel(
                        "Embedded store",
                        "Bytes of traces that can be looked up.",
                        "bytes",
                        (Query(f"sidecar_store_bytes{{{_SIDECAR}}}", "{{instance}}"),),
                    ),
                ),
            ),
            Row(
                "Out",
                (
                    Panel(
                        "Finished",
                        "Items a second by consumer and outcome.",
                        "ops",
                        (
                            Query(
                                _rate("sidecar_finished_items_total", "consumer, outcome"),
                                "{{consumer}} {{outcome}}",
                            ),
                        ),
                    ),
                    Panel(
                        "Requests to destinations",
                        "Requests a second by sink and outcome.",
                        "reqps",
                        (Query(_rate("sidecar_sink_requests_total", "sink, outcome"), "{{sink}} {{outcome}}"),),
                    ),
                    Panel(
                        "Retries",
                        "Documents or requests sent again a second, by reason.",
                        "ops",
                        (Query(_rate("sidecar_sink_retries_total", "sink, reason"), "{{sink}} {{reason}}"),),
                    ),
                    Panel(
                        "P95 of a request to a destination",
                        "By sink.",
                        "s",
                        (
                            Query(
                                "histogram_quantile(0.95, "
                                + _rate("sidecar_sink_request_duration_seconds_bucket", "le, sink")
                                + ")",
                                "{{sink}}",
                            ),
                        ),
                    ),
                    Panel(
                        "Dead letters",
                        "Documents that a destination rejected for good.",
                        "short",
                        (
                            Query(
                                f"sum by (instance, sink) (sidecar_dead_letters{{{_SIDECAR}}})",
                                "{{instance}} {{sink}}",
                            ),
                        ),
                        warn=of["dead_letters"] + 1,
                        alert="DeadLetters",
                    ),
                    Panel(
                        "Redacted and filtered",
                        "Values redacted and items left out by filters, a second.",
                        "ops",
                        (
                            Query(_rate("sidecar_redacted_values_total", "sink"), "redacted {{sink}}"),
                            Query(_rate("sidecar_filtered_items_total", "sink"), "filtered {{sink}}"),
                        ),
                    ),
                ),
            ),
            Row(
                "Metrics and the program",
                (
                    Panel(
                        "Series by metric",
                        "Series that derived metrics hold, the twenty largest.",
                        "short",
                        (Query(f"topk(20, sum by (metric) (sidecar_series{{{_SIDECAR}}}))"),),
                        "table",
                    ),
                    Panel(
                        "Label budgets",
                        "Label values beyond their budget in a quarter of an hour.",
                        "short",
                        (
                            Query(
                                f"sum by (metric, label) (increase(sidecar_series_overflow_total{{{_SIDECAR}}}[15m]))",
                                "{{metric}} {{label}}",
                            ),
                        ),
                        warn=of["label_overflow"] + 1,
                        alert="LabelBudgetExceeded",
                    ),
                    Panel(
                        "Versions",
                        "Version, decoder and Python of each sidecar.",
                        "short",
                        (Query(f"sidecar_build_info{{{_SIDECAR}}}"),),
                        "table",
                    ),
                    Panel(
                        "CPU of sidecars",
                        "CPUs in use, of containers whose name has `sidecar` in it (cAdvisor).",
                        "short",
                        (
                            Query(
                                _of_containers(
                                    "rate(container_cpu_usage_seconds_total{}[$__rate_interval])", **_SIDECARS
                                ),
                                _CONTAINER,
                            ),
                        ),
                        width=12,
                    ),
                    Panel(
                        "Memory of sidecars",
                        "Working set, of containers whose name has `sidecar` in it (cAdvisor).",
                        "bytes",
                        (
                            Query(
                                _of_containers("container_memory_working_set_bytes{}", **_SIDECARS),
                                _CONTAINER,
                            ),
                        ),
                        width=12,
                        alert="ContainerMemoryHigh",
                    ),
                ),
            ),
        ),
        (NAMESPACE, INSTANCE),
    )
