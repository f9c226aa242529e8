"""What an operator can set about the journal."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

MIB = 1 << 20


class JournalOptions(BaseModel):
    """The durable log between the receivers and everything that reads from them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["sqlite", "memory"] = Field(
        "sqlite",
        description="`sqlite`: on disk; what was acknowledged survives a kill at any moment. "
        "`memory`: for those who have no disk; what was acknowledged is lost with the process.",
    )
    path: Path = Field(
        Path("/var/lib/sidecar"),
        description="Directory of the journal. Made with mode 0700 if it is not there. One sidecar per directory.",
    )
    quota_bytes: int = Field(
        1024 * MIB,
        ge=MIB,
        description="Bytes on disk (compressed payloads with their overhead) that may wait for the slowest consumer.",
    )
    memory_bytes: int = Field(
        64 * MIB, ge=MIB, description="The quota where `kind` is `memory`: compressed payloads stored in memory."
    )
    on_full: Literal["refuse", "drop_oldest"] = Field(
        "refuse",
        description="At the quota: `refuse` new payloads, so that clients wait and retry; or `drop_oldest` for the "
        "consumers that lag, each dropped item counted as `dropped`, reason `journal_full`.",
    )
    dedupe_window: float = Field(
        300.0,
        ge=0,
        description="Seconds for which a payload is remembered whose acknowledgement may have been lost, so that a "
        "client's resend is acknowledged but not stored again. 0 turns it off.",
    )
    dedupe_bytes: int = Field(
        16 * MIB,
        ge=64 * 1024,
        description="Bound on the memory of the remembered payloads (about 200 bytes each); the oldest are forgotten.",
    )
    hot_cache_bytes: int = Field(
        16 * MIB,
        ge=0,
        description="Payloads held in memory after their commit, so that consumers that keep up never read the disk.",
    )
    commit_delay: float = Field(
        0.004,
        ge=0,
        le=1,
        description="Seconds that a payload may wait for others to share its commit, while payloads come several at a "
        "time; one that comes alone is committed at once. 0 never waits.",
    )
    cursor_delay: float = Field(
        0.05,
        ge=0,
        le=5,
        description="Seconds that a consumer's progress may wait for payloads to share its commit.",
    )
    dead_letter_bytes: int = Field(
        64 * MIB,
        ge=0,
        description="Bytes of documents that a destination refused for good and that are stored for replay. Past it "
        "they are dropped and counted, reason `dead_letters_full`.",
    )
    dead_letter_days: float = Field(
        30.0, gt=0, le=36_500, description="Days after which such a document is deleted; looked at about once a minute."
    )
    dead_letter_count: int = Field(
        100_000, ge=0, description="Most such documents stored; the oldest are deleted, looked at about once a minute."
    )
