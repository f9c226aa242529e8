"""Addresses of destinations, as options give them."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit


def as_list(value: Any) -> Any:
    """A list of addresses, which may be given as text with commas; without spaces and slashes at their ends."""
    if isinstance(value, str):
        value = value.split(",")
    if not isinstance(value, (list, tuple)):
        return value
    cleaned = (v.strip().rstrip("/") if isinstance(v, str) else v for v in value)
    return tuple(v for v in cleaned if v != "")


def check_url(url: str) -> None:
    """Raises ValueError where it is no HTTP address, or holds credentials."""
    if "@" in url:
        raise ValueError("an address must not hold credentials: use the section auth")
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number or past 65535, an IPv6 address without its bracket
        valid = False
    if not valid:
        raise ValueError(f"invalid address: {url!r}; expected http://host:port or https://host:port")


def check_base(url: str) -> None:
    """The same of an address that paths are put behind."""
    check_url(url)
    parts = urlsplit(url)
    if parts.query or parts.fragment:
        raise ValueError(f"invalid address: {url!r}; expected none with a query or fragment, paths are put behind it")
