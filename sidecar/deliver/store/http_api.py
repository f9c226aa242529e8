"""Trace look-ups over HTTP.

`GET /api/traces/{trace_id}` (32 hex digits) answers

    {"traceId", "rootName", "rootService", "startTimeUnixNano", "durationNano", "error", "truncated",
     "spans": [{"spanId", "parentSpanId", "traceState", "name", "kind", "service", "startTimeUnixNano",
                "endTimeUnixNano", "durationNano", "status": {"code", "message"}, "attributes", "resource",
                "scope": {"name", "version", "attributes"},
                "events": [{"name", "timeUnixNano", "attributes"}],
                "links": [{"traceId", "spanId", "attributes"}]}],
     "logs": [{"timeUnixNano", "observedTimeUnixNano", "severityText", "severityNumber", "spanId", "eventName",
               "body", "service", "attributes", "resource", "scope"}]}

with ids in hex, times as decimal text (nanoseconds do not fit JavaScript's numbers), durations in nanoseconds, kinds as
`Server`, status codes as `Unset`, `Ok`, `Error`. 400 where the id is not one, 404 where nothing is kept of the trace.

`GET /api/traces?service=&limit=` answers `{"traces": [{"traceId", "rootName", "rootService", "startTimeUnixNano",
"durationNano", "error", "spanCount", "services"}]}`, newest first, from what was received last.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Protocol

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse

_TRACE_ID = re.compile(r"[0-9a-fA-F]{32}")
MAX_RECENT = 200


class Shown(Protocol):
    """What can be shown as JSON."""

    def as_json(self) -> Mapping[str, Any]: ...


class TraceStore(Protocol):
    """Where traces are looked up. Called from several threads at once."""

    def trace(self, trace_id: str) -> Shown | None:
        """What is kept of a trace, None if nothing is. `trace_id`: 32 hex digits."""
        ...

    def recent(self, limit: int = 20, service: str | None = None) -> Sequence[Shown]:
        """The traces received last, newest first."""
        ...


def traces_router(store: TraceStore) -> APIRouter:
    """The routes of the look-up API."""
    router = APIRouter(prefix="/api/traces", tags=["traces"])

    @router.get("")
    def recent(
        service: str | None = None, limit: Annotated[int, Query(ge=1, le=MAX_RECENT)] = 20
    ) -> JSONResponse:  # A plain function: FastAPI runs it in a thread, reading the store must not hold up the loop.
        return JSONResponse({"traces": [r.as_json() for r in store.recent(limit, service or None)]})

    @router.get("/{trace_id}")
    def trace(trace_id: str) -> JSONResponse:
        if not _TRACE_ID.fullmatch(trace_id) or not trace_id.strip("0"):
            message = f"{trace_id[:64]!r} is not a trace id: it must be 32 hexadecimal digits, not all zeros"
            return JSONResponse({"message": message}, 400)
        view = store.trace(trace_id.lower())
        if view is None:
            message = f"nothing is kept of trace {trace_id.lower()}: it never came, or retention has deleted it"
            return JSONResponse({"message": message}, 404)
        return JSONResponse(view.as_json())

    return router
