"""The least that data streams need: two index templates, put only where there are none of that name.

Elasticsearch 8.16 and later bring `traces-otel@template` and `logs-otel@template` of their own, made for the same
documents; they are left as they are and take precedence. Elsewhere (OpenSearch, older or reduced Elasticsearch) a
`create` would make a plain index with guessed mappings; with these templates it makes a data stream.

The templates are those that `sidecar setup elasticsearch` puts, each with its component templates written into it, so
that one request is enough; the command replaces them by the composed ones.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.resources import files
from typing import Any

from sidecar.deliver.common.http import Reply, Request, Unreached
from sidecar.deliver.elasticsearch import index_patterns
from sidecar.errors import Permanent

_BUILT_IN = {"traces": "traces-otel@template", "logs": "logs-otel@template"}
_OWN = {"traces": "sidecar-traces-otel", "logs": "sidecar-logs-otel"}

DOTTED = ("subobjects", "disable_objects")
"""How a mapping says that attribute names keep their dots, so that `a` and `a.b` may both be there: Elasticsearch,
OpenSearch 3. Engines that know neither refuse the second of the two."""


def load(engine: str, kind: str) -> dict[str, dict[str, Any]]:
    """Name -> body of every object of a kind (a folder below `elk/`) for `elasticsearch` or `opensearch`, by name."""
    folder = files("sidecar") / "elk" / engine / kind
    if not folder.is_dir():
        return {}
    found = sorted((entry for entry in folder.iterdir() if entry.name.endswith(".json")), key=lambda e: e.name)
    return {entry.name.removesuffix(".json"): json.loads(entry.read_text("utf-8")) for entry in found}


def variants(body: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The template as it is, and for engines that refuse it for a word of `DOTTED`, without that."""
    yield dict(body)
    yield _plain(body)


def refused_for_dots(reply: Reply) -> bool:
    """True where an engine refused a template since it does not know a word of `DOTTED`."""
    return reply.status == 400 and any(word.encode() in reply.body for word in DOTTED)


def _plain(value: Any) -> Any:
    """Without the words of `DOTTED`, and without the fields named below them: to such an engine `http.route` is an
    object `http`, which would refuse an attribute `http`."""
    if not isinstance(value, Mapping):
        return value
    dotted = any(word in value for word in DOTTED)
    return {k: _plain(v) for k, v in value.items() if k not in DOTTED and not (dotted and k == "properties")}


def template(engine: str, kinds: Sequence[str], index: str | None = None) -> dict[str, Any]:
    """The index template for `traces-*.otel-*` or `logs-*.otel-*` with its component templates written into it, those
    left out that are for an operator to fill. With `index`, it is for plain indices of that pattern, and for
    documents of all `kinds`."""
    components = load(engine, "component_templates")
    bodies = load(engine, "index_templates")
    merged: dict[str, Any] = {}
    for body in (bodies[_OWN[kind]] for kind in kinds):
        for name in body.pop("composed_of"):
            if not name.endswith(("@lifecycle", "@custom")):
                _merge(merged, components[name]["template"])
    body = bodies[_OWN[kinds[0]]]
    if index is not None:
        body["index_patterns"] = [index]
        del body["data_stream"]
    return {**body, "template": merged, "_meta": {**body["_meta"], "managed_by": "model-sidecar"}}


def _merge(into: dict[str, Any], more: Mapping[str, Any]) -> None:
    for key, value in more.items():
        if isinstance(value, Mapping) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = dict(value) if isinstance(value, Mapping) else value


def ensure_templates(request: Request, index: str | None = None) -> Iterable[str]:
    """Put the two templates where neither a built-in one nor one of our name exists; gives the names that were put.
    With `index` (a pattern as in `targets`), those for its indices.

    Raises `Unreached` where the engine cannot answer now, `Permanent` where it refuses (no privilege, or another
    template of the same patterns and priority); delivery can go on without.
    """
    for name, kinds, pattern in _wanted(index):
        built_in = pattern is None and _exists(request, _BUILT_IN[kinds[0]])
        if built_in or _exists(request, name):
            continue
        opensearch = template("opensearch", kinds, pattern)
        for body in (template("elasticsearch", kinds, pattern), *variants(opensearch)):
            reply = request("PUT", f"/_index_template/{name}", json.dumps(body).encode())
            if not refused_for_dots(reply):
                break
        if not 200 <= reply.status < 300:
            _refuse(name, reply)
        yield name


def _wanted(index: str | None) -> Iterator[tuple[str, Sequence[str], str | None]]:
    """(template's name, kinds of documents, index pattern if not the data streams')."""
    if index is None:
        yield from ((name, (kind,), None) for kind, name in _OWN.items())
        return
    by_pattern: dict[str, list[str]] = {}
    for kind in _OWN:
        by_pattern.setdefault(index_patterns.wildcard(index, kind), []).append(kind)
    for pattern, kinds in by_pattern.items():
        yield f"sidecar-{'-'.join(kinds)}-index", kinds, pattern


def _exists(request: Request, name: str) -> bool:
    reply = request("HEAD", f"/_index_template/{name}", None)
    if reply.status == 404 or 200 <= reply.status < 300:
        return reply.status != 404
    return _refuse(name, reply)


def _refuse(name: str, reply: Reply) -> bool:
    text = f"index template {name}: HTTP {reply.status} {reply.body[:500].decode('utf-8', 'replace')}".strip()
    if reply.status == 401 or reply.is_temporary:
        raise Unreached("credentials" if reply.status == 401 else "index_templates", text, reply.retry_after)
    raise Permanent(text)
