"""Jaeger's query API over HTTP: `/api/…` and `/api/v3/…`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from fastapi import APIRouter, Request, Response

from sidecar.lookup.answering import (
    MAX_SHOWN,
    NANO,
    BadRequest,
    Desk,
    Failure,
    NotFound,
    Parameters,
    as_json,
    full_trace_id,
    parse_duration,
)
from sidecar.lookup.jaeger import SpanQuery, envelope, read_tags, trace_json
from sidecar.lookup.model import Trace
from sidecar.lookup.otlp import json_resource_spans
from sidecar.lookup.search import MAX_TRACES, Found, Search, search, service_graph
from sidecar.lookup.store import Deadline, Window

_MICRO, _MILLI = 1_000, 1_000_000
DEFAULT_LIMIT = 100
"""Traces of a search, as in Jaeger's v1 API."""
_PARTLY = "the time was up before everything was looked at: ask for a shorter time range"
_V3_DEFAULT_LIMIT = 100


def jaeger_router(desk: Desk) -> APIRouter:
    """The routes. `/api/traces/{id}` is left to who puts the routers together."""
    router = APIRouter()
    _add_lists(router, desk)
    _add_v3(router, desk)

    @router.get("/api/traces")
    async def traces(request: Request) -> Response:
        return await desk.answer(lambda deadline: _search(desk, request, deadline), failed)

    @router.get("/api/dependencies")
    async def dependencies(request: Request) -> Response:
        return await desk.answer(lambda deadline: _dependencies(desk, request, deadline), failed)

    return router


def _add_lists(router: APIRouter, desk: Desk) -> None:
    @router.get("/api/services")
    async def services() -> Response:
        def work(deadline: Deadline) -> Response:
            names = _services(desk, deadline)
            return as_json(envelope(names, len(names)))

        return await desk.answer(work, failed)

    @router.get("/api/services/{service:path}/operations")
    async def operations(service: str) -> Response:
        def work(deadline: Deadline) -> Response:
            names = list(dict.fromkeys(o.name for o in desk.store.operations(service, deadline)))
            # null rather than an empty list, as Jaeger has it.
            return as_json(envelope(names or None, len(names)))

        return await desk.answer(work, failed)

    @router.get("/api/operations")
    async def kinds(request: Request) -> Response:
        def work(deadline: Deadline) -> Response:
            found = _operations(desk, request, deadline)
            return as_json(envelope(found, len(found)))

        return await desk.answer(work, failed)


def _add_v3(router: APIRouter, desk: Desk) -> None:
    @router.get("/api/v3/services")
    async def services() -> Response:
        return await desk.answer(lambda deadline: as_json({"services": _services(desk, deadline)}), failed_v3)

    @router.get("/api/v3/operations")
    async def operations(request: Request) -> Response:
        return await desk.answer(
            lambda deadline: as_json({"operations": _operations(desk, request, deadline, "span_kind")}), failed_v3
        )

    @router.get("/api/v3/traces/{trace_id}")
    async def trace(trace_id: str) -> Response:
        def work(deadline: Deadline) -> Response:
            return _v3([_one(desk, trace_id, deadline)])

        return await desk.answer(work, failed_v3)

    @router.get("/api/v3/traces")
    async def traces(request: Request) -> Response:
        return await desk.answer(lambda deadline: _search_v3(desk, request, deadline), failed_v3)


def failed(failure: Failure) -> Response:
    """A failure as the v1 API has it."""
    body = envelope(None, errors=[{"code": failure.status, "msg": failure.message}])
    return as_json(body, failure.status)


def failed_v3(failure: Failure) -> Response:
    """A failure as the v3 API has it."""
    return as_json({"error": {"httpCode": failure.status, "message": failure.message}}, failure.status)


def trace_answer(desk: Desk, trace_id: str, deadline: Deadline) -> Response:
    """`GET /api/traces/{trace_id}`."""
    return as_json(envelope([trace_json(_one(desk, trace_id, deadline))]))


def _one(desk: Desk, trace_id: str, deadline: Deadline) -> Trace:
    found = desk.store.traces([full_trace_id(trace_id)], deadline)
    if not found or not found[0].spans:
        raise NotFound("trace not found")
    return found[0]


def _services(desk: Desk, deadline: Deadline) -> list[str]:
    return desk.store.services(deadline)


