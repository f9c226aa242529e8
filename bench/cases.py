"""What is measured: the load, how the sidecar is set for it, which Collector pipeline stands beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

MEMORY = {"SIDECAR_JOURNAL__BACKEND": "memory"}
TEN_RULES = {
    "SIDECAR_DELIVER__REDACTION__KEYS": "user.password,*.secret=mask,user_agent.original=hash,*token*,client.*=mask",
    "SIDECAR_DELIVER__REDACTION__VALUES": "email,card,bearer=drop,jwt,patient=hash",
    "SIDECAR_DELIVER__REDACTION__PATTERNS": '{"patient": "PATIENT-[0-9]{10}"}',
    "SIDECAR_DELIVER__REDACTION__HASH_KEY": "the same in every pod",
}
"""One of them changes a value in every span of the load."""


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    title: str
    send: tuple[str, ...]
    """Flags of `loadgen send`; none: nothing is sent."""
    delivers: bool = True
    """The sidecar sends to the counting sink."""
    destination: str = "elasticsearch"
    """How the sidecar takes the sink: a key of `systems.DESTINATIONS`."""
    settings: Mapping[str, str] = field(default_factory=dict)
    peers: tuple[str, ...] = ()
    """Collector pipelines (see `systems.PIPELINES`) that do the like, and `rotel`, which only forwards."""
    payload_size: int = 512
    targets: Mapping[str, float] = field(default_factory=dict)
    """Column of the row -> the most that it should be, for the sidecar."""
    ratios: Mapping[str, float] = field(default_factory=dict)
    """Peer -> the most that the sidecar's CPU should be of its."""
    predictions: int = 0
    """Predictions in each item; figures are for a million of those, where it is not 0."""
    rest_seconds: float = 0
    """How long a case at rest is measured; 0 for those whose length is an option of the bench."""
    scrapes: int = 0
    """How often the metrics are fetched after the load, to measure what one costs."""

    @property
    def signal(self) -> str:
        """Of the load; empty where there is none."""
        if not self.send:
            return ""
        return self.send[self.send.index("-signal") + 1]


SATURATE = ("-streams", "8", "-conns", "2")
MEMORY_TARGETS = {"idle_mib": 70.0, "peak_mib": 160.0}
SATURATED_TARGETS = {"idle_mib": 70.0, "peak_mib": 150.0}
REST_TARGETS = {"ack_p99_ms": 3.0, "start_s": 0.8}

