"""Prometheus names of OTLP metrics (OpenTelemetry's Prometheus compatibility rules; units are UCUM codes)."""

from __future__ import annotations

import re

from sidecar.decode.otlp.metrics import PointKind
from sidecar.derive.families import Kind

_UNITS = {
    "d": "days",
    "h": "hours",
    "min": "minutes",
    "s": "seconds",
    "ms": "milliseconds",
    "us": "microseconds",
    "ns": "nanoseconds",
    "By": "bytes",
    "KiBy": "kibibytes",
    "MiBy": "mebibytes",
    "GiBy": "gibibytes",
    "TiBy": "tibibytes",
    "KBy": "kilobytes",
    "MBy": "megabytes",
    "GBy": "gigabytes",
    "TBy": "terabytes",
    "m": "meters",
    "V": "volts",
    "A": "amperes",
    "J": "joules",
    "W": "watts",
    "g": "grams",
    "Cel": "celsius",
    "Hz": "hertz",
    "%": "percent",
    "1": "",
}
_PER = {"s": "second", "m": "minute", "h": "hour", "d": "day", "w": "week", "mo": "month", "y": "year"}
_NOT_NAME = re.compile(r"[^a-zA-Z0-9:]+")
_NOT_UNIT = re.compile(r"[^a-zA-Z0-9]+")
_ANNOTATION = re.compile(r"\{[^}]*\}")


def family_kind(kind: PointKind, monotonic: bool) -> Kind:
    """The Prometheus type: a sum that may fall is a gauge, an exponential histogram is shown with explicit buckets."""
    if kind == "sum":
        return "counter" if monotonic else "gauge"
    return "histogram" if kind == "exponential_histogram" else kind


def unit_name(unit: str) -> str:
    """The unit as a part of a name: `By/s` -> `bytes_per_second`; annotations in braces are left out."""
    main, slash, per = _ANNOTATION.sub("", unit).strip().partition("/")
    main, per = main.strip(), per.strip()
    parts = [_UNITS.get(main, main)]
    if slash and per:
        parts += ["per", _PER.get(per, per)]
    return _NOT_UNIT.sub("_", "_".join(part for part in parts if part)).strip("_")


def family_name(name: str, unit: str, kind: Kind) -> tuple[str, str]:
    """(name of the family without `_total`, its unit). The name ends in the unit; a gauge of unit 1 in `ratio`."""
    clean = _NOT_NAME.sub("_", name).strip("_") or "_"
    if clean[0].isdigit():
        clean = f"_{clean}"
    if kind == "counter":
        clean = clean.removesuffix("_total")
    suffix = "ratio" if unit == "1" and kind == "gauge" else unit_name(unit)
    if suffix and clean != suffix and not clean.endswith(f"_{suffix}"):
        clean = f"{clean}_{suffix}"
    return clean, suffix
