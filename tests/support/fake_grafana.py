"""Grafana's API for dashboards and folders in a few lines, made after its published reference; not run against a real
one."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from sidecar.deliver.common.http import Reply
from support import api_server
from support.api_server import Gate


@dataclass
class FakeGrafana:
    """`/api/health`, `/api/folders`, `/api/dashboards`; a dashboard has versions with messages."""

    versions_as_object: bool = True
    """Newer ones wrap the list of versions."""
    dashboards: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """uid -> saves, oldest first: dashboard, message, folder."""
    folders: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    failing: dict[str, Reply] = field(default_factory=dict)
    """"METHOD /path" -> a reply instead of its own."""

    def __call__(self, method: str, target: str, body: bytes | None) -> Reply:
        self.asked.append(f"{method} {target}")
        path = target.partition("?")[0]
        if reply := self.failing.get(f"{method} {path}"):
            return reply
        if path == "/api/health":
            return _json({"database": "ok", "version": "12.0.0"})
        if path.startswith("/api/folders"):
            return self._folders(method, path.removeprefix("/api/folders").strip("/"), json.loads(body or b"{}"))
        if path == "/api/dashboards/db":
            return self.save(json.loads(body or b"{}"))
        uid, _, rest = path.removeprefix("/api/dashboards/uid/").partition("/")
        if uid not in self.dashboards:
            return Reply(404, b'{"message":"Dashboard not found"}')
        saves = self.dashboards[uid]
        if rest == "versions":
            newest = [{"id": 7, "version": len(saves), "message": saves[-1]["message"]}]
            return _json({"continueToken": "", "versions": newest} if self.versions_as_object else newest)
        return _json({"dashboard": saves[-1]["dashboard"] | {"id": 7, "version": len(saves)}, "meta": {}})

    def _folders(self, method: str, uid: str, body: Any) -> Reply:
        if method == "POST":
            self.folders[body["uid"]] = body["title"]
            return _json(body)
        return _json({"uid": uid}) if uid in self.folders else Reply(404, b'{"message":"folder not found"}')

    def save(self, body: Any) -> Reply:
        uid = body["dashboard"]["uid"]
        if uid in self.dashboards and not body.get("overwrite"):
            return Reply(412, b'{"status":"version-mismatch","message":"The dashboard has been changed"}')
        if body.get("folderUid") and body["folderUid"] not in self.folders:
            return Reply(400, b'{"message":"folder not found"}')
        self.dashboards.setdefault(uid, []).append({**body, "message": body.get("message", "")})
        return _json({"status": "success", "uid": uid, "version": len(self.dashboards[uid])})

    def change_by_hand(self, uid: str) -> None:
        """What somebody does in the browser."""
        last = self.dashboards[uid][-1]
        self.dashboards[uid].append({**last, "message": ""})


def _json(body: Any) -> Reply:
    return Reply(200, json.dumps(body).encode())


def served(fake: FakeGrafana, base_path: str = "/grafana", authorization: str = "") -> AbstractContextManager[str]:
    """Its address, base path included; requests without `authorization` are answered with 401."""
    unauthorized = Reply(401, b'{"message":"Invalid API key"}')
    gate = Gate(base_path, authorization, unauthorized, Reply(404, b"not here"))
    return api_server.served(lambda method, path, body, _: fake(method, path, body or None), gate)
