"""Headers that users put on requests."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, SecretStr

from sidecar.lists import mapping

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_OURS = frozenset(
    (
        *("content-type", "content-encoding", "content-length", "transfer-encoding", "accept-encoding"),
        *("host", "te", "connection", "expect", "upgrade", "user-agent"),
    )
)


def _as_mapping(value: Any) -> Any:
    value = mapping(value)
    if isinstance(value, dict):
        return {name: str(text) if isinstance(text, int | float) else text for name, text in value.items()}
    return value


def _checked(value: dict[str, SecretStr]) -> dict[str, SecretStr]:
    for name, text in value.items():
        if not _NAME.fullmatch(name) or name.lower() in _OURS or name.lower().startswith("grpc-"):
            raise ValueError(f"{name!r} cannot be a header of a request")
        secret = text.get_secret_value()
        if not (secret.isascii() and secret.isprintable()):
            raise ValueError(f"the value of {name!r} must be printable ASCII")
    return value


Headers = Annotated[dict[str, SecretStr], BeforeValidator(_as_mapping), AfterValidator(_checked)]
"""An option: a mapping, or text as `name=value,name=value`. What requests carry anyway cannot be set."""


def plain(headers: dict[str, SecretStr]) -> dict[str, str]:
    """The headers with their values as text."""
    return {name: value.get_secret_value() for name, value in headers.items()}
