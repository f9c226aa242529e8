"""Telemetry sidecar for model containers."""

__version__ = "0.1.0"
