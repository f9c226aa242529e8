"""Which rows of a call are kept."""

from __future__ import annotations

from dataclasses import dataclass
from random import randrange

from model_sidecar_instrumentation.settings import CaptureSettings


@dataclass(frozen=True)
class Sample:
    """Rows `first`, `first + one_in`, ... of `rows`. Every row is in it with the same probability."""

    rows: int
    first: int = 0
    one_in: int = 1

    @property
    def kept(self) -> int:
        return max(0, -(-(self.rows - self.first) // self.one_in))

    @property
    def whole(self) -> bool:
        return self.one_in == 1


def choose(rows: int, columns: int, settings: CaptureSettings) -> Sample:
    """The rows of a call with `columns` features to keep: at most `settings.rows`, at most `settings.cells` values."""
    cap = settings.rows if columns == 0 else min(settings.rows, settings.cells // min(columns, settings.columns or 1))
    if cap <= 0:
        return Sample(rows, rows, 2)
    one_in = max(settings.one_in, -(-rows // cap))
    return Sample(rows) if one_in == 1 else Sample(rows, randrange(one_in), one_in)
