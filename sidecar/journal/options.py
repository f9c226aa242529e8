"""What an operator can set about the journal."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from sidecar.options import Duration, Section, Size

KIB, MIB = 1 << 10, 1 << 20
_DAY = 86_400.0


class DeadLetterOptions(Section):
    """How many documents that a destination refused for good are stored for replay."""

    max_bytes: Size = Field(
        64 * MIB,
        ge=0,
        description="Bytes of all of them. Past it they are dropped and counted, reason `dead_letters_full`.",
    )
    max_age: Duration = Field(
        30 * _DAY, gt=0, le=36_500 * _DAY, description="Age at which one is deleted; checked about once a minute."
    )
    max_count: int = Field(
        100_000, ge=0, description="Number past which the oldest are deleted; checked about once a minute."
    )


class JournalOptions(Section):
    """The durable journal between the receivers and everything that reads from them."""

    backend: Literal["sqlite", "memory"] = Field(
        "sqlite",
        description="`sqlite`: on disk; what was acknowledged survives a kill at any moment. "
        "`memory`: for those who have no disk; what was acknowledged is lost with the process.",
    )
    path: Path = Field(
        Path("/var/lib/sidecar"),
        description="Directory of the journal. Made with mode 0700 if it is not there. One sidecar per directory.",
    )
    quota_bytes: Size = Field(
        1024 * MIB,
        ge=MIB,
        description="Bytes on disk (compressed payloads with their overhead) that may wait for the slowest consumer.",
    )
    memory_bytes: Size = Field(
        64 * MIB, ge=MIB, description="The quota where `backend` is `memory`: compressed payloads held in memory."
    )
    when_full: Literal["refuse", "drop_oldest"] = Field(
        "refuse",
        description="At the quota: `refuse` new payloads, so that clients wait and retry; or `drop_oldest` for the "
        "consumers that lag, each dropped item counted as `dropped`, reason `journal_full`.",
    )
    dedupe_window: Duration = Field(
        300.0,
        ge=0,
        description="How long a payload is remembered whose acknowledgement may have been lost, so that a client's "
        "resend is acknowledged but not stored again. 0 turns it off.",
    )
    dedupe_bytes: Size = Field(
        16 * MIB,
        ge=64 * KIB,
        description="Bound on the memory of the remembered payloads (about 200 bytes each); the oldest are forgotten.",
    )
    hot_cache_bytes: Size = Field(
        16 * MIB,
        ge=0,
        description="Payloads held in memory after their commit, so that consumers that keep up never read the disk.",
    )
    commit_delay: Duration = Field(
        0.004,
        ge=0,
        le=1,
        description="How long a payload may wait for others to share its commit, while payloads come several at a "
        "time; one that comes alone, or this long after those, is committed at once. 0 never waits.",
    )
    cursor_delay: Duration = Field(
        0.02,
        ge=0,
        le=5,
        description="How long a consumer's progress may wait for payloads to share its commit.",
    )
    dead_letters: DeadLetterOptions = Field(
        default=DeadLetterOptions(), description="Documents that a destination refused for good."
    )
