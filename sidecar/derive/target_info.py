"""Resources as `target_info`: one series for each `job` and `instance`, whatever signal it came with.

`job` is `service.namespace/service.name` (without the slash where there is no namespace), `instance` is
`service.instance.id`; the other resource attributes become labels (OpenTelemetry's Prometheus compatibility rules).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from sidecar.decode.api import UNKNOWN_SERVICE, Resource
from sidecar.derive.families import FamilySnapshot, Points, label_text, labels_of
from sidecar.derive.series import pack_labels, unpack_labels

_HELP = "Attributes of the resource that telemetry came from."
_PREFIX = b"target\0"
_REFRESH_NS = 600 * 10**9
MAX_CHARACTERS = 4 << 20
"""Of the label text of all targets together."""


def job_and_instance(resource: Resource) -> tuple[str, str]:
    """The labels that stand for a resource."""
    known = dict(resource)
    name = known.get("service.name") or UNKNOWN_SERVICE
    namespace = known.get("service.namespace")
    return (f"{namespace}/{name}" if namespace else name), known.get("service.instance.id", "")


class Targets:
    """The targets seen of late, at most `budget`. Not thread-safe: the engine's lock guards it.

    Where there is an instance the latest attributes of it count. Pods of a job without instance ids cannot be told
    apart: the first one's attributes stay until it is idle, so that the series does not change with every batch.
    """

    def __init__(self, budget: int) -> None:
        self.overflowed = 0
        """Resources seen for which there was no room."""
        self._budget = budget
        self._texts: dict[tuple[str, str], str] = {}
        self._seen: dict[tuple[str, str], int] = {}
        self._kept: dict[tuple[str, str], int] = {}
        self._keys: dict[Resource, tuple[str, str]] = {}
        self._deleted: set[tuple[str, str]] = set()
        self._characters = 0

    def __len__(self) -> int:
        return len(self._texts)

    def see(self, resources: Sequence[Resource], now: int) -> None:
        """These resources sent something at this time (Unix ns)."""
        for resource in resources:
            key = self._keys.get(resource)
            if key is None:
                key = self._take_in(resource)
            if key is not None:
                self._seen[key] = max(now, self._seen.get(key, 0))

    def expire(self, now: int, ttl: int) -> None:
        """Take away targets not seen for longer than `ttl` ns at `now` (Unix ns)."""
        gone = {key for key, seen in self._seen.items() if seen < now - ttl}
        for key in gone:
            self._characters -= len(self._texts.pop(key))
            del self._seen[key]
            self._kept.pop(key, None)
            self._deleted.add(key)
        if gone:
            self._keys.clear()

    def sizes(self) -> Iterator[tuple[str, int]]:
        """(metric, series)."""
        yield "target_info", len(self)

    def overflow(self) -> Iterator[tuple[str, str, int]]:
        """(metric, label, resources that overflowed), if there are any."""
        if self.overflowed:
            yield "target_info", "instance", self.overflowed

    def checkpoint(self) -> Iterator[tuple[bytes, bytes | None]]:
        """What changed since the last call. That a target is still there is written every ten minutes only."""
        for key in self._deleted:
            yield _PREFIX + pack_labels(key), None
        self._deleted.clear()
        for key, text in self._texts.items():
            seen = self._seen[key]
            if key not in self._kept or seen - self._kept[key] > _REFRESH_NS:
                self._kept[key] = seen
                yield _PREFIX + pack_labels(key), seen.to_bytes(8, "little") + text.encode()

    def restore(self, state: Mapping[bytes, bytes]) -> set[bytes]:
        """Take over the kept targets; the keys that were of use."""
        return {key for key, value in state.items() if key.startswith(_PREFIX) and self._take_over(key, value)}

    def _take_over(self, key: bytes, value: bytes) -> bool:
        labels = unpack_labels(key.removeprefix(_PREFIX))
        if labels is None or len(labels) != 2 or len(value) < 8:
            return False
        target = (labels[0], labels[1])
        self._texts[target] = value[8:].decode("utf-8", "replace")
        self._characters += len(self._texts[target])
        self._seen[target] = self._kept[target] = int.from_bytes(value[:8], "little")
        return True

    def snapshot(self, name: str = "target") -> FamilySnapshot:
        """The info family; `name` is without `_info`."""
        texts = list(self._texts.values())
        return FamilySnapshot(name, "info", _HELP, "", (Points(texts, [1] * len(texts)),))

    def _take_in(self, resource: Resource) -> tuple[str, str] | None:
        key = job_and_instance(resource)
        known = key in self._texts
        if not known and (len(self._texts) >= self._budget or self._characters >= MAX_CHARACTERS):
            self.overflowed += 1
            return None
        if not known or key[1]:
            text = _text(key, resource)
            if text != self._texts.get(key):
                self._characters += len(text) - len(self._texts.get(key, ""))
                self._texts[key] = text
                self._kept.pop(key, None)
                self._deleted.discard(key)
            for other in [other for other, its in self._keys.items() if its == key]:
                del self._keys[other]
        if len(self._keys) >= 2 * self._budget:
            self._keys.clear()
        self._keys[resource] = key
        return key


def _text(key: tuple[str, str], resource: Resource) -> str:
    identity = ("service.name", "service.namespace", "service.instance.id")
    others = labels_of([(k, v) for k, v in resource if k not in identity], ("job", "instance"), "resource_")
    return label_text(["job", "instance", *others], [*key, *others.values()])
