"""`sidecar setup check`: whether what was set up is there, may be written to, and is arriving."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from sidecar.deliver.common.http import Request
from sidecar.deliver.elasticsearch.answers import absent, answer, reason
from sidecar.errors import Permanent
from sidecar.provision import cluster_objects, plan
from sidecar.provision.search_engine import Engine

State = Literal["ok", "warning", "failed"]
STREAMS = ("traces-generic.otel-default", "logs-generic.otel-default")
_ALL = "traces-*.otel-*,logs-*.otel-*"
_PRIVILEGES = ("create_doc", "auto_configure")


@dataclass(frozen=True, slots=True)
class Result:
    """One thing checked."""

    state: State
    what: str
    detail: str


def check(request: Request, engine: Engine, minutes: int) -> Iterator[Result]:
    """Each result as soon as it is known. `minutes`: how old the newest document may be. Raises `Unreached` where the
    engine stops answering."""
    yield Result("ok", "engine", str(engine))
    checks = {
        "objects": _objects,
        "index templates": _overriding,
        "data streams": _lifecycle,
        "writing": _write,
    }
    for what, run in checks.items():
        try:
            yield from run(request, engine)
        except Permanent as error:
            yield Result("warning", what, f"cannot be checked: {error.reason}")
    yield from _arriving(request, minutes)


def _objects(request: Request, engine: Engine) -> Iterator[Result]:
    for step in plan.compare(request, cluster_objects.wanted(engine), overwrite=False):
        what = f"{step.wanted.kind.label} {step.wanted.name}"
        state: State = "ok"
        detail = step.reason
        if step.action == "create":
            state = "failed" if step.wanted.kind in (cluster_objects.COMPONENT, cluster_objects.INDEX) else "warning"
            detail = "not there: run `sidecar setup elasticsearch`"
        elif step.action in ("update", "foreign", "skip"):
            state = "warning"
        yield Result(state, what, detail)


def _overriding(request: Request, engine: Engine) -> Iterator[Result]:
    for line in plan.overriding(request, engine):
        yield Result("warning", "index templates", line)


def _lifecycle(request: Request, engine: Engine) -> Iterator[Result]:
    """Which template and policy each data stream has; one without a policy is never deleted."""
    if lacking := engine.lacks.get("data_stream_api"):
        yield Result("warning", "data streams", f"cannot be listed: {lacking}")
        return
    streams = (answer(request("GET", f"/_data_stream/{_ALL}", None), "listing data streams") or {}).get(
        "data_streams", ()
    )
    for stream in streams:
        policy = stream.get("ilm_policy")
        if engine.kind == "elasticsearch" and not policy and "lifecycle" not in stream:
            detail = "no lifecycle policy: its documents are never deleted; roll it over after setting up"
            yield Result("warning", stream["name"], detail)
        else:
            with_policy = f", policy {policy}" if policy else ""
            yield Result("ok", stream["name"], f"template {stream.get('template', '?')}{with_policy}")


def _write(request: Request, engine: Engine) -> Iterator[Result]:
    """Asked of the engine where it can be asked, else tried with documents that no data stream accepts."""
    if engine.kind == "elasticsearch" and "security" not in engine.lacks:
        body = {"index": [{"names": list(STREAMS), "privileges": list(_PRIVILEGES)}]}
        privileges = answer(
            request("POST", "/_security/user/_has_privileges", json.dumps(body).encode()), "asking for privileges"
        )
        for stream, held in ((privileges or {}).get("index") or {}).items():
            missing = [name for name in _PRIVILEGES if not held.get(name)]
            detail = f"the credentials lack {' and '.join(missing)}" if missing else "allowed"
            yield Result("failed" if missing else "ok", f"writing to {stream}", detail)
        return
    for stream in STREAMS:
        yield _try_write(request, stream)


def _try_write(request: Request, stream: str) -> Result:
    """A document without a time, which a data stream rejects after it has checked who sends it. Only where the data
    stream is there: elsewhere this would make one."""
    what = f"writing to {stream}"
    there = request("HEAD", f"/{stream}", None)
    if there.status != 200:
        return Result("warning", what, "not tried: there is no such data stream before the first document")
    resolved = request("GET", f"/_resolve/index/{stream}", None)
    if b'"data_streams":[]' in resolved.body.replace(b" ", b"") or resolved.status != 200:
        return Result("failed", what, "it is a plain index: delete it (or move its documents), then set up again")
    lines = f'{{"create":{{"_index":"{stream}"}}}}\n{{"probe":"of model-sidecar"}}\n'
    reply = request("POST", "/_bulk?filter_path=items.*.status,items.*.error", lines.encode())
    if reply.status != 200:
        return Result("failed", what, f"HTTP {reply.status}: {reason(reply)}")
    item = json.loads(reply.body)["items"][0]["create"]
    if item["status"] == 400:
        return Result("ok", what, "allowed")
    return Result("failed", what, f"HTTP {item['status']}: {json.dumps(item.get('error', {}))[:500]}")


def _arriving(request: Request, minutes: int) -> Iterator[Result]:
    query = {
        "size": 0,
        "track_total_hits": True,
        "query": {"range": {"@timestamp": {"gte": f"now-{minutes}m"}}},
        "aggs": {"newest": {"max": {"field": "@timestamp"}}},
    }
    target = f"/{_ALL}/_search?ignore_unavailable=true&allow_no_indices=true"
    reply = request("POST", target, json.dumps(query).encode())
    if reply.status in (401, 403):
        yield Result("warning", "documents", "cannot be searched: the credentials may not read them")
    elif reply.status != 200 or absent(reply):
        yield Result("failed", "documents", f"HTTP {reply.status}: {reason(reply)}")
    else:
        found = json.loads(reply.body)
        count = int(found["hits"]["total"]["value"])
        if count:
            # Not `value_as_string`: its format is the mapping's, which is milliseconds since 1970 in some.
            newest = datetime.fromtimestamp(found["aggregations"]["newest"]["value"] / 1000, UTC)
            detail = f"{count} within {minutes} minutes, the newest of {newest:%Y-%m-%dT%H:%M:%SZ}"
            yield Result("ok", "documents", detail)
        else:
            detail = f"none within {minutes} minutes: send something, then see `sidecar journal status`"
            yield Result("failed", "documents", detail)
