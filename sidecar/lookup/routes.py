"""The look-up APIs at the serve port.

| path | API |
|---|---|
| `/api/…` | Jaeger's query API, and of Tempo's what Jaeger's does not have |
| `/tempo/api/…` | Tempo's, all of it |
| `/lookup/traces`, `/lookup/traces/{id}` | the program's own: with log records |

`/api/traces/{id}` is Jaeger's, and Tempo's where protobuf is asked for, which Jaeger has not.
"""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from sidecar.lookup import jaeger_routes, tempo_routes
from sidecar.lookup.answering import Desk, Failure, NotFound, Parameters, as_json, full_trace_id
from sidecar.lookup.jaeger import SpanQuery
from sidecar.lookup.search import Search, query_search, search
from sidecar.lookup.settings import LookupOptions
from sidecar.lookup.store import Deadline, TraceStore, Window
from sidecar.lookup.traceql.parser import parse
from sidecar.lookup.views import summary, trace_view

MAX_RECENT, DEFAULT_RECENT = 200, 20
_MICRO = 1_000
_ALWAYS = (1 << 63) - 1


def lookup_routers(store: TraceStore, options: LookupOptions) -> list[APIRouter]:
    """All routes."""
    desk = Desk(store, options)
    return [
        _shared(desk),
        jaeger_routes.jaeger_router(desk),
        tempo_routes.tempo_router(desk),
        tempo_routes.tempo_router(desk, "/tempo"),
        _own(desk),
    ]


def _shared(desk: Desk) -> APIRouter:
    router = APIRouter()

    @router.get("/api/traces/{trace_id}")
    async def trace(trace_id: str, request: Request) -> Response:
        if tempo_routes.wants_protobuf(request):
            return await desk.answer(
                lambda deadline: tempo_routes.trace_answer(desk, trace_id, request, deadline), tempo_routes.failed
            )
        return await desk.answer(
            lambda deadline: jaeger_routes.trace_answer(desk, trace_id, deadline), jaeger_routes.failed
        )

    return router


def _own(desk: Desk) -> APIRouter:
    router = APIRouter(prefix="/lookup/traces")

    @router.get("")
    async def traces(request: Request) -> Response:
        return await desk.answer(lambda deadline: _list(desk, request, deadline), failed)

    @router.get("/{trace_id}")
    async def trace(trace_id: str) -> Response:
        def work(deadline: Deadline) -> Response:
            wanted = full_trace_id(trace_id)
            found = desk.store.traces([wanted], deadline)
            if not found:
                raise NotFound(f"nothing is kept of trace {wanted}: it never came, or retention has deleted it")
            return as_json(trace_view(found[0]))

        return await desk.answer(work, failed)

    return router


def failed(failure: Failure) -> Response:
    """A failure as the program's own endpoints have it."""
    return as_json({"message": failure.message}, failure.status)


def _list(desk: Desk, request: Request, deadline: Deadline) -> Response:
    """The newest traces: of a service (`service`), or those that a TraceQL query finds (`q`)."""
    given = Parameters(request)
    start, end = given.time("start", _MICRO), given.time("end", _MICRO)
    # Without a range it is about all that is kept, newest first, up to the limit.
    window = Window(0, _ALWAYS) if start is None and end is None else desk.window(start, end)
    limit = given.count("limit", DEFAULT_RECENT, MAX_RECENT)
    if text := given.query():
        wanted = query_search(parse(text), window, limit)
    else:
        query = SpanQuery(given.text("service"), "", {})
        wanted = Search(query.needs, query.judge, window, limit)
    found = search(desk.store, wanted, deadline)
    return as_json({"traces": [summary(match.trace) for match in found.matches], "complete": found.complete})
