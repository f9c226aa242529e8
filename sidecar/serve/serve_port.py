"""The serve port: metrics, probes, status, and the routes of sinks (under uvicorn, in the program's own loop).

What every program answers all the time is Starlette's. The routes of sinks are FastAPI's, which takes some megabytes of
memory, and are made at the first request that is for none of the others.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from isal import igzip_lib
from pydantic import Field
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from sidecar.errors import Unauthenticated
from sidecar.health import Health
from sidecar.options import Section, ServerAuth
from sidecar.serve.access import Access, PageAccess, PathPrefix, is_page
from sidecar.serve.pages.options import PageOptions
from sidecar.serve.scrapers import scraper
from sidecar.web import Deferred

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

    from fastapi import APIRouter

    from sidecar.serve.pages.sources import PageSources

#: Smaller answers are not worth compressing.
GZIP_FROM_BYTES = 1024


class Options(Section):
    """Where metrics, probes and look-ups are served."""

    host: str = Field(
        "0.0.0.0", description="Address to listen on; Prometheus and the kubelet come from outside the pod."
    )
    port: int = Field(
        9464, ge=0, le=65535, description="Port of /metrics, the probes, /status and look-ups. 0 picks a free one."
    )
    auth: ServerAuth = Field(
        default=ServerAuth(),
        description="What a client must send at this port for everything but the probes; look-ups show spans and logs. "
        "For the page browsers ask for it themselves: any user, the token as password.",
    )
    allowed_hosts: list[str] = Field(
        default=[],
        description="Names under which the page may be opened, besides IP addresses and names that nobody can own "
        "(without a dot, `.svc`, `.local`, `.internal`): a proxy's, such as `sidecar.example.com`. `*`: any.",
    )
    path_prefix: str = Field(
        "",
        pattern=r"^(/[A-Za-z0-9._~-]+)*$",
        description="Path at which a proxy shows this port, such as `/sidecar`: links of the page begin with it. "
        "Requests may come with it or without.",
    )
    page: PageOptions = Field(default=PageOptions(), description="The page for browsers, at `/ui`.")

    def access(self, environ: Mapping[str, str]) -> Access:
        """Under which address, and from where, the page is asked. In a cluster every pod reaches this one: there the
        page is for port-forwards, unless a token keeps others out. Every container there has the address of the
        cluster's API in `KUBERNETES_SERVICE_HOST`."""
        local_only = self.page.local_only
        if local_only is None:
            asks_token = self.auth.token is not None or self.auth.token_file is not None
            local_only = "KUBERNETES_SERVICE_HOST" in environ and not asks_token
        return Access(self.allowed_hosts, self.path_prefix, local_only)


@dataclass(frozen=True, slots=True)
class Scrape:
    """One answer of the metrics endpoint."""

    body: bytes
    content_type: str


@dataclass(frozen=True, slots=True)
class Sources:
    """What the endpoints read; every function is cheap enough to be called on a request."""

    health: Health
    scrape: Callable[[str, str], Scrape | None]
    """(Accept header, name of the scraper, empty for a person) -> exposition; None while counters are still being
    restored."""
    status: Callable[[], Mapping[str, Any]]
    admit: Callable[[str | None], None] | None = None
    """(Authorization header) -> nothing; raises `Unauthenticated`. None: everybody is let in."""
    page: PageSources | None = None
    """What the page shows; None: there is none."""
    access: Access = field(default_factory=Access)


Endpoint = Callable[[Request], "Coroutine[Any, Any, Response]"]


def build_app(sources: Sources, routers: Callable[[], Sequence[APIRouter]] | None) -> Starlette:
    """The application, without a socket. `routers` gives the routes of look-ups, where there is a store to look into;
    called at the first request for one."""
    app = Starlette(
        routes=[
            _get("/metrics", _metrics_endpoint(sources)),
            *_probes(sources.health),
            _get("/status", _status_endpoint(sources)),
            *([_get("/", _index)] if sources.page is None else _page(sources.page, sources.access)),
            *([] if routers else [_get(f"/{start}/{{path:path}}", _no_store) for start in _LOOKUPS]),
        ],
        exception_handlers={404: _no_route, 405: _no_route},
        middleware=[
            *([Middleware(PathPrefix, prefix=sources.access.path_prefix)] if sources.access.path_prefix else []),
            *([Middleware(PageAccess, access=sources.access)] if sources.page is not None else []),
            *([Middleware(_Admission, admit=sources.admit, page=sources.page is not None)] if sources.admit else []),
            Middleware(_HeadAsGet),
        ],
    )
    app.router.redirect_slashes = False
    if routers is not None:
        app.router.default = Deferred(lambda: _lookups(routers()))
    return app


def _page(sources: PageSources, access: Access) -> list[Route]:
    """The page, which `/` leads to. Its templates and views are imported at the first request for one."""

    def build() -> ASGIApp:
        from sidecar.serve.pages.site import build_site

        return build_site(sources, access)

    site = Deferred(build)

    async def to_page(request: Request) -> Response:
        return RedirectResponse(f"{access.path_prefix}/ui", 307)

    return [_get("/", to_page), Route("/ui", site), Route("/ui/{path:path}", site)]


def _lookups(routers: Sequence[APIRouter]) -> ASGIApp:
    from fastapi import FastAPI

    app = FastAPI(
        title="model-sidecar",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        exception_handlers={404: _no_route, 405: _no_route},
    )
    for router in routers:
        app.include_router(router)
    return app


