"""Tempo's API over HTTP."""

from __future__ import annotations

import re
from urllib.parse import unquote

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse

from sidecar import __version__
from sidecar.lookup import tempo
from sidecar.lookup.answering import (
    NANO,
    NOSNIFF,
    BadRequest,
    Desk,
    Failure,
    NotFound,
    Parameters,
    as_json,
    full_trace_id,
    parse_duration,
)
from sidecar.lookup.model import Trace
from sidecar.lookup.search import MAX_TRACES, query_search, search
from sidecar.lookup.store import Deadline, Window
from sidecar.lookup.traceql.lexer import QueryError
from sidecar.lookup.traceql.metric_queries import Aggregator
from sidecar.lookup.traceql.narrow import needs_of
from sidecar.lookup.traceql.parser import parse
from sidecar.lookup.traceql.syntax import Filter, Query

PROTOBUF = "application/protobuf"
DEFAULT_LIMIT, DEFAULT_SPANS_PER_SET, MAX_SPANS_PER_SET = 20, 3, 100
MAX_VALUES = 5_000
MAX_EXEMPLARS = 100
_STEPS = 60
"""Steps of a metrics query that names none, about."""
_PAIR = re.compile(r'([^\s=]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s"]\S*|))(?=\s|\Z)', re.DOTALL)
"""key=value or key="value" of logfmt."""
API_VERSION = "2.7.0"
"""The version of Tempo whose API is followed, which Grafana asks for to know what it may use."""


def tempo_router(desk: Desk, prefix: str = "") -> APIRouter:
    """The routes. `/api/traces/{id}`, which Jaeger's API has too, is there under a prefix only."""
    router = APIRouter(prefix=prefix)
    _add_probes(router)
    _add_tags(router, desk)

    if prefix:

        @router.get("/api/traces/{trace_id}")
        async def trace(trace_id: str, request: Request) -> Response:
            return await desk.answer(lambda deadline: trace_answer(desk, trace_id, request, deadline), failed)

    @router.get("/api/v2/traces/{trace_id}")
    async def trace_v2(trace_id: str, request: Request) -> Response:
        def work(deadline: Deadline) -> Response:
            found = _one(desk, trace_id, deadline)
            if wants_protobuf(request):
                return Response(tempo.trace_v2_protobuf(found), media_type=PROTOBUF)
            return as_json(tempo.trace_v2_json(found))

        return await desk.answer(work, failed)

    @router.get("/api/search")
    async def find(request: Request) -> Response:
        return await desk.answer(lambda deadline: _search(desk, request, deadline), failed)

    @router.get("/api/metrics/query_range")
    async def query_range(request: Request) -> Response:
        return await desk.answer(lambda deadline: _metrics(desk, request, deadline, instant=False), failed)

    @router.get("/api/metrics/query")
    async def query(request: Request) -> Response:
        return await desk.answer(lambda deadline: _metrics(desk, request, deadline, instant=True), failed)

    return router


def _add_probes(router: APIRouter) -> None:
    @router.get("/api/echo")
    async def echo() -> Response:
        return PlainTextResponse("echo")

    @router.get("/ready")
    async def ready() -> Response:
        return PlainTextResponse("ready\n")

    @router.get("/api/status/buildinfo")
    async def buildinfo() -> Response:
        return as_json(
            {"version": API_VERSION, "revision": f"model-sidecar {__version__}", "branch": "", "goVersion": ""}
        )


def _add_tags(router: APIRouter, desk: Desk) -> None:
    @router.get("/api/search/tags")
    async def names(request: Request) -> Response:
        def work(deadline: Deadline) -> Response:
            found = desk.store.tag_names(_window(desk, Parameters(request)), deadline)
            return as_json({"tagNames": sorted({name for tags in found.values() for name in tags})})

        return await desk.answer(work, failed)

    @router.get("/api/v2/search/tags")
    async def scoped(request: Request) -> Response:
        def work(deadline: Deadline) -> Response:
            given = Parameters(request)
            found = desk.store.tag_names(_window(desk, given), deadline)
            return as_json(tempo.tags_json(found, given.text("scope")))

        return await desk.answer(work, failed)

    @router.get("/api/search/tag/{name:path}/values")
    async def values(name: str, request: Request) -> Response:
        def work(deadline: Deadline) -> Response:
            typed = _values(desk, name, request, deadline)
            return as_json({"tagValues": [one["value"] for one in typed["tagValues"]]})

        return await desk.answer(work, failed)

    @router.get("/api/v2/search/tag/{name:path}/values")
    async def typed_values(name: str, request: Request) -> Response:
        return await desk.answer(lambda deadline: as_json(_values(desk, name, request, deadline)), failed)


def failed(failure: Failure) -> Response:
    """A failure: its reason as plain text."""
    return PlainTextResponse(failure.message + "\n", failure.status, NOSNIFF)


