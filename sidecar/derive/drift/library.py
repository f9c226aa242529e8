"""The references that there are: files on disk, and what was learnt."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import structlog

from sidecar.decode.api import Decoder
from sidecar.decode.predictions.feature_counter import FeatureCounter
from sidecar.derive import mounted_files
from sidecar.derive.drift.column_bins import ColumnBins
from sidecar.derive.drift.estimation import Calibration, calibration_of
from sidecar.derive.drift.observations import Model
from sidecar.derive.drift.outliers import Extremes, extremes_of, row_limits
from sidecar.derive.drift.reference import MAX_FILE_BYTES, Column, NumberColumn, Reference, Role, digest, parse
from sidecar.derive.drift.reference_columns import by_column
from sidecar.derive.mounted_files import MountedFiles

log = structlog.get_logger("sidecar.derive")

Key = tuple[Role, str]
"""(role, name); of a prediction and of a score the name is the role's."""


def key_of(role: Role, name: str) -> Key:
    """By which a column is found."""
    return role, name if role == "feature" else role


class CompiledReference:
    """A reference made ready."""

    def __init__(self, head: Reference, columns: Iterable[Column] | None = None, learned: bool = False) -> None:
        """`columns`: instead of those of `head`; each is let go of when the next one is taken."""
        self.model: Model = head.model, head.model_version
        self.rows = head.rows
        self.calibration: Calibration | None = None
        self.columns: dict[Key, ColumnBins] = {}
        extremes: list[Extremes] = []
        found = digest(head, self._taken(head.columns if columns is None else columns, extremes))
        self.label = f"learned-{found}" if learned else found
        """What tells it apart in labels and in the kept state."""
        self.limits = row_limits(extremes, head.rows)
        self.features = tuple(bins for bins in self.columns.values() if bins.role == "feature")
        self._counter: tuple[FeatureCounter | None] | None = None

    def _taken(self, columns: Iterable[Column], extremes: list[Extremes]) -> Iterator[Column]:
        """The same columns, read as they go by."""
        for column in columns:
            if column.role != "label":
                self.columns[key_of(column.role, column.name)] = ColumnBins(column)
            if isinstance(column, NumberColumn):
                extremes += extremes_of(column)
                if column.role == "score":
                    self.calibration = calibration_of(column)
            yield column

    @classmethod
    def read(cls, data: bytes, learned: bool = False) -> CompiledReference:
        """Of a reference's JSON text. Raises InvalidFile."""
        try:
            return cls(*by_column(data), learned)
        except (ValueError, RecursionError):
            return cls(parse(data), None, learned)

    def counter(self, decoder: Decoder) -> FeatureCounter | None:
        """Counts values of `features`; None where the decoder does not."""
        if self._counter is None:
            counter = decoder.feature_counter([bins.made_ready() for bins in self.features])
            if counter is not None:
                for place, bins in enumerate(self.features):
                    bins.counted_by(counter, place)
            self._counter = (counter,)
        return self._counter[0]


class ReferenceLibrary(MountedFiles[CompiledReference]):
    """Finds the reference of a model. Not thread-safe."""

    def __init__(self, path: Path | None) -> None:
        """`path`: a file, or a directory with files."""
        super().__init__(path)
        self._by_model: dict[Model, CompiledReference] = {}
        self.learned: dict[Model, CompiledReference] = {}

    def __len__(self) -> int:
        return len(self.files) + len(self.learned)

    def load(self, path: Path, former: CompiledReference | None) -> CompiledReference:
        return mounted_files.load(path, "reference", MAX_FILE_BYTES, CompiledReference.read)

    def log_invalid(self, error: str, former_stays: bool) -> None:
        log.error("reference_invalid", error=error, former_stays=former_stays)

    def log_missing(self, path: Path) -> None:
        log.warning("reference_missing", path=str(path))

    def read(self, again: bool = False) -> bool:
        changed = super().read(again)
        self._by_model = {one.model: one for one in reversed(self.files.values())}
        return changed

    def find(self, model: Model) -> CompiledReference | None:
        """The reference of this model and version, else of the model, else of any, else what was learnt."""
        name, version = model
        for wanted in ((name, version), (name, ""), ("", "")):
            if wanted in self._by_model:
                return self._by_model[wanted]
        return self.learned.get(model)
