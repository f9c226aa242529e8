"""Bounds on what one record may hold. Constants, not options: ingest and every later reader must agree on them."""

from __future__ import annotations

MAX_DEPTH = 32
"""Nesting of AnyValue (a scalar attribute value has depth 1). A deeper record is refused."""

MAX_ATTRIBUTES = 1024
"""Attributes of one record, event, link, scope or resource. A record with more is refused."""

MAX_ERRORS = 5
"""Messages kept for one payload's refused records."""

MAX_LINE_BYTES = 1 << 20
"""One JSON log line. A longer one is kept cut, as text, and flagged `log.truncated`."""

MAX_LABEL_CHARS = 1024
"""Characters of one group text (service, span name, dimension); the rest is cut."""

MAX_TIME_NS = (1 << 63) - 1
"""Times past 2262-04-11 do not fit signed nanoseconds; such a record is refused."""

MAX_EXPANDED_BYTES = 128 << 20
"""Bytes that a payload's records may come to, each with its resource and scope written out once for itself and once for
each of its span events, as documents are. The record that passes it is refused, and so are those behind it."""
MAX_FEATURES = 1024
"""Columns of features of one event; the others are left out."""
MAX_FEATURE_CHARS = 64
"""Characters of a feature's name, and of a text that is a feature's value."""
MAX_FEATURE_VALUES = 1 << 18
"""Values of features of one event; columns beyond are left out."""
MAX_LEFT_OUT_NAMES = 10
"""Names of features that were left out."""