def wants_protobuf(request: Request) -> bool:
    """Whether the request asks for protobuf rather than JSON."""
    return PROTOBUF in request.headers.get("accept", "")


def trace_answer(desk: Desk, trace_id: str, request: Request, deadline: Deadline) -> Response:
    """`GET /api/traces/{trace_id}` as Tempo answers it."""
    found = _one(desk, trace_id, deadline)
    if wants_protobuf(request):
        return Response(tempo.trace_protobuf(found), media_type=PROTOBUF)
    return as_json(tempo.trace_json(found))


def _one(desk: Desk, trace_id: str, deadline: Deadline) -> Trace:
    found = desk.store.traces([full_trace_id(trace_id)], deadline)
    if not found or not found[0].spans:
        raise NotFound("trace not found")
    return found[0]


def _window(desk: Desk, given: Parameters) -> Window:
    """`start` and `end` are seconds; Grafana also writes milliseconds and nanoseconds."""
    return desk.window(given.time("start", NANO), given.time("end", NANO))


def _search(desk: Desk, request: Request, deadline: Deadline) -> Response:
    given = Parameters(request)
    query = _query(given)
    if query.metric is not None:
        raise QueryError("a search ends in spans; queries that end in a metric are asked at /api/metrics/query_range")
    limit = given.count("limit", DEFAULT_LIMIT, MAX_TRACES)
    found = search(desk.store, query_search(query, _window(desk, given), limit), deadline)
    most = given.count("spss", DEFAULT_SPANS_PER_SET, MAX_SPANS_PER_SET)
    return as_json(tempo.search_json(found, query, most))


def _query(given: Parameters) -> Query:
    """`q` in TraceQL; else the older `tags` (logfmt), `minDuration` and `maxDuration`."""
    text = given.query()
    if text:
        return parse(text)
    conditions = [f".{key}={_quoted(value)}" for key, value in _logfmt(given.text("tags"))]
    for name, op in (("minDuration", ">="), ("maxDuration", "<=")):
        if duration := given.text(name):
            conditions.append(f"duration{op}{parse_duration(name, duration)}ns")
    return parse("{" + " && ".join(conditions) + "}")


def _logfmt(text: str) -> list[tuple[str, str]]:
    found, place = [], 0
    while rest := text[place:].lstrip():
        place = len(text) - len(rest)
        pair = _PAIR.match(text, place)
        if pair is None:
            raise BadRequest(f"invalid tags: {rest[:100]!r}; expected key=value, separated by blanks")
        found.append((pair[1], re.sub(r"\\(.)", r"\1", pair[2], flags=re.DOTALL) if pair[3] is None else pair[3]))
        place = pair.end()
    return found


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _values(desk: Desk, name: str, request: Request, deadline: Deadline) -> dict[str, list[dict[str, str]]]:
    given = Parameters(request)
    # Grafana encodes the name twice; the server decodes it once.
    term = tempo.tag_of(unquote(name))
    if term is None:
        return {"tagValues": []}
    if fixed := tempo.fixed_values(term):
        return tempo.typed_values(fixed, keyword=True)
    needs = needs_of(_filter(given.query())) if given.query() else ()
    limit = given.count("limit", MAX_VALUES, MAX_VALUES)
    return tempo.typed_values(desk.store.tag_values(term, needs, _window(desk, given), limit, deadline))


def _filter(text: str) -> Filter:
    """The condition of a query that narrows a list; Grafana sends what is typed so far, which may be none."""
    try:
        source = parse(text).source
    except QueryError:
        return Filter(None)
    return source if isinstance(source, Filter) else Filter(None)


def _metrics(desk: Desk, request: Request, deadline: Deadline, instant: bool) -> Response:
    given = Parameters(request)
    query, window = _query(given), _window(desk, given)
    width = window.end_ns - window.start_ns
    if instant:
        # The whole range is one step, whose end is a multiple of its width.
        step = max(width, 1)
        shift = window.end_ns % step
    else:
        step, shift = _step(given.text("step"), width), 0
    aggregator = Aggregator(query, window, step, shift)
    exemplars = 0 if given.text("exemplars") in ("", "0", "false") else MAX_EXEMPLARS
    for some in desk.store.spans(needs_of(query.source), window, deadline):
        aggregator.add(some, exemplars)
        deadline.check()
    if instant:
        return as_json(tempo.instant_json(aggregator.series(), window.end_ns // 1_000_000))
    return as_json(tempo.series_json(aggregator.series(), aggregator.times_ms))


def _step(text: str, width_ns: int) -> int:
    """A duration, or a number of seconds; else a sixtieth of the range."""
    if not text:
        return max(NANO, width_ns // _STEPS // NANO * NANO)
    step = parse_duration("step", text if text[-1:].isalpha() else f"{text}s")
    if step <= 0:
        raise BadRequest("invalid step: 0; expected a duration such as 30s")
    return step
