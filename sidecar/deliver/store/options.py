"""Options of the embedded store."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from sidecar.deliver.options import SinkOptions
from sidecar.options import Duration, Size


class StoreOptions(SinkOptions):
    """The embedded store of the last hours' spans and logs."""

    kind: Literal["store"] = Field("store", description="Kind of the sink.")
    max_concurrency: int = Field(1, ge=1, le=1, description="The store has one writer.")
    batch_timeout: Duration = Field(
        0.5,
        ge=0,
        le=60,
        description="For how long payloads are gathered for one commit: the live tail of the page waits for it.",
    )
    enabled: bool = Field(True, description="Keep spans and logs in a file of the sidecar's own, for trace look-ups.")
    directory: Path | None = Field(None, description="Where store.db is kept; next to the journal where not set.")
    max_age: Duration = Field(86_400.0, gt=0, description="For how long spans and logs are kept.")
    max_bytes: Size = Field(256 << 20, ge=1 << 20, description="Max. size, compressed; the oldest are deleted first.")
