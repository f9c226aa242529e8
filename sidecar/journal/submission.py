"""What receivers give to the journal, and what they get for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sidecar.pipeline import Signal


@dataclass(frozen=True, slots=True)
class Submission:
    """A validated payload that a receiver asks to be stored."""

    signal: Signal
    payload: bytes
    """OTLP protobuf, not compressed."""
    items: int
    events: int = 0
    rejected: int = 0
    """Records of the payload that were refused; counted in the ledger in the same transaction."""
    digest: bytes | None = None
    """Digest of the bytes as the client sent them; None if a resend cannot be distinguished from a new payload."""
    distinct: bool = False
    """Known not to be a resend: to be stored though a payload with this digest is remembered."""
    checkpoints: Mapping[bytes, bytes | None] = field(default_factory=dict)
    """What the receiver wants to find again after a restart (a file's offset, say): key -> value, None deletes.
    Committed in the payload's own transaction, and also where `items` is 0. Not to be given with a digest: a resend
    is not stored, and its checkpoints would not be either."""

    def __post_init__(self) -> None:
        if self.checkpoints and self.digest is not None:
            raise ValueError("a submission has checkpoints or a digest, not both")


@dataclass(frozen=True, slots=True)
class Receipt:
    """A submission is committed."""

    seq: int
    duplicate: bool = False
    """The payload was already stored; nothing was added."""