CASES: tuple[Case, ...] = (
    Case(
        "spans-red",
        "spans: receive, decode, RED; journal in memory, no delivery",
        ("-signal", "traces", *SATURATE),
        delivers=False,
        settings=MEMORY,
        peers=("spanmetrics",),
        targets={"cpu_s_per_million": 1.5, **MEMORY_TARGETS},
    ),
    Case(
        "spans-full",
        "spans: durable journal, RED, _bulk with gzip",
        ("-signal", "traces", *SATURATE),
        peers=("spanmetrics-json", "spanmetrics-proto-fsync"),
        targets={"cpu_s_per_million": 3.4, **SATURATED_TARGETS},
        ratios={"spanmetrics-proto-fsync": 0.25},
    ),
    Case(
        "spans-rules",
        "spans: the whole path with ten redaction rules (at most 1.5 times spans-full)",
        ("-signal", "traces", *SATURATE),
        settings=TEN_RULES,
        targets=MEMORY_TARGETS,
    ),
    Case(
        "spans-http",
        "spans over OTLP/HTTP: the same whole path",
        ("-signal", "traces", "-protocol", "http", *SATURATE),
        targets=MEMORY_TARGETS,
    ),
    Case(
        "spans-kept",
        "spans: durable journal, RED, no delivery: what the sinks' cases add to",
        ("-signal", "traces", *SATURATE),
        delivers=False,
    ),
    Case(
        "spans-otlp",
        "spans: durable journal, RED, forwarded over OTLP/HTTP with gzip",
        ("-signal", "traces", *SATURATE),
        destination="otlp",
        peers=("spanmetrics-proto-fsync", "rotel"),
        targets={"cpu_s_per_million": 3.0, **MEMORY_TARGETS},
        ratios={"spanmetrics-proto-fsync": 0.2},
    ),
    Case(
        "logs-full",
        "log records: durable journal, counters, _bulk with gzip",
        ("-signal", "logs", *SATURATE),
        peers=("logs-json",),
        targets={"cpu_s_per_million": 3.5, **MEMORY_TARGETS},
        ratios={"logs-json": 0.45},
    ),
    Case(
        "logs-kept",
        "log records: durable journal, counters, no delivery: what the sinks' cases add to",
        ("-signal", "logs", *SATURATE),
        delivers=False,
    ),
    Case(
        "logs-lumberjack",
        "log records: durable journal, counters, lumberjack with zlib",
        ("-signal", "logs", *SATURATE),
        destination="logstash",
        targets={"cpu_s_per_million": 2.5, **MEMORY_TARGETS},
    ),
    Case(
        "predictions",
        "prediction events of one row with 20 features, per row: durable journal, model metrics, no delivery",
        ("-signal", "logs", "-files", "predictions", *SATURATE),
        delivers=False,
        predictions=1,
        targets={"cpu_s_per_million": 4.5, **MEMORY_TARGETS},
    ),
    Case(
        "predictions-batch",
        "prediction events of ten rows with 20 features, per row: the same",
        ("-signal", "logs", "-files", "predictions10", *SATURATE),
        delivers=False,
        predictions=10,
        targets={"cpu_s_per_million": 4.5, **MEMORY_TARGETS},
    ),
    Case(
        "predictions-full",
        "prediction events of one row with 20 features, per row: the same, and _bulk with gzip",
        ("-signal", "logs", "-files", "predictions", *SATURATE),
        predictions=1,
        targets={"cpu_s_per_million": 7.0, **MEMORY_TARGETS},
    ),
    Case(
        "ndjson-full",
        "JSON lines of 340 bytes in bodies of 1 MB: durable journal, counters, _bulk with gzip",
        ("-signal", "ndjson", "-lines", "3000", *SATURATE),
        targets={"cpu_s_per_million": 2.5, **MEMORY_TARGETS},
    ),
    Case(
        "ndjson-small",
        "JSON lines in bodies of 100 lines: the same whole path",
        ("-signal", "ndjson", "-lines", "100", *SATURATE),
        targets=MEMORY_TARGETS,
    ),
    Case(
        "idle",
        "nothing is sent; the sidecar as in spans-full",
        (),
        peers=("spanmetrics-proto-fsync", "rotel"),
        rest_seconds=60,
        targets={"idle_cpu_percent": 0.1, "idle_mib": 70.0, "start_s": 0.8},
    ),
    Case(
        "trickle",
        "spans in payloads of 50, two requests a second: the whole path",
        ("-signal", "traces", "-streams", "2", "-rate", "100"),
        payload_size=50,
        peers=("spanmetrics-proto-fsync", "rotel"),
        rest_seconds=60,
        targets=REST_TARGETS,
        ratios={"spanmetrics-proto-fsync": 1.0},
    ),
    Case(
        "trickle-no-page",
        "the same without the page at the serve port: what it costs when nobody looks is the difference to trickle",
        ("-signal", "traces", "-streams", "2", "-rate", "100"),
        settings={"SIDECAR_SERVE__PAGE__ENABLED": "false"},
        payload_size=50,
        rest_seconds=60,
        targets=REST_TARGETS,
    ),
    Case(
        "slow",
        "spans in payloads of 50, twenty requests a second: the whole path",
        ("-signal", "traces", "-streams", "2", "-rate", "1000"),
        payload_size=50,
        peers=("spanmetrics-proto-fsync", "rotel"),
        rest_seconds=30,
        targets=REST_TARGETS,
        ratios={"spanmetrics-proto-fsync": 1.0},
    ),
    Case(
        "scrape",
        "fetching /metrics (OpenMetrics, gzip) after the load of spans-red",
        ("-signal", "traces", "-max", "200000", *SATURATE),
        delivers=False,
        settings=MEMORY,
        peers=("spanmetrics",),
        scrapes=30,
        targets={"scrape_cpu_ms_10k": 50.0},
    ),
)
