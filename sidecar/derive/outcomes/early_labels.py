"""Labels that came before their predictions."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import Any

from sidecar.decode.predictions.label_record import Truth
from sidecar.derive.waiting import Stored

LABEL_BYTES = 1_000
"""What a label takes, about; texts of labels are cut at 1,024 characters, most have ten."""


@dataclass(frozen=True, slots=True)
class EarlyLabel:
    """A label, as far as it is needed to join it."""

    key: int
    """Of its id (`joiner.key_of`)."""
    row: int | None
    model: str
    version: str
    value: Truth
    received: int
    """Unix ns."""


def _unpack(fields: Any) -> EarlyLabel:
    key, row, model, version, value, received = fields
    return EarlyLabel(key, row, model, version, tuple(value) if isinstance(value, list) else value, received)


STORED_LABELS = Stored(b"outcomes/l/", astuple, _unpack)
