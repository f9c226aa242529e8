"""Options of the page."""

from __future__ import annotations

from pydantic import Field

from sidecar.options import Section


class PageOptions(Section):
    """The page for browsers at the serve port, under `/ui`."""

    enabled: bool = Field(True, description="Serve the page. It takes no memory until somebody opens it.")
    read_only: bool = Field(False, description="The page changes nothing: dead letters cannot be replayed from it.")
    local_only: bool | None = Field(
        None,
        description="Answer only clients of this machine or pod, such as those by `kubectl port-forward`; others get "
        "403. Default: in Kubernetes, where no token is set in `serve.auth`.",
    )
