"""The references that there are: files on disk, and what was learnt."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import structlog

from sidecar.derive.drift.column_bins import ColumnBins
from sidecar.derive.drift.observations import Model
from sidecar.derive.drift.reference import InvalidReference, Reference, Role, load
from sidecar.derive.mounted_files import signatures

log = structlog.get_logger("sidecar.derive")

Key = tuple[Role, str]
"""(role, name); of a prediction and of a score the name is the role's."""


def key_of(role: Role, name: str) -> Key:
    """By which a column is found."""
    return role, name if role == "feature" else role


class CompiledReference:
    """A reference made ready. Immutable."""

    def __init__(self, reference: Reference, learned: bool = False) -> None:
        self.reference = reference
        self.label = f"learned-{reference.digest()}" if learned else reference.digest()
        """What tells it apart in labels and in the kept state."""
        self.columns: Mapping[Key, ColumnBins] = {
            key_of(column.role, column.name): ColumnBins(column)
            for column in reference.columns
            if column.role != "label"
        }

    @property
    def model(self) -> Model:
        return self.reference.model, self.reference.model_version


class ReferenceLibrary:
    """Finds the reference of a model. Not thread-safe."""

    def __init__(self, path: Path | None) -> None:
        """`path`: a file, or a directory with files."""
        self._path = path
        self._files: dict[Path, CompiledReference] = {}
        self._seen: tuple[object, ...] | None = None
        self._by_model: dict[Model, CompiledReference] = {}
        self.learned: dict[Model, CompiledReference] = {}
        self.invalid: dict[Path, str] = {}
        """File -> why it is no reference."""

    def __len__(self) -> int:
        return len(self._files) + len(self.learned)

    def read(self, again: bool = False) -> bool:
        """Read the files if they have changed, or `again` whether or not; whether something is other than before. Of a
        file that has become invalid the former content stays in force."""
        found = dict(signatures(self._path))
        seen = tuple(sorted(found.items()))
        if seen == self._seen and not again:
            return False
        self._seen = seen
        files: dict[Path, CompiledReference] = {}
        self.invalid = {}
        for path in sorted(found):
            try:
                files[path] = CompiledReference(load(path))
            except InvalidReference as error:
                self.invalid[path] = str(error)
                log.error("reference_invalid", error=str(error), former_stays=path in self._files)
                if path in self._files:
                    files[path] = self._files[path]
        before = {path: one.label for path, one in self._files.items()}
        if self._path is not None and not found:
            log.warning("reference_missing", path=str(self._path))
        self._files = files
        self._by_model = {one.model: one for one in reversed(list(files.values()))}
        return {path: one.label for path, one in files.items()} != before

    def find(self, model: Model) -> CompiledReference | None:
        """The reference of this model and version, else of the model, else of any, else what was learnt."""
        name, version = model
        for wanted in ((name, version), (name, ""), ("", "")):
            if wanted in self._by_model:
                return self._by_model[wanted]
        return self.learned.get(model)
