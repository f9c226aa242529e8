"""Whether a request that changes something comes from the page itself, and not from another one in the same browser."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit


def same_origin(headers: Mapping[str, str]) -> bool:
    """`headers`: names in lower case. Browsers send `Sec-Fetch-Site` and, with every POST, `Origin`; a request with
    neither comes from no browser, which has the command line for this."""
    site = headers.get("sec-fetch-site")
    if site is not None and site != "same-origin":
        return False
    origin = headers.get("origin")
    if origin is None:
        return site == "same-origin"
    return bool(headers.get("host")) and urlsplit(origin).netloc == headers.get("host")
