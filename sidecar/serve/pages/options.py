"""Options of the page."""

from __future__ import annotations

from pydantic import Field

from sidecar.options import Section


class PageOptions(Section):
    """The page for browsers at the serve port, under `/ui`."""

    enabled: bool = Field(True, description="Serve the page. It takes no memory until somebody opens it.")
    read_only: bool = Field(False, description="The page changes nothing: dead letters cannot be replayed from it.")
