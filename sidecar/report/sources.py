"""The sources that figures may be read from: the only list of them. Options of the command are made of it."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:  # The help of all commands reads the list.
    from sidecar.config.settings import Settings
    from sidecar.deliver.common.connection import Server
    from sidecar.report.figure_source import Source
    from sidecar.report.period import Period

Takes = Literal["end", "model", "namespace", "config", "credentials"]


@dataclass(frozen=True, slots=True)
class Asked:
    """What a source is opened with."""

    place: str
    """An address without a slash at its end, or a folder."""
    period: Period
    models: tuple[str, ...]
    """Only these; all where there are none."""
    namespace: str
    server: Server
    """The address, with the credentials and certificates that were given for it."""
    settings: Callable[[], Settings]
    """The configuration. Raises `ConfigError`."""


@dataclass(frozen=True, slots=True)
class SourceType:
    """One kind of source. Its module has `opened(asked)`: a context manager with a `Source`, which may raise
    `SidecarError`."""

    name: str
    """The option that chooses it."""
    place: Literal["URL", "DIR"]
    help: str
    takes: frozenset[Takes]
    """Further options that it understands."""

    @property
    def option(self) -> str:
        """As it is given."""
        return f"--{self.name}"

    def opened(self, asked: Asked) -> AbstractContextManager[Source]:
        """The source."""
        module = importlib.import_module(f"sidecar.report.{self.name}_source")
        source: AbstractContextManager[Source] = module.opened(asked)
        return source


SOURCES: tuple[SourceType, ...] = (
    SourceType(
        "prometheus",
        "URL",
        "Address of Prometheus, base path included.",
        frozenset({"end", "model", "namespace", "credentials"}),
    ),
    SourceType(
        "elasticsearch",
        "URL",
        "Instead: address of a node of Elasticsearch or OpenSearch; what the documents there say.",
        frozenset({"end", "model", "config", "credentials"}),
    ),
    SourceType(
        "store",
        "DIR",
        "Instead: folder of a sidecar's store.db; what that sidecar keeps of the time.",
        frozenset({"end", "model", "config"}),
    ),
    SourceType(
        "sidecar",
        "URL",
        "Instead: address of one sidecar's metrics; since its counters began.",
        frozenset({"credentials"}),
    ),
)
