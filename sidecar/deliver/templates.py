"""The least that data streams need: two index templates, put only where there are none of that name.

Elasticsearch 8.16 and later bring `traces-otel@template` and `logs-otel@template` of their own, made for the same
documents; they are left as they are and take precedence. Elsewhere (OpenSearch, older or reduced Elasticsearch) a
`create` would make a plain index with guessed mappings; with these templates it makes a data stream.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from sidecar.deliver.bulk import Reply, Unreached
from sidecar.errors import Permanent

Request = Callable[[str, str, bytes | None], Reply]
"""(method, target, JSON body) -> reply. May raise `Unreached`."""

PRIORITY = 110
"""Above the general `logs-*-*` (100) of Elasticsearch, below its templates for OpenTelemetry (120)."""
_KEYWORD = {"type": "keyword", "ignore_above": 8191}
_BUILT_IN = {"traces": "traces-otel@template", "logs": "logs-otel@template"}
_OWN = {"traces": "sidecar-traces-otel", "logs": "sidecar-logs-otel"}


DOTTED: tuple[dict[str, bool], ...] = ({"subobjects": False}, {"disable_objects": True}, {})
"""How a mapping says that attribute names keep their dots, so that `a` and `a.b` may both be there: Elasticsearch,
OpenSearch 3, and engines that cannot (there the second of the two is refused)."""


def template(kind: str, dotted: Mapping[str, bool]) -> dict[str, Any]:
    """The index template for `traces-*.otel-*` or `logs-*.otel-*`. `dotted`: one of `DOTTED`."""
    attributes = {"type": "object", "dynamic": True, **dotted}
    properties: dict[str, Any] = {
        "@timestamp": {"type": "date_nanos", "format": "epoch_millis||strict_date_optional_time"},
        "observed_timestamp": {"type": "date_nanos", "format": "epoch_millis||strict_date_optional_time"},
        "trace_id": _KEYWORD,
        "span_id": _KEYWORD,
        "parent_span_id": _KEYWORD,
        "name": _KEYWORD,
        "kind": _KEYWORD,
        "event_name": _KEYWORD,
        "severity_text": _KEYWORD,
        "severity_number": {"type": "byte"},
        "duration": {"type": "long"},
        "status": {"properties": {"code": _KEYWORD, "message": _KEYWORD}},
        "data_stream": {"properties": {"type": _KEYWORD, "dataset": _KEYWORD, "namespace": _KEYWORD}},
        "attributes": attributes,
        "resource": {"properties": {"attributes": attributes}},
        "scope": {"properties": {"name": _KEYWORD, "version": _KEYWORD, "attributes": attributes}},
        "body": {"properties": {"text": {"type": "text"}}},
        "links": {"properties": {"trace_id": _KEYWORD, "span_id": _KEYWORD}},
    }
    return {
        "index_patterns": [f"{kind}-*.otel-*"],
        "priority": PRIORITY,
        "data_stream": {},
        "template": {
            "mappings": {
                "date_detection": False,
                "dynamic_templates": [{"strings": {"match_mapping_type": "string", "mapping": _KEYWORD}}],
                "properties": properties,
            }
        },
    }


def ensure_templates(request: Request) -> Iterable[str]:
    """Put the two templates where neither a built-in one nor one of our name exists; gives the names that were put.

    Raises `Unreached` where the engine cannot answer now, `Permanent` where it refuses (no privilege, or another
    template of the same patterns and priority); delivery can go on without.
    """
    for kind, own in _OWN.items():
        if _exists(request, _BUILT_IN[kind]) or _exists(request, own):
            continue
        for dotted in DOTTED:
            reply = request("PUT", f"/_index_template/{own}", json.dumps(template(kind, dotted)).encode())
            if reply.status != 400 or not any(name.encode() in reply.body for name in dotted):
                break
        if not 200 <= reply.status < 300:
            _refuse(own, reply)
        yield own


def _exists(request: Request, name: str) -> bool:
    reply = request("HEAD", f"/_index_template/{name}", None)
    if reply.status == 404 or 200 <= reply.status < 300:
        return reply.status != 404
    return _refuse(name, reply)


def _refuse(name: str, reply: Reply) -> bool:
    text = f"index template {name}: HTTP {reply.status} {reply.body[:500].decode('utf-8', 'replace')}"
    if reply.status in (401, 408, 429) or reply.status >= 500:
        raise Unreached("index_templates", text, reply.retry_after)
    raise Permanent(text)
