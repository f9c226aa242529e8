"""Options of look-ups."""

from __future__ import annotations

from pydantic import Field

from sidecar.options import Duration, Section


class LookupOptions(Section):
    """Look-ups of traces: `/api` and `/tempo` at the serve port, and `sidecar lookup`."""

    timeout: Duration = Field(
        10.0, gt=0, le=300, description="For one look-up; a search that takes longer answers with what it has found."
    )
    max_range: Duration = Field(
        7 * 86_400.0, gt=0, description="Longest time range that a search may be about; a look-up by id has no range."
    )
    max_concurrency: int = Field(
        2, ge=1, le=64, description="Look-ups that are worked on at a time; others wait for their turn."
    )
