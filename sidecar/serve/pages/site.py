"""The page's routes, under `/ui`. Made at the first request for one of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from sidecar.errors import ConfigError, Retryable, SidecarError, Unavailable
from sidecar.lookup.answering import BadRequest, Desk, Failure, NotFound, Parameters
from sidecar.lookup.model import LogRecord
from sidecar.lookup.store import Deadline
from sidecar.serve.access import Access
from sidecar.serve.pages import logs, traces
from sidecar.serve.pages.compare import compare
from sidecar.serve.pages.flame import flame
from sidecar.serve.pages.html import HEADERS, MAX_DOCUMENT, Renderer
from sidecar.serve.pages.live import LiveTails
from sidecar.serve.pages.metric_families import Metrics
from sidecar.serve.pages.models import models
from sidecar.serve.pages.overview import Rates, overview
from sidecar.serve.pages.pipeline import pipeline
from sidecar.serve.pages.same_origin import same_origin
from sidecar.serve.pages.sources import PageSources
from sidecar.serve.pages.waterfall import waterfall

Handler = Callable[[Request], Awaitable[Response]]
_BUSY = "dead letters of a sink are being replayed: wait until they are, then look at what is left"


class Site:
    """All views of one program. `clock`: seconds, for rates."""

    def __init__(
        self, sources: PageSources, access: Access | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._access = access or Access()
        self._root = self._access.path_prefix
        self._sources, self._renderer, self._rates = sources, Renderer(self._root), Rates(clock)
        self._desk = Desk(sources.traces, sources.lookup) if sources.traces is not None else None
        self._tails = LiveTails(sources.logs, self._rows, sources.stopping) if sources.logs is not None else None
        self._replaying = asyncio.Lock()

    def app(self) -> Starlette:
        """The application; paths begin with `/ui`."""
        views: dict[str, Handler] = {
            "/ui": self._overview,
            "/ui/traces": self._traces,
            "/ui/traces/{trace_id}": self._trace,
            "/ui/compare": self._compare,
            "/ui/logs": self._logs,
            "/ui/logs/live": self._live,
            "/ui/models": self._models,
            "/ui/pipeline": self._pipeline,
            "/ui/dead-letters/{number}": self._dead_letter,
            "/ui/static/{edition}/{name}": self._static,
        }
        routes = [Route(path, handler, methods=["GET"]) for path, handler in views.items()]
        routes.append(Route("/ui/pipeline/replay/{sink}", self._replay, methods=["POST"]))
        app = Starlette(
            routes=routes,
            exception_handlers={404: self._no_route, 405: self._no_route},
            middleware=[Middleware(GZipMiddleware, minimum_size=1024, compresslevel=4)],  # Leaves event streams alone.
        )
        app.router.redirect_slashes = False
        return app

    # -- views

    async def _overview(self, request: Request) -> Response:
        everything = request.query_params.get("all") == "1"

        def work() -> Response:
            shown = overview(self._metrics(), self._rates, everything) if self._sources.families else None
            values = {"view": "overview", "status": self._sources.status(), "overview": shown, "everything": everything}
            return self._renderer.page("overview.html", values)

        return await self._plain(work)

    async def _models(self, request: Request) -> Response:
        def work() -> Response:
            shown = models(self._metrics()) if self._sources.families else None
            return self._renderer.page("models.html", {"view": "models", "shown": shown})

        return await self._plain(work)

    async def _pipeline(self, request: Request) -> Response:
        said = {k: request.query_params.get(k, "")[:20] for k in ("sink", "accepted", "rejected")}

        def work() -> Response:
            metrics = self._metrics() if self._sources.families else Metrics()
            letters = self._sources.dead_letters().page(limit=50) if self._sources.dead_letters else None
            values = {
                "view": "pipeline",
                "shown": pipeline(self._sources.status(), metrics),
                "letters": letters,
                "may_replay": self._sources.replay is not None,
                "said": said if said["accepted"].isdigit() and said["rejected"].isdigit() else None,
            }
            return self._renderer.page("pipeline.html", values)

        return await self._plain(work)

    async def _dead_letter(self, request: Request) -> Response:
        given = request.path_params["number"]

        def work() -> Response:
            number = int(given) if given.isascii() and given.isdigit() and len(given) < 19 else 0
            letter = self._sources.dead_letters().show(number) if self._sources.dead_letters else None
            if letter is None:
                raise NotFound(f"no dead letter {given[:20]!r}: it was replayed, deleted or never there")
            document = letter.dead_letter.document.decode("utf-8", "replace")
            values = {"view": "pipeline", "letter": letter, "document": document, "most": MAX_DOCUMENT}
            return self._renderer.page("dead_letter.html", values)

        return await self._plain(work)

    async def _traces(self, request: Request) -> Response:
        def work(desk: Desk, deadline: Deadline) -> Response:
            values: dict[str, Any] = {"view": "traces", "services": desk.store.services(deadline), "problem": ""}
            try:
                form = traces.Form.of(Parameters(request))
                found = traces.find(desk, form, deadline)
            except SidecarError as error:
                form = traces.Form("", "", "", False, "", traces.DEFAULT_RANGE, traces.DEFAULT_LIMIT)
                form = _as_given(request, form)
                values |= {"form": form, "found": None, "problem": str(error)}
                return self._renderer.page("traces.html", values | {"ranges": list(traces.RANGES)}, 400)
            values |= {"form": form, "found": found, "ranges": list(traces.RANGES)}
            longest = max((match.trace.duration_ns for match in found.matches), default=1)
            return self._renderer.page("traces.html", values | {"longest": max(longest, 1)})

        given = request.query_params.get("id", "").strip()
        if given:
            return RedirectResponse(f"{self._root}/ui/traces/{_path(given)}", 303)
        return await self._lookup("traces", work)

    async def _trace(self, request: Request) -> Response:
        def work(desk: Desk, deadline: Deadline) -> Response:
            (trace,) = traces.load(desk, request.path_params["trace_id"], deadline=deadline)
            shown = waterfall(trace)
            wanted = request.query_params.get("span", "")
            row = next((n for n, r in enumerate(shown.rows) if r.span.span_id == wanted), None)
            page = Parameters(request).count("page", 1 if row is None else row // traces.PAGE_ROWS + 1, 1_000)
            first = (page - 1) * traces.PAGE_ROWS
            values = {
                "view": "traces", "trace": trace, "shown": shown, "flame": flame(shown.rows), "wanted": wanted,
                "page": page,
                "rows": shown.rows[first : first + traces.PAGE_ROWS], "first": first, "level_of": logs.level_of,
                "pages": (len(shown.rows) - 1) // traces.PAGE_ROWS + 1,
            }  # fmt: skip
            return self._renderer.page("trace.html", values)

        return await self._lookup("traces", work)

    async def _compare(self, request: Request) -> Response:
        def work(desk: Desk, deadline: Deadline) -> Response:
            given = Parameters(request)
            a, b = given.text("a"), given.text("b")
            values: dict[str, Any] = {"view": "traces", "a": a, "b": b, "pair": None, "differences": []}
            if a and b:
                pair = traces.load(desk, a, b, deadline=deadline)
                values |= {"pair": pair, "differences": compare(*pair)[:200]}
            return self._renderer.page("compare.html", values)

        return await self._lookup("traces", work)

    async def _logs(self, request: Request) -> Response:
        store = self._sources.logs

        def work(desk: Desk, deadline: Deadline) -> Response:
            wanted = logs.LogFilter.of(Parameters(request))
            assert store is not None
            found = logs.newest(store, wanted, deadline)
            values = {
                "view": "logs", "filter": wanted, "records": found.records, "complete": found.complete, "passed": 0,
                "level_of": logs.level_of, "levels": list(logs.LEVELS), "most": logs.MAX_SHOWN,
                "services": desk.store.services(deadline), "query": request.url.query,
            }  # fmt: skip
            return self._renderer.page("logs.html", values)

        return await self._lookup("logs", work) if store is not None else self._nothing_kept("logs")

    async def _live(self, request: Request) -> Response:
        if self._tails is None:
            return self._nothing_kept("logs")
        if self._tails.full:
            return self._failed("logs")(Failure(503, "too many live tails are open: close one, then load this again"))
        try:
            wanted = logs.LogFilter.of(Parameters(request))
        except BadRequest as error:
            return self._failed("logs")(Failure(400, str(error)))
        return StreamingResponse(self._tails.events(wanted), headers=HEADERS, media_type="text/event-stream")

    async def _static(self, request: Request) -> Response:
        found = self._renderer.static(request.path_params["name"])
        return found if found is not None else self._failed("")(Failure(404, "there is no such file"))

    async def _replay(self, request: Request) -> Response:
        if not same_origin(request.headers, self._access.allowed_hosts):
            return self._failed("pipeline")(Failure(403, "only this page itself may ask for a replay"))
        replay, sink = self._sources.replay, request.path_params["sink"]
        if replay is None:
            return self._failed("pipeline")(Failure(403, "the page is read-only (serve.page.read_only)"))
        if self._replaying.locked():
            return self._failed("pipeline")(Failure(409, _BUSY))
        async with self._replaying:
            try:
                done = await asyncio.to_thread(replay, sink)
            except ConfigError as error:
                return self._failed("pipeline")(Failure(404, str(error)))
            except (Retryable, Unavailable) as error:
                return self._failed("pipeline")(Failure(502, f"not replayed, nothing is lost: {error}"))
        counts = f"accepted={done.accepted}&rejected={done.rejected}"
        to = f"{self._root}/ui/pipeline?sink={_path(sink)}&{counts}#dead-letters"
        return RedirectResponse(to, 303, HEADERS)

    # -- answers

    def _metrics(self) -> Metrics:
        return Metrics.of(self._sources.families() if self._sources.families else ())

    def _rows(self, records: Sequence[LogRecord], passed: int) -> str:
        values = {"records": list(reversed(records)), "passed": passed, "level_of": logs.level_of}
        return self._renderer.fragment("log_rows.html", values)

    async def _plain(self, work: Callable[[], Response]) -> Response:
        """Work in a thread, for views that ask no store of traces."""
        try:
            return await asyncio.to_thread(work)
        except NotFound as error:
            return self._failed("pipeline")(Failure(404, str(error)))
        except (ConfigError, Unavailable) as error:
            return self._failed("pipeline")(Failure(503, str(error)))

    async def _lookup(self, view: str, work: Callable[[Desk, Deadline], Response]) -> Response:
        desk = self._desk
        if desk is None:
            return self._nothing_kept(view)
        return await desk.answer(lambda deadline: work(desk, deadline), self._failed(view))

    def _nothing_kept(self, view: str) -> Response:
        return self._renderer.page("no_store.html", {"view": view})

    def _failed(self, view: str) -> Callable[[Failure], Response]:
        def answer(failure: Failure) -> Response:
            return self._renderer.page("failed.html", {"view": view, "message": failure.message}, failure.status)

        return answer

    async def _no_route(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        message = "there is no such page" if error.status_code == 404 else "this page is not asked for so"
        return self._failed("")(Failure(error.status_code, message))


def build_site(sources: PageSources, access: Access | None = None) -> Starlette:
    """The page as an application."""
    return Site(sources, access).app()


def _path(text: str) -> str:
    return quote(text[:100], safe="")


def _as_given(request: Request, form: traces.Form) -> traces.Form:
    """The form as it was filled in, though it cannot be understood."""
    given: Mapping[str, str] = request.query_params
    chosen = given.get("range", "")
    return traces.Form(
        given.get("service", ""), given.get("operation", ""), given.get("min", ""), bool(given.get("failed")),
        given.get("q", ""), chosen if chosen in traces.RANGES else form.range, form.limit,
    )  # fmt: skip
