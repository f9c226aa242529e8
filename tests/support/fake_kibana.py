"""Kibana's API for saved objects in a few lines, made after its published reference; not run against a real one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from email.parser import BytesParser
from typing import Any

from sidecar.deliver.common.http import Reply
from support import api_server
from support.api_server import Gate


class FakeKibana:
    """`/api/status`, `_export` and `_import` of one or more spaces."""

    def __init__(self, version: str = "9.1.0") -> None:
        self.version = version
        self.spaces: dict[str, dict[tuple[str, str], Any]] = {"": {}}
        self.asked: list[str] = []
        self.refused: dict[str, str] = {}

    def __call__(self, method: str, target: str, body: bytes | None, headers: Mapping[str, str]) -> Reply:
        self.asked.append(f"{method} {target}")
        if not {"kbn-xsrf", "osd-xsrf"} <= headers.keys():
            return Reply(400, b'{"message":"Request must contain a kbn-xsrf header."}')
        path, _, query = target.partition("?")
        space = ""
        if path.startswith("/s/"):
            _, _, space, path = path.split("/", 3)
            path = "/" + path
        if path == "/api/status":
            return Reply(200, json.dumps({"version": {"number": self.version}}).encode())
        if space not in self.spaces:
            return Reply(404, b'{"error":"Not Found"}')
        kept = self.spaces[space]
        if path == "/api/saved_objects/_export":
            return self._export(kept, json.loads(body or b"{}"))
        assert path == "/api/saved_objects/_import"
        return self._import(kept, body or b"", headers["content-type"], query == "overwrite=true")

    def _export(self, kept: dict[tuple[str, str], Any], asked: Any) -> Reply:
        missing = [o for o in asked["objects"] if (o["type"], o["id"]) not in kept]
        if missing:
            said = {"statusCode": 400, "error": "Bad Request", "attributes": {"objects": missing}}
            return Reply(400, json.dumps(said).encode())
        return Reply(200, b"\n".join(json.dumps(kept[o["type"], o["id"]]).encode() for o in asked["objects"]))

    def _import(self, kept: dict[tuple[str, str], Any], body: bytes, kind: str, overwrite: bool) -> Reply:
        (part,) = BytesParser().parsebytes(b"content-type: " + kind.encode() + b"\r\n\r\n" + body).get_payload()
        assert not isinstance(part, str)
        assert part.get_filename().endswith(".ndjson"), "Kibana looks at the name"
        results, errors = [], []
        for line in part.get_payload(decode=True).splitlines():
            saved = json.loads(line)
            key = (saved["type"], saved["id"])
            if saved["id"] in self.refused:
                errors.append({"type": key[0], "id": key[1], "error": {"type": self.refused[saved["id"]]}})
            elif key in kept and not overwrite:
                errors.append({"type": key[0], "id": key[1], "error": {"type": "conflict"}})
            else:
                results.append({"type": key[0], "id": key[1], **({"overwrite": True} if key in kept else {})})
                kept[key] = saved
        said = {"success": not errors, "successCount": len(results), "successResults": results}
        return Reply(200, json.dumps(said | ({"errors": errors} if errors else {})).encode())


def served(fake: FakeKibana, base_path: str = "/kb", authorization: str = "") -> AbstractContextManager[str]:
    """Its address, base path included; requests without `authorization` are answered with 401."""
    return api_server.served(fake, Gate(base_path, authorization, Reply(401, b"{}"), Reply(404, b"{}")))
