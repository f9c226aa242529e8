"""What the answers of Elasticsearch and OpenSearch to commands mean.

A missing API answers 400 `no handler found for uri` or 405 on both engines; 404 with the API's own error means that it
is there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sidecar.deliver.common.http import Reply, Unreached
from sidecar.errors import Permanent


def absent(reply: Reply) -> bool:
    """True where the reply says that there is no such API."""
    if reply.status in (405, 501):
        return True
    return reply.status in (400, 404, 500) and (
        b"no handler found" in reply.body or b"failed to find action" in reply.body
    )


def answer(reply: Reply, what: str) -> Any:
    """The JSON of a good reply, None for 404. Raises `Unreached` or `Permanent` for every other."""
    if reply.status == 404:
        return None
    if 200 <= reply.status < 300:
        try:
            return json.loads(reply.body) if reply.body else {}
        except ValueError as error:
            raise Permanent(f"{what}: invalid answer; expected JSON: {reply.body[:200]!r}") from error
    raise rejection(reply, what)


def rejection(reply: Reply, what: str) -> Unreached | Permanent:
    """The error that a reply stands for, with the engine's own reason."""
    text = f"{what}: HTTP {reply.status}: {reason(reply)}"
    if reply.status == 401:
        return Permanent(f"{text} (the credentials are rejected)")
    if reply.status == 403:
        return Permanent(f"{text} (this needs the role that `sidecar setup elasticsearch --roles` prints)")
    if reply.is_temporary:
        return Unreached("busy", text, reply.retry_after)
    return Permanent(text)


def reason(reply: Reply) -> str:
    """The engine's reason."""
    try:
        found = reason_of(json.loads(reply.body))
    except ValueError:
        found = ""
    return found or reply.body[:2000].decode("utf-8", "replace").strip() or "no reason given"


def reason_of(answer: Any) -> str:
    """The engine's reason in an answer; empty without one. `root_cause` has that of a shard where a search failed."""
    error = answer.get("error") if isinstance(answer, Mapping) else None
    if not isinstance(error, Mapping):
        return error if isinstance(error, str) else ""
    roots = error.get("root_cause")
    causes = (error, *(roots[:1] if isinstance(roots, list) else ()), error.get("caused_by"))
    found = [cause.get("reason") for cause in causes if isinstance(cause, Mapping)]
    return ": ".join(dict.fromkeys(str(text) for text in found if text))
