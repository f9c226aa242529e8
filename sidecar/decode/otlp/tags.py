"""Keys on the wire of the fields that are read by hand, by message and field. `schema` has the numbers."""

from __future__ import annotations

from sidecar.decode.otlp.schema import MESSAGES, tag


def _same(*fields: tuple[str, str]) -> int:
    """The key of a field that stands at the same place in requests of all signals, so that one walk reads them."""
    (found,) = {tag(message, name) for message, name in fields}
    return found


_SIGNALS = (("Trace", "Spans", "spans"), ("Logs", "Logs", "log_records"), ("Metrics", "Metrics", "metrics"))

#: Of a request: what each resource has.
RESOURCES = _same(*((f"Export{kind}ServiceRequest", f"resource_{name.lower()}") for kind, name, _ in _SIGNALS))
#: Of an element of those: the resource itself; and of an element of that: the scope itself.
HEAD = _same(
    *((f"Resource{name}", "resource") for _, name, _ in _SIGNALS),
    *((f"Scope{name}", "scope") for _, name, _ in _SIGNALS),
)
#: Of an element of a request: its scopes; and of those: their records (spans, log records, metrics).
CHILDREN = _same(
    *((f"Resource{name}", f"scope_{name.lower()}") for _, name, _ in _SIGNALS),
    *((f"Scope{name}", records) for _, name, records in _SIGNALS),
)
#: Of either element.
SCHEMA_URL = _same(*((f"{outer}{name}", "schema_url") for outer in ("Resource", "Scope") for _, name, _ in _SIGNALS))

RESOURCE_ATTRIBUTE = tag("Resource", "attributes")
SCOPE_NAME = tag("InstrumentationScope", "name")

SPAN_PARENT = tag("Span", "parent_span_id")
SPAN_NAME = tag("Span", "name")
SPAN_END_TIME = tag("Span", "end_time_unix_nano")
SPAN_ATTRIBUTE = tag("Span", "attributes")
SPAN_EVENT = tag("Span", "events")
SPAN_STATUS = tag("Span", "status")
STATUS_CODE = tag("Status", "code")
EVENT_TIME = tag("Event", "time_unix_nano")
EVENT_NAME = tag("Event", "name")
LINK_TRACE_ID = tag("Link", "trace_id")
LINK_SPAN_ID = tag("Link", "span_id")

LOG_TIME = tag("LogRecord", "time_unix_nano")
LOG_OBSERVED_TIME = tag("LogRecord", "observed_time_unix_nano")
LOG_BODY = tag("LogRecord", "body")
LOG_ATTRIBUTE = tag("LogRecord", "attributes")
LOG_EVENT_NAME = tag("LogRecord", "event_name")

KEY = tag("KeyValue", "key")
VALUE = tag("KeyValue", "value")
#: Of arrays and of maps.
ELEMENT = _same(("ArrayValue", "values"), ("KeyValueList", "values"))
STRING = tag("AnyValue", "string_value")
BOOL = tag("AnyValue", "bool_value")
INT = tag("AnyValue", "int_value")
DOUBLE = tag("AnyValue", "double_value")
ARRAY = tag("AnyValue", "array_value")
MAP = tag("AnyValue", "kvlist_value")
BYTES = tag("AnyValue", "bytes_value")
#: Every value that an AnyValue may have.
VARIANTS = frozenset(field.tag for field in MESSAGES["AnyValue"])
