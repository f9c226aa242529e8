"""Whose log lines are they? The services that send spans to this sidecar, for lines that name none.

A pod's containers share the sidecar. Where one service alone has sent spans lately, lines that do not say whose they
are get its resource; where several have, and the line's container is known, that of the container's service. A guess
between several would be worse than none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from sidecar.decode.otlp.encode import key_value
from sidecar.decode.otlp.message import read_pair
from sidecar.decode.otlp.tags import HEAD, RESOURCE_ATTRIBUTE, RESOURCES
from sidecar.decode.otlp.wire import messages
from sidecar.errors import DecodeError

LEARN_EVERY_NS = 1_000_000_000
FORGET_AFTER_NS = 600 * 1_000_000_000
MAX_SERVICES = 64
MAX_ATTRIBUTES = 64
MAX_CHARS = 256
"""Of one attribute's value; a longer one is not taken over."""
KEPT = ("service.", "deployment.", "k8s.", "container.name", "host.name")
"""Beginnings of the attributes that say whose lines they are; others describe the process that sent the spans."""
CONTAINER = "k8s.container.name"
UNKNOWN = "unknown_service"
"""What an SDK says that was given no name."""


@dataclass(frozen=True, slots=True)
class _Seen:
    attributes: Mapping[str, str]
    at: int


class ResourceResolver:
    """Resources by service name. Calls may come from several threads: each replaces or reads whole values."""

    def __init__(self, clock: Callable[[], int], resource: Mapping[str, str], learn: bool = True) -> None:
        """`resource`: attributes that lines without a service get in any case. `learn`: from spans, too."""
        self._clock, self._resource, self._learn = clock, dict(resource), learn
        self._seen: dict[str, _Seen] = {}
        self._learnt_at = -LEARN_EVERY_NS

    def learn(self, payload: bytes) -> None:
        """Check an accepted trace request, at most once a second."""
        now = self._clock()
        if not self._learn or 0 <= now - self._learnt_at < LEARN_EVERY_NS:
            return
        self._learnt_at = now
        seen = {name: known for name, known in self._seen.items() if now - known.at < FORGET_AFTER_NS}
        try:
            for attributes in _resources(payload):
                name = attributes.get("service.name", "")
                if name and not name.startswith(UNKNOWN) and (name in seen or len(seen) < MAX_SERVICES):
                    seen[name] = _Seen(attributes, now)
        except DecodeError:  # The check has passed it: it cannot be. A guess is not worth a fault.
            return
        self._seen = seen

    def anonymous(self, container: str = "") -> bytes:
        """Content of the Resource of lines that name no service; empty where that is not known."""
        attributes = {**self._inferred(container), **self._resource}
        return b"".join(key_value(1, key, value) for key, value in attributes.items())

    def _inferred(self, container: str) -> Mapping[str, str]:
        now = self._clock()
        seen = [known.attributes for known in self._seen.values() if now - known.at < FORGET_AFTER_NS]
        if container and len(seen) > 1:
            seen = [attributes for attributes in seen if attributes.get(CONTAINER) == container]
        return seen[0] if len(seen) == 1 else {}


def _resources(payload: bytes) -> Iterator[dict[str, str]]:
    """The attributes of each resource that say whose it is."""
    for a, b in messages(payload, 0, len(payload), RESOURCES):
        heads = list(messages(payload, a, b, HEAD))
        if heads:
            yield _attributes(payload, *heads[-1])


def _attributes(payload: bytes, a: int, b: int) -> dict[str, str]:
    found: dict[str, str] = {}
    for c, d in messages(payload, a, b, RESOURCE_ATTRIBUTE):
        if len(found) >= MAX_ATTRIBUTES:
            break
        key, value = read_pair(payload, c, d)
        if isinstance(value, str) and len(value) <= MAX_CHARS and key.startswith(KEPT):
            found.setdefault(key, value)
    return found
