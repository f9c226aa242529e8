"""Saved objects into Kibana 8 and 9 and OpenSearch Dashboards, by the API that both have for it.

Source: `POST /api/saved_objects/_import` and `_export` in the references of Kibana 8 and OpenSearch Dashboards. An
import answers 200 even where objects were not imported; `errors` has one entry for each with its type: `conflict` where
the object is there and overwriting was not asked for. Kibana wants the header `kbn-xsrf`, OpenSearch Dashboards
`osd-xsrf`; each ignores the other's.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Literal
from urllib.parse import quote

from sidecar.deliver.common.http import Reply, Send
from sidecar.deliver.elasticsearch.answers import absent, rejection
from sidecar.errors import Permanent

_XSRF = {"kbn-xsrf": "model-sidecar", "osd-xsrf": "model-sidecar"}
_SPACE = re.compile(r"[a-z0-9_-]{1,100}")

Key = tuple[str, str]
"""(type, id) of a saved object."""


@dataclass(frozen=True, slots=True)
class Objects:
    """The file to import."""

    ndjson: bytes
    keys: tuple[Key, ...]
    titles: Mapping[Key, str]


@dataclass(frozen=True, slots=True)
class Step:
    """What becomes, or became, of one saved object."""

    action: Literal["create", "update", "keep"]
    key: Key
    title: str

    def __str__(self) -> str:
        return f"{self.action:<8} {self.key[0]} {self.key[1]}: {self.title}"


@dataclass(frozen=True, slots=True)
class Dashboards:
    """What answers at the address."""

    name: Literal["Kibana", "OpenSearch Dashboards"]
    version: str

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


def shipped() -> Objects:
    """The objects that come with the program."""
    data = (files("sidecar") / "elk" / "kibana" / "objects.ndjson").read_bytes()
    objects = [json.loads(line) for line in data.splitlines()]
    titles = {(o["type"], o["id"]): str(o["attributes"]["title"]) for o in objects}
    return Objects(data, tuple(titles), titles)


def detect(send: Send) -> Dashboards:
    """Ask which of the two is there. Raises `Unreached`, or `Permanent` where it is neither or too old."""
    reply = send("GET", "/api/status", None, _XSRF)
    if absent(reply):
        raise Permanent(
            "there is no /api/status at this address; expected that of Kibana or OpenSearch Dashboards, such as "
            "https://kibana:5601, not of a node"
        )
    if reply.status != 200:
        raise rejection(reply, "asking who is there")
    try:
        number = str(json.loads(reply.body)["version"]["number"])
        major = int(number.split(".")[0])
    except (ValueError, KeyError, TypeError):
        raise Permanent(
            "invalid answer to GET /api/status: no version; expected Kibana or OpenSearch Dashboards, and valid "
            "credentials"
        ) from None
    # OpenSearch Dashboards began to count at 1 when Kibana was at 7.
    if major < 7:
        return Dashboards("OpenSearch Dashboards", number)
    if major < 8:
        raise Permanent(f"Kibana {number} is too old: 8 or later is needed")
    return Dashboards("Kibana", number)


def plan(send: Send, objects: Objects, space: str, overwrite: bool) -> list[Step]:
    """What an import would do. Changes nothing."""
    there = present(send, objects, space)
    steps = []
    for key in objects.keys:
        action: Literal["create", "update", "keep"] = "create"
        if key in there:
            action = "update" if overwrite else "keep"
        steps.append(Step(action, key, objects.titles[key]))
    return steps


def present(send: Send, objects: Objects, space: str) -> set[Key]:
    """Which of the objects are there. An export names those that it does not find, in an error."""
    wanted = list(objects.keys)
    for _ in range(2):
        if not wanted:
            return set()
        asked = {"objects": [{"type": t, "id": i} for t, i in wanted], "excludeExportDetails": True}
        headers = {**_XSRF, "content-type": "application/json"}
        reply = send("POST", f"{prefix(space)}/api/saved_objects/_export", json.dumps(asked).encode(), headers)
        if reply.status == 200:
            return set(wanted)
        missing = _missing(reply)
        if not missing:
            raise rejection(reply, "asking which saved objects are there")
        wanted = [key for key in wanted if key not in missing]
    return set(wanted)


def _missing(reply: Reply) -> set[Key]:
    if reply.status != 400:
        return set()
    try:
        named = json.loads(reply.body)["attributes"]["objects"]
        return {(str(o["type"]), str(o["id"])) for o in named}
    except (ValueError, KeyError, TypeError):
        return set()


def load(send: Send, objects: Objects, space: str, overwrite: bool) -> list[Step]:
    """Import; what became of each object. Raises `Permanent` with the reasons where one was not imported."""
    boundary = uuid.uuid4().hex
    body = (
        (
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="objects.ndjson"\r\n'
            "Content-Type: application/ndjson\r\n\r\n"
        ).encode()
        + objects.ndjson
        + f"\r\n--{boundary}--\r\n".encode()
    )
    headers = {**_XSRF, "content-type": f"multipart/form-data; boundary={boundary}"}
    target = f"{prefix(space)}/api/saved_objects/_import?overwrite={str(overwrite).lower()}"
    reply = send("POST", target, body, headers)
    if reply.status != 200:
        raise rejection(reply, "importing saved objects")
    return outcome(json.loads(reply.body), objects, overwrite)


def outcome(reply: Mapping[str, Any], objects: Objects, overwrite: bool) -> list[Step]:
    """The reply of an import as steps."""
    there: set[Key] = set()
    problems = []
    for error in reply.get("errors") or ():
        key = (str(error.get("type")), str(error.get("id")))
        problem = error.get("error") or {}
        if problem.get("type") == "conflict" and not overwrite:
            there.add(key)
        else:
            problems.append(f"{key[0]} {key[1]}: {problem.get('message') or problem.get('type') or 'not imported'}")
    if problems or not (reply.get("success") or there):
        raise Permanent("not imported: " + "; ".join(problems or ["no reason given"]))
    replaced = {(str(r.get("type")), str(r.get("id"))) for r in reply.get("successResults") or () if r.get("overwrite")}
    return [
        Step("keep" if key in there else "update" if key in replaced else "create", key, objects.titles[key])
        for key in objects.keys
    ]


def prefix(space: str) -> str:
    """Path of a space. Raises `Permanent` for what can be no space's name."""
    if space in ("", "default"):
        return ""
    if not _SPACE.fullmatch(space):
        raise Permanent(f"invalid space: {space!r}; expected small letters, digits, hyphens and underscores")
    return f"/s/{quote(space)}"