def _get(path: str, endpoint: Endpoint) -> Route:
    route = Route(path, endpoint, methods=["GET"])
    route.methods = {
        "GET"
    }  # Starlette adds HEAD, which `_HeadAsGet` makes a GET; what is allowed is named in one order.
    return route


def _metrics_endpoint(sources: Sources) -> Endpoint:
    async def metrics(request: Request) -> Response:
        address = request.client.host if request.client is not None else ""
        # HEAD shows no counters.
        who = "" if request.scope.get("asked") == "HEAD" else scraper(request.headers, address)
        return await asyncio.to_thread(_metrics, sources, request.headers, who)

    return metrics


def _status_endpoint(sources: Sources) -> Endpoint:
    async def status(request: Request) -> Response:
        return _indented(await asyncio.to_thread(sources.status))

    return status


def _probes(health: Health) -> list[Route]:
    def probe(good: Callable[[], bool]) -> Endpoint:
        async def answer(request: Request) -> Response:
            ok = good()
            body = {"ok": ok, "components": {name: asdict(r) for name, r in sorted(health.reports().items())}}
            return _indented(body, 200 if ok else 503)

        return answer

    return [
        _get("/livez", probe(lambda: health.live)),
        _get("/readyz", probe(lambda: health.ready)),
        _get("/startupz", probe(lambda: health.started)),
    ]


async def _index(request: Request) -> Response:
    return HTMLResponse(_INDEX)


async def _no_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    what = "method" if error.status_code == 405 else "path"
    message = f"invalid {what}: {request.method} {request.scope['path']}; / lists what is served here, by GET"
    answer = _indented({"message": message}, error.status_code)
    answer.headers.update(error.headers or {})
    return answer


async def _no_store(request: Request) -> Response:
    return _indented({"message": "no store: SIDECAR_DELIVER__STORE__ENABLED is false"}, 404)


def _indented(body: Mapping[str, Any], status: int = 200) -> Response:
    """JSON in lines: these answers are read by people with curl."""
    return Response(json.dumps(body, indent=2) + "\n", status, media_type="application/json")


def _metrics(sources: Sources, headers: Mapping[str, str], who: str) -> Response:
    """The answer to a scrape. Rendering and compressing take some milliseconds: not for the event loop."""
    scrape = sources.scrape(headers.get("accept", ""), who)
    if scrape is None:
        return PlainTextResponse(
            "counters are being restored from the journal; scrape again shortly\n", 503, {"Retry-After": "1"}
        )
    described = {"Content-Type": scrape.content_type, "Vary": "Accept, Accept-Encoding"}
    body = scrape.body
    if len(body) >= GZIP_FROM_BYTES and accepts_gzip(headers.get("accept-encoding", "")):
        body = igzip_lib.compress(body, 1, igzip_lib.COMP_GZIP)
        described["Content-Encoding"] = "gzip"
    return Response(body, headers=described)


def accepts_gzip(accept_encoding: str) -> bool:
    """Whether the header names gzip (or anything, `*`) with a weight that is not 0."""
    for part in accept_encoding.lower().split(","):
        coding, _, weight = part.partition(";")
        if coding.strip() in ("gzip", "*"):
            return not re.fullmatch(r"q=0(\.0*)?", weight.replace(" ", ""))
    return False


class _HeadAsGet:
    """HEAD is answered as GET is; the server leaves the body out (RFC 9110, 9.3.2)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope.get("method") == "HEAD":
            scope = {**scope, "method": "GET", "asked": "HEAD"}
        await self._app(scope, receive, send)


_PROBES = frozenset(("/livez", "/readyz", "/startupz"))
_LOOKUPS = ("api", "tempo", "lookup")


class _Admission:
    """Nothing but the probes is answered without credentials: the kubelet has none. For the page a browser is asked for
    a user and a password (RFC 7617), which it sends with all that the page loads; the password is the token."""

    def __init__(self, app: ASGIApp, admit: Callable[[str | None], None], page: bool = False) -> None:
        self._app, self._admit, self._page = app, admit, page

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in _PROBES:
            header = next((value for name, value in scope["headers"] if name == b"authorization"), None)
            basic = self._page and is_page(scope["path"])
            try:
                given = None if header is None else header.decode("latin-1")
                self._admit(_password_as_token(given) if given and basic else given)
            except Unauthenticated as error:
                answer = _indented({"message": str(error)}, 401)
                answer.headers["WWW-Authenticate"] = 'Basic realm="model-sidecar"' if basic else "Bearer"
                await answer(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _password_as_token(header: str) -> str:
    """A header of basic authentication as one of a bearer; any other as it is."""
    scheme, _, credentials = header.partition(" ")
    if scheme.lower() != "basic":
        return header
    try:
        user_and_password = base64.b64decode(credentials.strip(), validate=True).decode("latin-1")
    except binascii.Error:
        return header
    return f"Bearer {user_and_password.partition(':')[2]}"


_INDEX = """<!doctype html><meta charset="utf-8"><title>model-sidecar</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:40rem;margin:3rem auto;padding:0 1rem}</style>
<h1>model-sidecar</h1>
<ul><li><a href="/metrics">/metrics</a> for Prometheus</li>
<li><a href="/status">/status</a>: receivers, journal, cursors, sinks</li>
<li><a href="/lookup/traces">/lookup/traces</a>: recent traces; <code>/lookup/traces/{trace id}</code>: one with its
logs</li>
<li><code>/api</code> for Grafana's data source of type Jaeger, <code>/tempo</code> for that of type Tempo</li>
<li><a href="/livez">/livez</a> <a href="/readyz">/readyz</a> <a href="/startupz">/startupz</a></li></ul>
"""
