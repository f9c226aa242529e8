"""Which engine is there, and what it lacks.

Sources: `GET /` of both engines; where it is not there (reduced builds, a user without `monitor`), the versions and
modules of `GET /_nodes`. A missing API answers 400 `no handler found for uri` or 405 on both engines; 404 with
the API's own error means that it is there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from sidecar.deliver.common.http import Reply, Unreached
from sidecar.deliver.elasticsearch.templates import Request
from sidecar.errors import Permanent

Kind = Literal["elasticsearch", "opensearch"]
Facility = Literal["lifecycle", "pipelines", "security", "data_stream_api"]

_NODES = "/_nodes/_local?filter_path=nodes.*.version,nodes.*.modules.classname"
_PROCESSORS = "/_nodes/ingest?filter_path=nodes.*.ingest.processors.type"
_NEEDED_PROCESSORS = ("json", "script", "set", "date", "remove")
_ASKED: Mapping[Kind, tuple[tuple[Facility, str, str], ...]] = {
    "elasticsearch": (
        ("lifecycle", "/_ilm/policy/sidecar-logs", "index lifecycle management (ILM)"),
        ("security", "/_security/_authenticate", "security"),
        ("data_stream_api", "/_data_stream/logs-*.otel-*", "the data stream API"),
    ),
    "opensearch": (
        ("lifecycle", "/_plugins/_ism/policies/sidecar-logs", "index state management (ISM)"),
        ("security", "/_plugins/_security/authinfo", "the security plugin"),
        ("data_stream_api", "/_data_stream/logs-*.otel-*", "the data stream API"),
    ),
}


@dataclass(frozen=True, slots=True)
class Engine:
    """What answers at the address."""

    kind: Kind
    version: str
    built_in: bool = False
    """It has templates of its own for documents of the OpenTelemetry shape (Elasticsearch 8.16 and later)."""
    lacks: Mapping[Facility, str] = field(default_factory=dict)
    """What is not there, and why that is known."""

    def __str__(self) -> str:
        return f"{'OpenSearch' if self.kind == 'opensearch' else 'Elasticsearch'} {self.version}"


def detect(request: Request) -> Engine:
    """Ask who is there and what it can do. Raises `Unreached` where it cannot answer now, `Permanent` where it refuses
    or is neither of the two engines."""
    kind, version = _who(request)
    lacks: dict[Facility, str] = {}
    for facility, target, words in _ASKED[kind]:
        if absent(request("GET", target, None)):
            lacks[facility] = f"this {kind} has no {words.removeprefix('the ')}"
    if missing := _missing_processors(request):
        lacks["pipelines"] = f"no ingest processor {', '.join(missing)}"
    built_in = kind == "elasticsearch" and request("HEAD", "/_index_template/logs-otel@template", None).status == 200
    return Engine(kind, version, built_in, lacks)


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
    if reply.status in (408, 429) or reply.status >= 500:
        return Unreached("setup", text, reply.retry_after)
    return Permanent(text)


def reason(reply: Reply) -> str:
    """The engine's reason."""
    text = reply.body[:2000].decode("utf-8", "replace").strip()
    try:
        error = json.loads(reply.body)["error"]
        if isinstance(error, str):
            return error
        cause = error.get("caused_by") or {}
        return ": ".join(dict.fromkeys(str(r) for r in (error.get("reason"), cause.get("reason")) if r)) or text
    except (ValueError, KeyError, TypeError, AttributeError):
        return text or "no reason given"


def _who(request: Request) -> tuple[Kind, str]:
    reply = request("GET", "/", None)
    if reply.status == 200:
        try:
            version = json.loads(reply.body)["version"]
            return ("opensearch" if version.get("distribution") == "opensearch" else "elasticsearch"), version["number"]
        except (ValueError, KeyError, TypeError, AttributeError):
            raise Permanent("invalid answer to GET /; expected Elasticsearch or OpenSearch") from None
    if reply.status not in (403, 404, 405):
        raise rejection(reply, "asking who is there")
    nodes = answer(request("GET", _NODES, None), "asking which version it is")
    for node in (nodes or {}).get("nodes", {}).values():
        names = [m.get("classname", "") for m in node.get("modules", ())]
        for kind in _ASKED:
            if any(name.startswith(f"org.{kind}.") for name in names):
                return kind, str(node.get("version", "?"))
    raise Permanent("invalid answer to GET /; expected Elasticsearch or OpenSearch")


def _missing_processors(request: Request) -> list[str]:
    """Ingest processors that the pipeline needs and no node has; [] where the engine does not say."""
    reply = request("GET", _PROCESSORS, None)
    if reply.status != 200:
        return []
    nodes = (answer(reply, "asking for ingest processors") or {}).get("nodes", {})
    known = {p["type"] for node in nodes.values() for p in node.get("ingest", {}).get("processors", ())}
    return [name for name in _NEEDED_PROCESSORS if name not in known]
