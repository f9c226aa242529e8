"""Whether a request that changes something comes from the page itself, and not from another one in the same browser."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from sidecar.serve.access import host_name


def same_origin(headers: Mapping[str, str], allowed: Sequence[str] = ()) -> bool:
    """`headers`: names in lower case. Browsers send `Sec-Fetch-Site` where they trust the connection, whatever a proxy
    makes of `Host`, and `Origin` with every POST: that of the host that was asked, or of an allowed one. A request with
    neither comes from no browser, which has the command line for this."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    origin = urlsplit(headers.get("origin", "")).netloc
    return bool(origin) and (origin == headers.get("host") or host_name(origin) in map(host_name, allowed))
