"""Which engine is there, and what it lacks.

Sources: `GET /` of both engines; where it is not there (reduced builds, a user without `monitor`), the versions and
modules of `GET /_nodes`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from sidecar.deliver.common.http import Request
from sidecar.deliver.elasticsearch.answers import absent, answer, rejection
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
