"""Predictions of machine-learning frameworks as OpenTelemetry spans and events, without a change to the app.

Loaded by OpenTelemetry's auto-instrumentation through the entry points `opentelemetry_instrumentor`. Nothing here
imports a framework: each instrumentor waits until the app does.
"""

__version__ = "0.1.0"
