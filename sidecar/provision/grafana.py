"""Dashboards into Grafana by its HTTP API: look, plan, save. What was changed there by hand stays.

Source: Grafana's HTTP API reference (dashboard, dashboard versions, folder, health). Each save has a message; ours
names the digest of what was saved. The message of the last version therefore says whether a dashboard is as we left
it, is of another version of ours, or was changed since by somebody.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Literal
from urllib.parse import quote

from sidecar.deliver.common.http import Reply, Request, Unreached
from sidecar.errors import Permanent

FOLDER_UID = "model-sidecar"
_MESSAGE = "model-sidecar "

Action = Literal["create", "update", "keep"]


@dataclass(frozen=True, slots=True)
class Dashboard:
    """One that comes with the program."""

    uid: str
    title: str
    body: Mapping[str, Any]

    @property
    def message(self) -> str:
        """Message of the version that a save of it makes."""
        text = json.dumps(self.body, sort_keys=True, ensure_ascii=False)
        return _MESSAGE + hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Step:
    """What becomes of one dashboard."""

    action: Action
    dashboard: Dashboard
    reason: str = ""

    def __str__(self) -> str:
        text = f"{self.action:<8} dashboard {self.dashboard.uid}: {self.dashboard.title}"
        return f"{text} ({self.reason})" if self.reason else text


def shipped() -> list[Dashboard]:
    """The dashboards that come with the program, by uid."""
    folder = files("sidecar") / "monitoring" / "grafana" / "dashboards"
    bodies = [json.loads(file.read_text("utf-8")) for file in folder.iterdir() if file.name.endswith(".json")]
    return sorted((Dashboard(b["uid"], b["title"], b) for b in bodies), key=lambda d: d.uid)


def version(request: Request) -> str:
    """Grafana's version. Raises `Unreached`, or `Permanent` where it is something else."""
    body = _answer(request("GET", "/api/health", None), "asking who is there")
    if not isinstance(body, dict) or "database" not in body:
        raise Permanent("the address answers, but not as Grafana does; expected its base address, path included")
    return str(body.get("version", "of an unknown version"))


def plan(request: Request, dashboards: Sequence[Dashboard], overwrite: bool) -> list[Step]:
    """What a run would do. Changes nothing."""
    return [_step(request, dashboard, overwrite) for dashboard in dashboards]


def _step(request: Request, dashboard: Dashboard, overwrite: bool) -> Step:
    target = f"/api/dashboards/uid/{quote(dashboard.uid)}"
    reply = request("GET", target, None)
    if reply.status == 404:
        return Step("create", dashboard)
    _answer(reply, f"reading the dashboard {dashboard.uid}")
    versions = _answer(request("GET", f"{target}/versions?limit=1", None), f"reading the versions of {dashboard.uid}")
    message = _last_message(versions)
    if message == dashboard.message:
        return Step("keep", dashboard, "as it should be")
    if message.startswith(_MESSAGE):
        return Step("update", dashboard, "ours, of another version")
    if overwrite:
        return Step("update", dashboard, "changed by hand; ours is put back")
    return Step("keep", dashboard, "changed by hand; --overwrite puts ours back")


def _last_message(versions: Any) -> str:
    """Of the newest version. Older Grafana answers with a list, newer ones with an object that has it as `versions`."""
    found = versions.get("versions") if isinstance(versions, dict) else versions
    if not isinstance(found, list) or not found:
        return ""
    newest = max(found, key=lambda one: int(one.get("version") or 0))
    return str(newest.get("message") or "")


def apply(request: Request, steps: Sequence[Step], folder: str) -> Iterator[Step]:
    """Carry out the changes, each reported when it is done; the folder is made where it is missing.

    Raises `Permanent` or `Unreached` at the first that Grafana refuses."""
    changes = [step for step in steps if step.action != "keep"]
    if changes:
        _ensure_folder(request, folder)
    for step in changes:
        # `overwrite`: what the plan looked at is what is replaced; Grafana would want its version number else.
        body = {
            "dashboard": {**step.dashboard.body, "id": None},
            "folderUid": FOLDER_UID,
            "message": step.dashboard.message,
            "overwrite": True,
        }
        reply = request("POST", "/api/dashboards/db", json.dumps(body).encode())
        _answer(reply, f"{step.action} dashboard {step.dashboard.uid}")
        yield step


def _ensure_folder(request: Request, title: str) -> None:
    reply = request("GET", f"/api/folders/{FOLDER_UID}", None)
    if reply.status == 404:
        body = json.dumps({"uid": FOLDER_UID, "title": title}).encode()
        reply = request("POST", "/api/folders", body)
    _answer(reply, f"making the folder {title}")


def _answer(reply: Reply, what: str) -> Any:
    if not 200 <= reply.status < 300:
        raise _refusal(reply, what)
    try:
        return json.loads(reply.body)
    except ValueError:
        raise Permanent(f"{what}: the answer is no JSON; expected Grafana's API at this address") from None


def _refusal(reply: Reply, what: str) -> Permanent | Unreached:
    try:
        reason = str(json.loads(reply.body)["message"])
    except (ValueError, KeyError, TypeError):
        reason = reply.body[:500].decode("utf-8", "replace").strip() or "no reason given"
    text = f"{what}: HTTP {reply.status}: {reason}"
    if reply.status == 401:
        return Permanent(f"{text} (the credentials are refused)")
    if reply.status == 403:
        return Permanent(f"{text} (the service account needs the role Editor)")
    if reply.is_temporary:
        return Unreached("setup", text, reply.retry_after)
    return Permanent(text)
