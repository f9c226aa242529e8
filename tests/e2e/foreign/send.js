// Spans, logs and metrics by the JavaScript SDK over OTLP/HTTP with JSON; the intake's address is the first argument.
// Prints what every exporter was told, one JSON object.
"use strict";
const { SpanKind, SpanStatusCode, trace, context } = require("@opentelemetry/api");
const { SeverityNumber } = require("@opentelemetry/api-logs");
const { OTLPTraceExporter } = require("@opentelemetry/exporter-trace-otlp-http");
const { OTLPLogExporter } = require("@opentelemetry/exporter-logs-otlp-http");
const { OTLPMetricExporter } = require("@opentelemetry/exporter-metrics-otlp-http");
const { resourceFromAttributes } = require("@opentelemetry/resources");
const { BasicTracerProvider, SimpleSpanProcessor, InMemorySpanExporter } = require("@opentelemetry/sdk-trace-base");
const { LoggerProvider, SimpleLogRecordProcessor, InMemoryLogRecordExporter } = require("@opentelemetry/sdk-logs");
const { MeterProvider, PeriodicExportingMetricReader, AggregationTemporality } = require("@opentelemetry/sdk-metrics");

const url = process.argv[2];
const compression = process.argv[3] || "none";
const resource = resourceFromAttributes({ "service.name": "js-client" });

function send(exporter, items) {
  return new Promise((resolve) => {
    exporter.export(items, (result) => resolve(result.code === 0 ? "ok" : String(result.error)));
  });
}

async function main() {
  const told = {};
  const spans = new InMemorySpanExporter();
  const tracer = new BasicTracerProvider({ resource, spanProcessors: [new SimpleSpanProcessor(spans)] }).getTracer("t");
  const parent = tracer.startSpan("POST /predict", { kind: SpanKind.SERVER });
  const child = tracer.startSpan("inference", {}, trace.setSpan(context.active(), parent));
  child.setAttributes({
    huge: 1e300, large: Number.MAX_SAFE_INTEGER * 8, nan: NaN, infinite: Infinity, negative: -5,
    half: 0.5, yes: true, list: ["a", "b"], empty: "",
  });
  child.addEvent("scored", { rows: 3 });
  child.setStatus({ code: SpanStatusCode.ERROR, message: "no such class" });
  child.end();
  parent.end();
  told.traces = await send(new OTLPTraceExporter({ url: url + "/v1/traces", compression }), spans.getFinishedSpans());

  const records = new InMemoryLogRecordExporter();
  const loggers = new LoggerProvider({ resource, processors: [new SimpleLogRecordProcessor(records)] });
  const logger = loggers.getLogger("t");
  logger.emit({ severityNumber: SeverityNumber.WARN, severityText: "WARN", body: "slow", attributes: { ms: 1e21 } });
  logger.emit({ severityNumber: SeverityNumber.INFO, body: { nested: { score: NaN, n: 7 } } });
  told.logs = await send(new OTLPLogExporter({ url: url + "/v1/logs", compression }), records.getFinishedLogRecords());

  const exporter = new OTLPMetricExporter({
    url: url + "/v1/metrics", compression, temporalityPreference: AggregationTemporality.DELTA,
  });
  const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 3600_000 });
  const meter = new MeterProvider({ resource, readers: [reader] }).getMeter("t");
  meter.createCounter("requests").add(3, { route: "/predict" });
  meter.createHistogram("latency", { unit: "s" }).record(0.25);
  meter.createGauge("temperature").record(NaN);
  const { resourceMetrics } = await reader.collect();
  told.metrics = await send(exporter, resourceMetrics);
  console.log(JSON.stringify(told));
}

main().then(() => process.exit(0), (error) => { console.error(error); process.exit(1); });
