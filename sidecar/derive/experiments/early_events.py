"""Conversions and labels that came before their exposure."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from sidecar.derive.waiting import Stored

EVENT_BYTES = 1_200
"""What one takes, about; most have short texts."""


@dataclass(frozen=True, slots=True)
class Event:
    """A conversion, or a label, as far as it is needed to join it."""

    base: int
    """Of the id by which it names its unit."""
    received: int
    """Unix ns."""
    is_label: bool = False
    experiment: str = ""
    """Empty for all."""
    row: int | None = None
    value: float | None = None
    """Of a conversion."""
    name: int = 0
    """Of a label: its class."""
    model: int = 0
    """Of a label: the model that it names; 0 where it names none."""
    converts: bool = False
    """Of a label: it is a conversion too."""

    @property
    def key(self) -> int:
        return self.base


def _unpack(members: Any) -> Event:
    return Event(**members)


STORED_EVENTS = Stored(b"experiments/w/", asdict, _unpack)
