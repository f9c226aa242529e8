"""Tables that are typed in Python and in Rust are equal: names, aliases, severities, field numbers, limits.

`sidecar_native.tables()` hands out the core's; a table that is added there has to be added here, or this fails."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import pytest

from sidecar.decode import api
from sidecar.decode.documents import otel
from sidecar.decode.logs import fields, severity
from sidecar.decode.otlp import limits, terms
from sidecar.decode.otlp.schema import MESSAGES, WIRE_TYPES
from sidecar.decode.predictions import event
from sidecar.decode.redaction import rules
from sidecar.derive.drift import value_flags

#: Metrics are read in Python only.
ONLY_REFERENCE = frozenset(
    {"ExportMetricsServiceRequest", "ResourceMetrics", "ScopeMetrics", "Metric", "Gauge", "Sum", "Histogram", "Summary"}
    | {"ExponentialHistogram", "NumberDataPoint", "HistogramDataPoint", "ExponentialHistogramDataPoint", "Buckets"}
    | {"SummaryDataPoint", "ValueAtQuantile", "Exemplar"}
)
ROLES = (
    "TIME", "TRACE_ID", "SPAN_ID", "SERVICE", "BODY", "EXCEPTION_TYPE", "EXCEPTION_MESSAGE", "STACKTRACE",
)  # fmt: skip
LEVEL_NAMES = tuple(name for name, _ in fields.LEVEL)


def reference() -> dict[str, Any]:
    """The same tables of the Python decoder."""
    bounds = {name: value for name, value in vars(limits).items() if name.startswith("MAX_")}
    rule_bounds = {name: getattr(rules, name) for name in ("MAX_RULES", "MAX_SEARCHES", "HASH_DIGITS")}
    return {
        "fields": {
            message: {field.name: (field.number, WIRE_TYPES[field.kind]) for field in known}
            for message, known in MESSAGES.items()
            if message not in ONLY_REFERENCE
        },
        "limits": {**bounds, **rule_bounds, "MAX_ROWS": event.MAX_ROWS},
        "span_kinds": api.SPAN_KINDS,
        "status_codes": api.STATUS_CODES,
        "document_kinds": otel.KINDS,
        "document_statuses": otel.STATUSES,
        "beginnings": list(terms.BEGINNINGS),
        "unknown_service": api.UNKNOWN_SERVICE,
        "log_members": {
            "LEVEL": LEVEL_NAMES,
            **{role: getattr(fields, role) for role in ROLES},
        },
        "log_time_pair": fields.TIME_PAIR,
        "log_objects": fields.OBJECTS,
        "log_number_levels": dict(fields.LEVEL),
        "decimal_ids": fields.DECIMAL_IDS,
        "sure_stacktraces": frozenset(fields.SURE_STACKTRACE),
        "severities": severity.NAMES,
        "severity_spellings": {name.upper(): shown for name, shown in severity.SPELLINGS.items()},
        "python_levels": severity.PYTHON,
        "pino_levels": severity.PINO,
        "syslog_levels": severity.SYSLOG,
        "spoken_levels": severity.SPOKEN,
        "prefix_levels": severity.PREFIXES,
        "abbreviated_levels": severity.ABBREVIATED,
        "prediction_texts": event.GROUP_TEXTS,
        "feature_kinds": {kind.name: kind.value for kind in api.FeatureKind},
        "feature_flags": value_flags.FLAGS,
        "masked": rules.MASKED,
        "cut": rules.CUT,
    }


def core() -> dict[str, Any]:
    native = pytest.importorskip("sidecar_native", reason="the native core is not installed")
    tables: dict[str, Any] = native.tables()
    return tables


def differences(expected: Mapping[str, Any], found: Mapping[str, Any], path: str = "") -> list[str]:
    """Paths at which two trees of tables differ. Sets are compared without order, lists and tuples alike."""
    wrong = [f"{path}{name}: only on one side" for name in expected.keys() ^ found.keys()]
    for name in expected.keys() & found.keys():
        mine, theirs = expected[name], found[name]
        if isinstance(mine, Mapping) and isinstance(theirs, Mapping):
            wrong += differences(mine, theirs, f"{path}{name}.")
        elif _plain(mine) != (frozenset(_text(theirs)) if isinstance(mine, frozenset) else _plain(theirs)):
            wrong.append(f"{path}{name}: {mine!r} in Python, {theirs!r} in Rust")
    return sorted(wrong)


def _plain(value: Any) -> Any:
    if isinstance(value, frozenset):
        return frozenset(_text(value))
    return tuple(_plain(element) for element in value) if isinstance(value, list | tuple) else value


def _text(values: Any) -> Any:
    return [value.decode() if isinstance(value, bytes) else value for value in values]


def test_tables_typed_on_both_sides_are_equal() -> None:
    assert differences(reference(), core()) == []


@pytest.mark.parametrize(
    ("path", "changed"),
    [
        (("fields", "LogRecord", "body"), (6, 2)),
        (("limits", "MAX_ATTRIBUTES"), 1023),
        (("span_kinds",), ("SPAN_KIND_UNSPECIFIED",)),
        (("log_members", "TIME"), ("ts", "timestamp")),
        (("log_objects",), ("log",)),
        (("severities", "warn"), 14),
        (("severities", "another"), 1),
        (("python_levels",), [(50, 18)]),
        (("cut",), b"..."),
    ],
)
def test_a_difference_is_found_and_named(path: tuple[str, ...], changed: object) -> None:
    tables = copy.deepcopy(core())
    table = tables
    for name in path[:-1]:
        table = table[name]
    table[path[-1]] = changed
    (wrong,) = differences(reference(), tables)
    assert wrong.startswith(".".join(path) + ":")
