"""What a payload of a serving protocol says: one call of a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from sidecar.decode.otlp.message import Value

Part = Literal["request", "response", "both"]
Columns = Mapping[str, Sequence[Value]]

MAX_ROWS = 100_000
"""Rows of one call whose answers are read. More are counted, without class, score or value."""
MAX_COLUMNS = 256
"""Features kept of one call; others are left out (`CutColumns`)."""
MAX_CELLS = 20_000
"""Feature values kept of one call; of more the first rows."""
MAX_CLASS_CHARS = 64
"""A longer text is an answer in words, and no class."""

NO_COLUMNS: Columns = {}


class CutColumns(dict[str, Sequence[Value]]):
    """Columns without some that were left out: beyond MAX_COLUMNS, or of what is no scalar."""

    def __init__(self, columns: Columns, left_out: int, names: Sequence[str]) -> None:
        """`left_out`: how many; `names`: of the first of them."""
        super().__init__(columns)
        self.left_out, self.names_left_out = left_out, names


def no_columns() -> Columns:
    """Of a call whose features are not known."""
    return NO_COLUMNS


@dataclass(frozen=True, slots=True)
class Answers:
    """What a model answered."""

    rows: int
    classes: Mapping[str, int] = field(default_factory=dict)
    """Class -> rows; their sum is at most `rows`."""
    values: Sequence[float] = ()
    """Predicted numbers, finite ones; at most one a row."""
    scores: Sequence[float] = ()
    """Probabilities of the predicted class, finite ones; at most one a row."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a model was asked."""

    rows: int
    table: Callable[[], Columns] = no_columns
    """Gives the features: column -> its values by row, scalars only; at most MAX_COLUMNS and MAX_CELLS."""
    id: str = ""


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a model, or the half of it that is in one record."""

    protocol: str
    """Name of the protocol (see `protocols.PROTOCOLS`)."""
    part: Part
    service: str = ""
    """Empty where it is not known."""
    model: str = ""
    """Empty where nothing names it."""
    version: str = ""
    id: str = ""
    """Of the prediction, as the client or server chose it."""
    exchange: str = ""
    """Equal in the records of request and response where they are records of their own; else empty."""
    time: int = 0
    """Unix ns."""
    rows: int = 0
    """0 where that is not known."""
    failed: bool = False
    """The response is an error."""
    classes: Mapping[str, int] = field(default_factory=dict)
    values: Sequence[float] = ()
    scores: Sequence[float] = ()
    """These three as in `Answers`."""
    table: Callable[[], Columns] = field(default=no_columns, repr=False, compare=False)
    """Gives `features`."""
    targets: Columns = field(default_factory=dict)
    """Ground truth that comes along with the prediction."""
    seconds: float | None = None
    """How long the model took, if known."""

    @property
    def features(self) -> Columns:
        """What the model was asked: column -> its values by row. Made again each time: a fifth of the work of reading a
        call, and of use only where features are looked at."""
        return self.table()
