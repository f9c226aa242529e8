"""Components report in; the probes answer from their reports.

live: the process can still do its work (a component that `failed` needs a restart).
started: every component has left `starting`.
ready: started, none failed, and the program is not stopping. A sink that cannot reach its destination is `degraded`:
the journal holds what it owes, so the pod stays ready.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

State = Literal["starting", "ok", "degraded", "failed", "stopping"]


@dataclass(frozen=True, slots=True)
class ComponentHealth:
    """What a component last reported of itself."""

    state: State
    detail: str = ""


class Health:
    """The reports of all components. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reports: dict[str, ComponentHealth] = {}
        self._watched: dict[str, Callable[[], ComponentHealth]] = {}

    def report(self, component: str, state: State, detail: str = "") -> None:
        """Replace what `component` last reported."""
        with self._lock:
            self._reports[component] = ComponentHealth(state, detail)

    def watch(self, component: str, read: Callable[[], ComponentHealth]) -> None:
        """Read the report of `component` whenever it is asked for. `read` must be quick."""
        with self._lock:
            self._watched[component] = read

    def reports(self) -> dict[str, ComponentHealth]:
        """Every component's report."""
        with self._lock:
            return self._reports | {component: read() for component, read in self._watched.items()}

    @property
    def live(self) -> bool:
        return all(r.state != "failed" for r in self.reports().values())

    @property
    def started(self) -> bool:
        return all(r.state != "starting" for r in self.reports().values())

    @property
    def ready(self) -> bool:
        return all(r.state in ("ok", "degraded") for r in self.reports().values())
