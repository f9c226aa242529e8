"""The suites that there are on disk, and what of them is evaluated."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from sidecar.derive.mounted_files import MountedFiles
from sidecar.derive.quality.arguments import NotEvaluated
from sidecar.derive.quality.expectations import Compiled, compile_expectation
from sidecar.derive.quality.suite import Expectation, Suite, load
from sidecar.derive.series import OTHER

log = structlog.get_logger("sidecar.derive")

_NAMED = 10
"""Expectations of a suite that are logged by name."""
MAX_SHOWN = 500
"""Series of expectations by suite and name."""
_LABELS = ("suite", "expectation", "state")
MAX_COMPILED = 2000
"""Expectations of one suite that are made ready."""


@dataclass(frozen=True, slots=True)
class CompiledSuite:
    """A suite made ready. Immutable."""

    suite: Suite
    evaluated: tuple[Compiled, ...]
    not_evaluated: tuple[tuple[Expectation, str], ...]
    """With the reason."""

    @property
    def label(self) -> str:
        """What tells it apart in the kept state."""
        return self.suite.digest

    def status(self, path: Path) -> dict[str, Any]:
        """As JSON, with the first of what is not evaluated."""
        return {
            "file": str(path),
            "suite": self.suite.name,
            "model": self.suite.model,
            "version": self.suite.model_version,
            "evaluated": len(self.evaluated),
            "not_evaluated": len(self.not_evaluated),
            "first_not_evaluated": list(self.named()),
        }

    def named(self) -> Iterator[str]:
        """The first that are not evaluated, and why."""
        for one, why in self.not_evaluated[:_NAMED]:
            yield f"{one.name or 'entry without a type'} ({one.column or 'table'}): {why}"


def compiled(suite: Suite) -> CompiledSuite:
    """What of a suite is evaluated."""
    evaluated: list[Compiled] = []
    not_evaluated: list[tuple[Expectation, str]] = []
    for expectation in suite.expectations:
        try:
            if len(evaluated) == MAX_COMPILED:
                raise NotEvaluated(f"of one suite at most {MAX_COMPILED} are")
            evaluated.append(compile_expectation(expectation))
        except NotEvaluated as why:
            not_evaluated.append((expectation, str(why)))
    return CompiledSuite(suite, tuple(evaluated), tuple(not_evaluated))


class SuiteLibrary(MountedFiles[CompiledSuite]):
    """Finds the suites of a model. Not thread-safe."""

    def __len__(self) -> int:
        return len(self.files)

    def load(self, path: Path, former: CompiledSuite | None) -> CompiledSuite:
        suite = load(path)
        if former is not None and former.label == suite.digest:
            return former
        made = compiled(suite)
        if made.not_evaluated:
            number, first = len(made.not_evaluated), list(made.named())
            log.warning("expectations_not_evaluated", suite=suite.name, number=number, first=first)
        return made

    def log_invalid(self, error: str, former_stays: bool) -> None:
        log.error("suite_invalid", error=error, former_stays=former_stays)

    def log_missing(self, path: Path) -> None:
        log.warning("suite_missing", path=str(path))

    def find(self, model: tuple[str, str]) -> list[CompiledSuite]:
        """All suites of a model and version."""
        return [one for one in self.files.values() if one.suite.is_for(model)]

    def states(self) -> list[tuple[float, Mapping[str, str]]]:
        """How many files are suites, and how many are not."""
        return [(float(len(self.files)), {"state": "loaded"}), (float(len(self.invalid)), {"state": "invalid"})]

    def status(self) -> dict[str, Any]:
        """Each file, as JSON."""
        return {
            "loaded": [one.status(path) for path, one in self.files.items()],
            "invalid": [{"file": str(path), "error": error} for path, error in self.invalid.items()],
        }

    def expectations(self) -> list[tuple[float, Mapping[str, str]]]:
        """How many expectations of each suite and name are evaluated, and how many are not."""
        found: Counter[tuple[str, str, str]] = Counter()
        for one in self.files.values():
            found.update((one.suite.name, expectation.name, "evaluated") for expectation in one.evaluated)
            found.update((one.suite.name, expectation.name, "not_evaluated") for expectation, _ in one.not_evaluated)
        every = sorted(found.items())
        shown: list[tuple[float, Mapping[str, str]]] = [
            (float(n), dict(zip(_LABELS, labels, strict=True))) for labels, n in every[:MAX_SHOWN]
        ]
        if len(every) > MAX_SHOWN:
            shown.append((float(sum(n for _, n in every[MAX_SHOWN:])), dict.fromkeys(_LABELS, OTHER)))
        return shown
