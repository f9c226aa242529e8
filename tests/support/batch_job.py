"""A batch job of about two seconds, by the official SDK: `python -m support.batch_job OTLP_URL`. It scores 40 rows in 4
batches, each a span, and ends."""

from __future__ import annotations

import sys
import time

from opentelemetry._logs import LogRecord
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

BATCHES, ROWS, LEAVES = 4, 10, 3
SECONDS = 2.0
SERVICE, MODEL = "nightly-scoring", "churn"


def main(url: str) -> None:
    """Run the job against the receiver at `url`, and wait for what it sent to be acknowledged."""
    resource = Resource({"service.name": SERVICE, "service.instance.id": "run-1"})
    logs = LoggerProvider(resource, shutdown_on_exit=False)
    logs.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter(f"{url}/v1/logs")))
    spans = TracerProvider(resource=resource, shutdown_on_exit=False)
    spans.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{url}/v1/traces")))
    reader = PeriodicExportingMetricReader(OTLPMetricExporter(f"{url}/v1/metrics"), export_interval_millis=60_000)
    metrics = MeterProvider([reader], resource, shutdown_on_exit=False)
    rows = metrics.get_meter("job").create_counter("rows_scored", description="Rows that were scored.")
    logger, tracer = logs.get_logger("job"), spans.get_tracer("job")
    for _ in range(BATCHES):
        with tracer.start_as_current_span("score batch"):
            time.sleep(SECONDS / BATCHES)
            body = {"rows": ROWS, "class_counts": {"stays": ROWS - LEAVES, "leaves": LEAVES}}
            attributes = {"ml.model.name": MODEL, "ml.prediction.count": ROWS}
            logger.emit(
                LogRecord(timestamp=time.time_ns(), event_name="ml.prediction", body=body, attributes=attributes)
            )
            rows.add(ROWS)
    for provider in (logs, spans, metrics):
        assert provider.force_flush()
        provider.shutdown()


if __name__ == "__main__":
    main(sys.argv[1])
