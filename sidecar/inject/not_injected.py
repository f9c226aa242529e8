"""What keeps a pod from being injected."""

from __future__ import annotations

from sidecar.errors import SidecarError


class CannotInject(SidecarError):
    """The pod stays as it is; the message says what is in the way and what to do."""
