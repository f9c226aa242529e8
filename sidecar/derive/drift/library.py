"""The references that there are: files on disk, and what was learnt."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import structlog

from sidecar.decode.api import Decoder
from sidecar.decode.predictions.feature_counter import FeatureCounter
from sidecar.derive.drift.column_bins import ColumnBins
from sidecar.derive.drift.estimation import calibration_of
from sidecar.derive.drift.observations import Model
from sidecar.derive.drift.outliers import row_limits
from sidecar.derive.drift.reference import NumberColumn, Reference, Role, load
from sidecar.derive.mounted_files import MountedFiles

log = structlog.get_logger("sidecar.derive")

Key = tuple[Role, str]
"""(role, name); of a prediction and of a score the name is the role's."""


def key_of(role: Role, name: str) -> Key:
    """By which a column is found."""
    return role, name if role == "feature" else role


class CompiledReference:
    """A reference made ready."""

    def __init__(self, reference: Reference, learned: bool = False) -> None:
        self.model: Model = reference.model, reference.model_version
        self.label = f"learned-{reference.digest()}" if learned else reference.digest()
        """What tells it apart in labels and in the kept state."""
        self.limits = row_limits(reference)
        score = reference.column("", "score")
        self.calibration = calibration_of(score) if isinstance(score, NumberColumn) else None
        self.columns: Mapping[Key, ColumnBins] = {
            key_of(column.role, column.name): ColumnBins(column)
            for column in reference.columns
            if column.role != "label"
        }
        self.features = tuple(bins for bins in self.columns.values() if bins.role == "feature")
        self._counter: tuple[FeatureCounter | None] | None = None

    def counter(self, decoder: Decoder) -> FeatureCounter | None:
        """Counts values of `features`; None where the decoder does not."""
        if self._counter is None:
            self._counter = (decoder.feature_counter([bins.made_ready() for bins in self.features]),)
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
        return CompiledReference(load(path))

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
