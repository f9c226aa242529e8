"""A reference from the first rows of a model that has none. What was collected is kept with the place in the log."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator

import numpy as np

from sidecar.decode.api import FeatureKind
from sidecar.derive.drift.column_samples import Sample
from sidecar.derive.drift.library import Key, key_of
from sidecar.derive.drift.observations import Model
from sidecar.derive.drift.reference import CategoryColumn, NumberColumn, Reference
from sidecar.derive.drift.reference_builder import CategoryBuilder, NumberBuilder

MAX_VALUES = 2_000_000
"""Values that are collected of one model; with more features, fewer rows become the reference."""
_NUMERIC_SHARE = 0.99


class Learning:
    """Collects samples of one model. Not thread-safe."""

    def __init__(self, model: Model, rows: int, max_columns: int) -> None:
        self.model = model
        self._rows, self._max_columns = rows, max_columns
        self._samples: dict[Key, list[Sample]] = {}
        self._sizes: dict[Key, int] = {}
        self._chunks: list[bytes] = []
        self._saved = 0

    @property
    def done(self) -> bool:
        """There are rows enough."""
        return max(self._sizes.values(), default=0) >= self._rows or sum(self._sizes.values()) >= MAX_VALUES

    def add(self, sample: Sample) -> bool:
        """Collect values, as many as are still wanted; False where there are too many columns."""
        key = key_of(sample.role, sample.name)
        if key not in self._samples and len(self._samples) >= self._max_columns:
            return False
        left = self._rows - self._sizes.get(key, 0)
        size = len(sample.kind) if sample.counted is None else sum(sample.counted.values())
        if left > 0 and size:
            kept = _cut(sample, left)
            self._samples.setdefault(key, []).append(kept)
            self._sizes[key] = self._sizes.get(key, 0) + size
            self._chunks.append(_packed(kept))
        return True

    def reference(self) -> Reference:
        """What was collected, as a reference."""
        columns = [_column(samples) for _, samples in sorted(self._samples.items())]
        rows = max((column.rows for column in columns), default=0)
        return Reference(model=self.model[0], model_version=self.model[1], rows=rows, columns=tuple(columns))

    def checkpoint(self) -> Iterator[tuple[int, bytes]]:
        """(number, value) of what is new since the last call."""
        yield from enumerate(self._chunks, self._saved)
        self._saved += len(self._chunks)
        self._chunks.clear()

    def chunks(self) -> int:
        """How many `checkpoint` gave."""
        return self._saved

    def restore(self, chunks: list[bytes]) -> None:
        """Take over what was collected. Raises ValueError for what is not from here."""
        for chunk in chunks:
            self.add(_unpacked(chunk))
        self._chunks.clear()
        self._saved = len(chunks)


def _cut(sample: Sample, rows: int) -> Sample:
    if sample.counted is not None:
        return sample
    kind, number = sample.kind[:rows], sample.number[:rows]
    used = np.unique(number[kind == FeatureKind.TEXT]).astype(int)
    places = {old: new for new, old in enumerate(used.tolist())}
    own = [
        float(places[int(n)]) if k == FeatureKind.TEXT else n
        for k, n in zip(kind.tolist(), number.tolist(), strict=True)
    ]
    texts = [sample.texts[old] for old in places]
    return Sample(sample.name, sample.role, kind.copy(), np.array(own, np.float64), texts)


def _column(samples: list[Sample]) -> NumberColumn | CategoryColumn:
    first = samples[0]
    kind = np.concatenate([sample.kind for sample in samples])
    number = np.concatenate([sample.number for sample in samples])
    present = np.count_nonzero(kind != FeatureKind.MISSING)
    numeric = np.count_nonzero(kind == FeatureKind.NUMBER)
    if all(sample.counted is None for sample in samples) and numeric >= _NUMERIC_SHARE * present:
        numbers = NumberBuilder(first.name, first.role, number[kind == FeatureKind.NUMBER])
        numbers.add(kind, number)
        return numbers.column()
    categories = CategoryBuilder(first.name, first.role)
    for sample in samples:
        categories.add(sample.kind, sample.number, sample.texts)
        for name, count in (sample.counted or {}).items():
            categories.count(name, count)
    return categories.column()


def _packed(sample: Sample) -> bytes:
    fields = [sample.name, sample.role, sample.kind.tolist(), sample.number.tolist(), sample.texts, sample.counted]
    return zlib.compress(json.dumps(fields).encode(), 1)


def _unpacked(data: bytes) -> Sample:
    try:
        name, role, kind, number, texts, counted = json.loads(zlib.decompress(data))
        return Sample(name, role, np.array(kind, np.uint8), np.array(number, np.float64), texts, counted)
    except (zlib.error, TypeError) as error:
        raise ValueError("no collected values") from error
