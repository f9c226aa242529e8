"""Records that an exporter can encode. One text with a lone surrogate (a file name that is no UTF-8, as Python reads
it), an integer of more than 64 bits or a value of an odd type costs an OTLP exporter the whole batch, and with it the
predictions that happen to be in it.

Every function gives back the object that it was given where there is nothing to repair, and never changes it:
processors of the app hold it as well.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from model_sidecar_instrumentation.columns import Block, Paced

DEPTH = 32
TEXT = 1 << 16
"""Characters of a text. Longer ones are cut: a request that is too large is refused with all that is in it."""
OURS = (Block, Paced)
"""Made of values that an exporter can encode; read once, column by column."""
_PLAIN = frozenset((float, bool, type(None)))
_IDS = frozenset(("trace_id", "span_id"))
"""Of exemplars: integers of 128 and of 64 bits without a sign."""
_LOW, _HIGH, _TIMES = -(1 << 63), 1 << 63, 1 << 64


def text(given: Any) -> str:
    """A text that is UTF-8: surrogates that are pairs become the character that they mean, others U+FFFD."""
    found: str = given if isinstance(given, str) else said(given)
    if len(found) > TEXT:
        found = found[: TEXT - 1] + "…"
    if found.isascii():
        return found
    try:
        found.encode()
    except UnicodeEncodeError:
        return found.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return found


def said(given: Any) -> str:
    """What an object says of itself, whatever its `__str__` does."""
    try:
        return str(given)
    except Exception:
        return f"<{type(given).__name__}>"


def value(given: Any, depth: int = DEPTH) -> Any:
    """A value of an attribute or of a body."""
    kind = type(given)
    if kind in _PLAIN:
        return given
    if isinstance(given, str):
        return text(given)
    if isinstance(given, int):
        return given if _LOW <= given < _HIGH else _digits(given)
    if isinstance(given, (float, bytes)):
        return given
    if isinstance(given, OURS):
        return given
    if depth and isinstance(given, Mapping):
        return _mapping(given, depth - 1)
    if depth and isinstance(given, Sequence):
        return _sequence(given, depth - 1)
    return text(given)


def _digits(given: int) -> str:
    try:
        return str(given)
    except ValueError:  # Python refuses to write integers of very many digits.
        return text(hex(given))


def _sequence(given: Sequence[Any], depth: int) -> Any:
    if type(given) in (list, tuple) and _PLAIN.issuperset(map(type, given)):
        return given
    made = [value(element, depth) for element in given]
    return given if all(new is old for new, old in zip(made, given)) else made


def _mapping(given: Mapping[Any, Any], depth: int) -> Any:
    made = {text(key): value(element, depth) for key, element in given.items()}
    same = all(new is old for pair in zip(made.items(), given.items()) for new, old in zip(*pair))
    return given if same and len(made) == len(given) else made


def attributes(given: Any) -> Any:
    """Those of a record. How many were dropped before is kept."""
    if not given:
        return given
    made = _mapping(given, DEPTH)
    if made is given:
        return given
    from opentelemetry.attributes import BoundedAttributes

    kept = BoundedAttributes(attributes=made, immutable=False)
    kept.dropped = getattr(given, "dropped", 0)
    return kept


def _time(given: Any) -> int | None:
    """Nanoseconds since 1970, as an exporter takes them."""
    if given is None or (type(given) is int and 0 <= given < _TIMES):
        return given
    try:
        return min(max(int(given), 0), _TIMES - 1)
    except (TypeError, ValueError, OverflowError):
        return 0


def _optional(given: Any) -> str | None:
    return None if given is None else text(given)


def _changed(given: Any, names: Mapping[str, Any]) -> Any:
    """A copy of `given` with these attributes, if any of them is another object than before."""
    changes = {name: new for name, new in names.items() if new is not getattr(given, name, None)}
    if not changes:
        return given
    made = copy.copy(given)
    for name, new in changes.items():
        object.__setattr__(made, name, new)
    return made


class Repair:
    """Repairs the batches of one exporter. `repaired`: records that were changed."""

    def __init__(self) -> None:
        self.repaired = 0
        self._resources: dict[int, tuple[Any, Any]] = {}

    def logs(self, batch: Sequence[Any]) -> list[Any]:
        return [self._counted(item, self._log(item)) for item in batch]

    def spans(self, batch: Sequence[Any]) -> list[Any]:
        return [self._counted(item, self._span(item)) for item in batch]

    def metrics(self, data: Any) -> Any:
        return self._counted(data, self._tree(data))

    def _counted(self, before: Any, after: Any) -> Any:
        if after is not before:
            self.repaired += 1
        return after

    def _log(self, item: Any) -> Any:
        record = item.log_record
        fixed = {
            "body": value(record.body),
            "attributes": attributes(record.attributes),
            "timestamp": _time(record.timestamp),
            "observed_timestamp": _time(record.observed_timestamp),
            "severity_text": _optional(record.severity_text),
        }
        if getattr(record, "event_name", None) is not None:
            fixed["event_name"] = text(record.event_name)
        if hasattr(record, "resource"):  # There until version 1.38 of the SDK.
            fixed["resource"] = self._resource(record.resource)
        around = {
            "log_record": _changed(record, fixed),
            "instrumentation_scope": self._scope(item.instrumentation_scope),
        }
        if hasattr(item, "resource"):
            around["resource"] = self._resource(item.resource)
        return _changed(item, around)

    def _span(self, span: Any) -> Any:
        from opentelemetry.sdk.trace import ReadableSpan

        before = {
            "name": span.name,
            "resource": span.resource,
            "attributes": span.attributes,
            "events": span.events,
            "links": span.links,
            "status": span.status,
            "start_time": span.start_time,
            "end_time": span.end_time,
            "instrumentation_scope": span.instrumentation_scope,
        }
        after = {
            "name": text(before["name"]),
            "resource": self._resource(before["resource"]),
            "attributes": attributes(before["attributes"]),
            "events": _each(before["events"], _event),
            "links": _each(before["links"], _link),
            "status": _status(before["status"]),
            "start_time": _time(before["start_time"]),
            "end_time": _time(before["end_time"]),
            "instrumentation_scope": self._scope(before["instrumentation_scope"]),
        }
        if all(after[name] is before[name] for name in before):
            return span
        return ReadableSpan(context=span.get_span_context(), parent=span.parent, kind=span.kind, **after)

    def _resource(self, resource: Any) -> Any:
        if resource is None:
            return None
        known = self._resources.get(id(resource))
        if known is not None:
            return known[1]
        made = value(dict(resource.attributes))
        fixed = resource
        if made != dict(resource.attributes):
            from opentelemetry.sdk.resources import Resource

            fixed = Resource(made, resource.schema_url)
        if len(self._resources) < 100:
            self._resources[id(resource)] = (resource, fixed)
        return fixed

    def _scope(self, scope: Any) -> Any:
        if scope is None:
            return None
        name, version = text(scope.name), _optional(scope.version)
        if name is scope.name and version is scope.version:
            return scope
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope

        return InstrumentationScope(name, version, _optional(scope.schema_url))

    def _tree(self, item: Any) -> Any:
        """Metrics are dataclasses in dataclasses."""
        if type(item).__name__ == "Resource":
            return self._resource(item)
        if type(item).__name__ == "InstrumentationScope":
            return self._scope(item)
        if dataclasses.is_dataclass(item):
            names = (field.name for field in dataclasses.fields(item))
            return _changed(item, {name: self._field(getattr(item, name)) for name in names if name not in _IDS})
        return item

    def _field(self, found: Any) -> Any:
        if isinstance(found, str):
            return text(found)
        if isinstance(found, Mapping):
            return value(found)
        if isinstance(found, int):
            return found if _LOW <= found < _HIGH else _number(found)
        if isinstance(found, (list, tuple)):
            made = [self._tree(element) for element in found]
            return found if all(new is old for new, old in zip(made, found)) else made
        return self._tree(found)


def _number(given: int) -> float:
    try:
        return float(given)
    except OverflowError:
        return math.copysign(math.inf, given)


def _each(given: Any, repaired: Any) -> Any:
    made = [repaired(item) for item in given]
    return given if all(new is old for new, old in zip(made, given)) else made


def _event(event: Any) -> Any:
    return _changed(
        event,
        {
            "_name": text(event.name),
            "_attributes": attributes(event.attributes),
            "_timestamp": _time(event.timestamp),
        },
    )


def _link(link: Any) -> Any:
    fixed = attributes(link.attributes)
    return link if fixed is link.attributes else type(link)(link.context, fixed)


def _status(status: Any) -> Any:
    if status is None or status.description is None:
        return status
    fixed = text(status.description)
    return status if fixed is status.description else type(status)(status.status_code, fixed)
