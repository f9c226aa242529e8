"""One column's counters, and its counts of the last so many sub-windows."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Iterator
from itertools import chain
from typing import NamedTuple

import numpy as np

from sidecar.derive.drift.column_bins import ColumnBins
from sidecar.derive.drift.counts import TAILS, packed, saturating, unpacked
from sidecar.derive.drift.methods.method import Comparison
from sidecar.derive.drift.sub_windows import SubWindows
from sidecar.derive.drift.value_flags import FLAGS
from sidecar.derive.series import I64


class Counters(NamedTuple):
    """What a column's values add up to."""

    totals: I64
    """Rows of each bin."""
    flags: I64
    """Of each of FLAGS."""
    sums: I64
    """Of the values of each bin, as whole numbers (`ColumnBins.value`)."""


class ColumnWindow:
    """Counts are whole numbers, so that they do not depend on the order of records. Not thread-safe."""

    __slots__ = (
        "_before",
        "_closed",
        "_dirty",
        "_earlier",
        "_gone",
        "_lag",
        "_new",
        "_now",
        "_past",
        "_ring",
        "bins",
        "last_value",
    )

    def __init__(self, bins: ColumnBins, lag: int = 0) -> None:
        """`lag`: sub-windows by which an older window lies behind that is compared with; 0 for none."""
        self.bins = bins
        self._lag = lag
        self._earlier: I64 = np.zeros(bins.bins + len(FLAGS) + bins.bins, np.int64)
        """Rows of each bin, flags, and sums of each bin, since the reference came into force, without those of the
        sub-window at hand: so there is one addition for each batch of values."""
        self.last_value = 0
        """When the last value came that is not missing, Unix ns; 0 where none did."""
        self._now: I64 = np.zeros(bins.counts_length, np.int64)
        """Of the sub-window at hand, as `FeatureCounts.counts` has it."""
        self._closed = packed(self._open)
        """Cells, flags and tails of those before; packed, since it is read at checks only."""
        self._ring = SubWindows()
        """The counts of each of those."""
        self._past = SubWindows()
        """The same of those that are no longer in the window."""
        self._before: tuple[range, I64] | None = None
        """The last answer of `between`."""
        self._dirty = True
        self._new: list[int] = []
        self._gone: list[int] = []

    @property
    def _open(self) -> I64:
        """Cells, flags and tails of the sub-window at hand."""
        return self._now[: -self.bins.bins]

    def _before_open(self) -> I64:
        return unpacked(self._closed, len(self._open))

    def _whole(self) -> I64:
        """Cells, flags and tails of all sub-windows."""
        return self._before_open() + self._open

    def _zeros(self) -> I64:
        return np.zeros(len(self._open), np.int64)

    def add(self, counted: I64) -> None:
        """Count values, given as `FeatureCounts.counts` has them."""
        saturating(self._now, counted)
        self._dirty = True

    def counters(self) -> Counters:
        """Since the reference came into force."""
        bins = self.bins.bins
        return Counters(*np.split(self._counters(), [bins, bins + len(FLAGS)]))

    def _counters(self) -> I64:
        cells, flags, sums = self.bins.cells, self.bins.flags_of(self._now), self._now[-self.bins.bins :]
        found = self._earlier.copy()
        saturating(found, np.concatenate([self._in_bins(self._now[:cells]), flags, sums]))
        return found

    def close(self, sub_window: int, oldest: int) -> None:
        """The sub-window at hand was `sub_window`; forget those before `oldest`."""
        closed = self._before_open()
        if self._open.any():
            self._ring.push(sub_window, packed(self._open))
            self._new.append(sub_window)
            closed += self._open
            self._earlier = self._counters()
            self._now[:] = 0
            self._dirty = True
        for number, counts in self._ring.pop_before(oldest):
            closed -= unpacked(counts, len(closed))
            self._past.push(number, counts)
        self._closed = packed(closed)
        self._gone += [number for number, _ in self._past.pop_before(oldest - self._lag)]

    def since(self, number: int) -> I64:
        """Rows of each bin in the sub-windows from this one on, of those in the window."""
        found = self._whole()
        for own, counts in self._ring:
            if own < number:
                found -= unpacked(counts, len(found))
        return self._in_bins(found[: self.bins.cells])

    def between(self, numbers: range) -> I64:
        """Cells, flags and tails of these sub-windows, of which none is in the window."""
        if self._before is None or self._before[0] != numbers:
            found = self._zeros()
            for number, counts in self._past:
                if number in numbers:
                    found += unpacked(counts, len(found))
            self._before = numbers, found
        return self._before[1]

    def comparison(self, before: I64 | None = None) -> Comparison | None:
        """The window beside the reference, or beside what `between` gave; None where either has no value."""
        window = self._whole()
        bins, cells = self.bins, window[: self.bins.cells]
        others = bins.counts if before is None else before[: bins.cells]
        if not cells.any() or not others.any():
            return None
        return Comparison(
            numeric=bins.numeric,
            edges=bins.edges,
            reference_cells=others,
            live_cells=cells,
            reference_bins=self._in_bins(others),
            live_bins=self._in_bins(cells),
            std=bins.std,
            reference_tails=bins.tails if before is None else self._tails(before),
            live_tails=self._tails(window),
        )

    def _in_bins(self, cells: I64) -> I64:
        return np.bincount(self.bins.bin_of_cell, cells, self.bins.bins).astype(np.int64)

    def _tails(self, window: I64) -> tuple[float, float]:
        bins = self.bins
        if not bins.numeric:
            return 0.0, 0.0
        first, last = bins.value(window[-TAILS:], window[: bins.cells][[0, -1]]).tolist()
        return first, last

    def memory_bytes(self) -> int:
        """What it takes now, about, with its bins."""
        own: list[I64] = [self._earlier, self._now]
        if self._before is not None:
            own.append(self._before[1])
        kept = self._ring.memory_bytes() + self._past.memory_bytes() + sys.getsizeof(self._closed)
        return self.bins.memory_bytes() + sum(a.nbytes + 112 for a in own) + kept

    def kept(self) -> list[int]:
        """Numbers of the sub-windows of which something may be kept."""
        return [*(number for number, _ in chain(self._past, self._ring)), *self._gone]

    def checkpoint(self) -> Iterator[tuple[int | None, bytes | None]]:
        """What changed since the last call: (number of a sub-window, its counts, None where it is forgotten), and
        (None, the counters and the sub-window at hand)."""
        if self._new:
            yield from (found for found in chain(self._past, self._ring) if found[0] in self._new)
        yield from ((number, None) for number in self._gone)
        self._new.clear()
        self._gone.clear()
        if self._dirty:
            self._dirty = False
            # What is small stands first, what is large is packed by itself.
            counters, bins = self._counters(), self.bins.bins
            counted = packed(np.concatenate([counters[:-bins], self._open]))
            sums = zlib.compress(counters[-bins:].astype("<i8").tobytes(), 1)
            yield None, self.last_value.to_bytes(8, "little") + len(counted).to_bytes(4, "little") + counted + sums

    def restore(self, kept: bytes, ring: dict[int, bytes], oldest: int) -> bool:
        """Take over what was kept; False for what is not from here. `oldest`: the first sub-window of the window."""
        end = 12 + int.from_bytes(kept[8:12], "little")
        bins = self.bins.bins
        try:
            found = unpacked(kept[12:end], bins + len(FLAGS) + len(self._open))
            summed = np.frombuffer(zlib.decompressobj().decompress(kept[end:], 8 * bins + 1), "<i8")
            closed = {number: unpacked(counts, len(self._open)) for number, counts in sorted(ring.items())}
        except (ValueError, zlib.error):
            return False
        if len(summed) != bins:
            return False
        self.last_value = int.from_bytes(kept[:8], "little")
        counters, self._open[:] = np.split(found, [bins + len(FLAGS)])
        self._earlier = np.concatenate([counters, summed.astype(np.int64)]) - self._counters()
        own = [number for number in closed if number >= oldest]
        for number in closed:
            (self._ring if number >= oldest else self._past).push(number, ring[number])
        self._closed = packed(sum((closed[number] for number in own), self._before_open()))
        self._dirty = False
        return True