def _operations(desk: Desk, request: Request, deadline: Deadline, kind: str = "spanKind") -> list[dict[str, str]]:
    given = Parameters(request)
    service, wanted = given.text("service"), given.text(kind).lower()
    if not service:
        raise BadRequest("parameter 'service' is required")
    found = desk.store.operations(service, deadline)
    shown = [{"name": o.name, "spanKind": "" if o.kind == "unspecified" else o.kind} for o in found]
    return [one for one in shown if not wanted or one["spanKind"] == wanted]


def _search(desk: Desk, request: Request, deadline: Deadline) -> Response:
    given = Parameters(request)
    if ids := given.all("traceID"):
        if len(ids) > MAX_TRACES:
            raise BadRequest(f"{len(ids)} trace ids; expected at most {MAX_TRACES}")
        found = desk.store.traces(list(dict.fromkeys(map(full_trace_id, ids))), deadline)
        return as_json(envelope([trace_json(trace) for trace in found if trace.spans]))
    query = SpanQuery(
        given.text("service"),
        given.text("operation"),
        read_tags(given.all("tags"), given.all("tag")),
        _duration(given, "minDuration"),
        _duration(given, "maxDuration"),
    )
    window = desk.window(given.time("start", _MICRO), given.time("end", _MICRO))
    limit = given.count("limit", DEFAULT_LIMIT, MAX_TRACES)
    answer = _run(desk, query, window, limit, deadline)
    errors = [] if answer.complete else [{"code": 504, "msg": _PARTLY}]
    return as_json(envelope([trace_json(match.trace) for match in answer.matches], errors=errors))


def _run(desk: Desk, query: SpanQuery, window: Window, limit: int, deadline: Deadline) -> Found:
    if None not in (query.shortest_ns, query.longest_ns) and (query.shortest_ns or 0) > (query.longest_ns or 0):
        raise BadRequest("'maxDuration' should be greater than 'minDuration'")
    return search(desk.store, Search(query.needs, query.judge, window, limit), deadline)


def _duration(given: Parameters, *names: str) -> int | None:
    text = given.text(*names)
    return parse_duration(names[0], text) if text else None


def _search_v3(desk: Desk, request: Request, deadline: Deadline) -> Response:
    given = Parameters(request)
    begin, end = given.text("query.start_time_min"), given.text("query.start_time_max")
    if not begin or not end:
        raise BadRequest("query.start_time_min and query.start_time_max are required")
    query = SpanQuery(
        given.text("query.service_name"),
        given.text("query.operation_name"),
        read_tags(given.all("query.attributes"), ()),
        _duration(given, "query.duration_min"),
        _duration(given, "query.duration_max"),
    )
    window = desk.window(_time(begin), _time(end))
    limit = Parameters(request).count("query.num_traces", _V3_DEFAULT_LIMIT, MAX_TRACES)
    if given.text("query.search_depth"):
        limit = given.count("query.search_depth", _V3_DEFAULT_LIMIT, MAX_TRACES)
    answer = _run(desk, query, window, limit, deadline)
    if not answer.matches:
        raise NotFound("No traces found")
    return _v3([match.trace for match in answer.matches])


def _v3(traces: Sequence[Trace]) -> Response:
    spans: list[Any] = [part for trace in traces for part in json_resource_spans(trace.spans)]
    return as_json({"result": {"resourceSpans": spans}})


def _time(given: str) -> int:
    """RFC 3339 in Unix nanoseconds (digits below a microsecond do not count)."""
    try:
        time = datetime.fromisoformat(given)
    except ValueError:
        time = None
    if time is None or time.tzinfo is None:
        raise BadRequest(f"invalid time: {given[:MAX_SHOWN]!r}; expected RFC 3339, as in 2026-01-01T00:00:00Z")
    return int(time.timestamp() * 1_000_000) * 1_000


def _dependencies(desk: Desk, request: Request, deadline: Deadline) -> Response:
    given = Parameters(request)
    end = given.time("endTs", _MILLI)
    lookback = given.time("lookback", _MILLI)
    end = desk.now_ns if end is None else end
    window = desk.window(end - (24 * 3600 * NANO if lookback is None else lookback), end)
    graph = service_graph(desk.store, window, deadline)
    errors = [] if graph.complete else [{"code": 504, "msg": "only the newest spans were looked at"}]
    edges = [{"parent": e.parent, "child": e.child, "callCount": e.calls} for e in graph.edges]
    return as_json(envelope(edges, errors=errors))
