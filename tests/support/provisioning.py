"""An Elasticsearch or OpenSearch of a few lines, for what sets it up."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sidecar.deliver.common.http import Reply

NO_HANDLER = Reply(400, b'{"error":"no handler found for uri [/x] and method [GET]"}')


class FakeEngine:
    """Keeps what is put, by address; answers in the forms of Elasticsearch and OpenSearch."""

    def __init__(self, kind: str = "elasticsearch", ilm: bool = True, built_in: bool = False) -> None:
        self.kind, self.ilm, self.built_in = kind, ilm, built_in
        self.kept: dict[str, Any] = {}
        self.asked: list[tuple[str, str]] = []
        self.scripted: dict[tuple[str, str], Reply] = {}
        self.unknown_words: tuple[str, ...] = ()

    def __call__(self, method: str, target: str, body: bytes | None) -> Reply:
        self.asked.append((method, target))
        path, _, query = target.partition("?")
        if (method, path) in self.scripted:
            return self.scripted[method, path]
        if path == "/":
            version = {"number": "9.1.0"} | ({"distribution": "opensearch"} if self.kind == "opensearch" else {})
            return Reply(200, json.dumps({"version": version}).encode())
        if path == "/_nodes/ingest":
            types = [{"type": t} for t in ("json", "script", "set", "date", "remove")]
            return Reply(200, json.dumps({"nodes": {"a": {"ingest": {"processors": types}}}}).encode())
        if method == "HEAD":
            return Reply(200 if path in self.kept or (self.built_in and path.endswith("-otel@template")) else 404)
        lifecycle = "/_ilm/" if self.kind == "elasticsearch" else "/_plugins/_ism/"
        if path.startswith(("/_ilm/", "/_plugins/_ism/")) and (not self.ilm or not path.startswith(lifecycle)):
            return NO_HANDLER
        if method == "PUT":
            return self._put(path, query, body or b"")
        return self._get(path)

    def _put(self, path: str, query: str, body: bytes) -> Reply:
        for word in self.unknown_words:
            if word.encode() in body:
                return Reply(400, f'{{"error":{{"reason":"unsupported parameters: [{word}]"}}}}'.encode())
        if "/_ism/" in path and path in self.kept and query != "if_seq_no=4&if_primary_term=1":
            return Reply(409, b'{"error":{"reason":"version conflict"}}')
        self.kept[path] = json.loads(body)
        return Reply(200, b'{"acknowledged":true}')

    def _get(self, path: str) -> Reply:
        if path == "/_index_template":
            found = [
                {"name": p.rsplit("/", 1)[1], "index_template": b}
                for p, b in self.kept.items()
                if p.startswith("/_index_template/")
            ]
            return Reply(200, json.dumps({"index_templates": found}).encode())
        if path not in self.kept:
            return Reply(404, b"{}")
        name, body = path.rsplit("/", 1)[1], self.kept[path]
        shown: Mapping[str, Any] = {name: body}
        if path.startswith("/_component_template/"):
            shown = {"component_templates": [{"name": name, "component_template": body}]}
        elif path.startswith("/_index_template/"):
            shown = {"index_templates": [{"name": name, "index_template": body}]}
        elif "/_ism/" in path:
            shown = {"_id": name, "_seq_no": 4, "_primary_term": 1, **body}
        return Reply(200, json.dumps(shown).encode())
