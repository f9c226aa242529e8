"""Who gets the page: by its token, its name, from where; behind a proxy; off and read-only."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.routing import Route
from support.asking_page import SAME, VIEWS, Elements, Page
from support.lookup_traces import payloads, trace_hex

from sidecar.health import Health
from sidecar.lookup.routes import lookup_routers
from sidecar.lookup.settings import LookupOptions
from sidecar.serve.access import Access
from sidecar.serve.pages.site import Site
from sidecar.serve.serve_port import Sources, build_app

PROBES = ("/livez", "/readyz", "/startupz")
REPLAY = "/ui/pipeline/replay/elasticsearch"


@pytest.fixture
def page(tmp_path: Path) -> Page:
    made = Page(tmp_path)
    made.put(*payloads())
    return made


def routes(page: Page) -> Iterator[tuple[str, str]]:
    """(method, path) of every endpoint that the serve port has: its own, the page's, those of look-ups."""
    of_page = [route for route in Site(page.sources).app().routes if isinstance(route, Route)]
    own = [route for route in page.app().routes if isinstance(route, Route) and "path:" not in route.path]
    found: list[Any] = [*own, *of_page]
    for router in lookup_routers(page.sink.traces, LookupOptions()):
        found += router.routes
    for route in found:
        for method in route.methods or {"GET"}:
            yield method, re.sub(r"\{[^}]*\}", "1", route.path)


def test_every_endpoint_but_the_probes_refuses_without_the_token(page: Page) -> None:
    app = page.app(token="secret", routers=lambda: lookup_routers(page.sink.traces, LookupOptions()))
    asked = sorted(set(routes(page)))
    assert {"/metrics", "/status", "/ui", "/ui/logs/live", "/ui/pipeline/replay/1"} <= {p for _, p in asked}
    assert len([path for _, path in asked if path.startswith(("/api", "/tempo", "/lookup"))]) > 15
    for method, path in asked:
        for given in ({}, {"authorization": "Bearer wrong"}, {"authorization": "Basic c2VjcmV0"}):
            answer = page.ask(path, method, app=app, **{**SAME, **given})
            assert (answer.status == 401) is (path not in PROBES), (method, path, answer.status)
    assert page.replayed == []


def test_a_page_that_is_off_has_no_endpoint(page: Page) -> None:
    app = build_app(Sources(Health(), lambda *_: None, dict), None)
    for method, path in routes(page):
        if path.startswith("/ui"):
            assert page.ask(path, method, app=app, **SAME).status == 404, path


def test_a_read_only_page_changes_nothing(page: Page) -> None:
    app = page.app(replay=None)
    for method, path in set(routes(page)):
        if path.startswith("/ui") and method not in ("GET", "HEAD"):
            assert page.ask(path, method, app=app, **SAME).status == 403, path
    assert page.replayed == []


def test_under_a_foreign_name_nothing_of_the_page_is_answered(page: Page) -> None:
    for method, path in {*routes(page), ("GET", "/")}:
        if path == "/" or path.startswith("/ui"):
            answer = page.ask(path, method, host="evil.test:9464", origin="http://evil.test:9464")
            assert answer.status == 421, path
            assert "serve.allowed_hosts" in answer.json["message"]
    assert page.replayed == []
    # Prometheus and the kubelet ask under any name.
    assert page.ask("/livez", host="node-1.example.com:9464").status != 421
    assert page.ask("/status", host="node-1.example.com:9464").status == 200


def test_an_allowed_name_has_the_page_and_its_replay(page: Page) -> None:
    app = page.app(access=Access(allowed_hosts=["sidecar.example.com"]))
    assert page.ask("/ui", app=app, host="sidecar.example.com").status == 200
    # A proxy without TLS in front, which sends a Host of its own.
    assert page.ask(REPLAY, "POST", app=app, origin="http://sidecar.example.com").status == 303
    assert page.ask(REPLAY, "POST", app=app, origin="http://other.example.com").status == 403
    assert page.ask(REPLAY, "POST", app=app, origin="http://127.0.0.1:1", sec_fetch_site="same-origin").status == 303


def test_a_page_for_this_machine_is_refused_to_others(page: Page) -> None:
    app = page.app(access=Access(local_only=True))
    for method, path in routes(page):
        if path.startswith("/ui"):
            answer = page.ask(path, method, app=app, client="10.0.0.7", **SAME)
            assert (answer.status, "LOCAL_ONLY" in answer.json["message"]) == (403, True), path
    assert page.ask("/ui", app=app, client="127.0.0.1").status == 200
    assert page.ask("/status", app=app, client="10.0.0.7").status == 200
    assert page.replayed == []


def test_behind_a_proxy_every_address_begins_with_its_path(page: Page) -> None:
    app = page.app(access=Access(path_prefix="/tools/sidecar"))
    for view in (*VIEWS, f"/ui/traces/{trace_hex(1)}", "/ui/dead-letters/1", "/ui/nothing"):
        # A proxy takes its path off, or leaves it.
        plain, whole = (page.ask(prefix + view, app=app) for prefix in ("", "/tools/sidecar"))
        assert plain.status == whole.status
        shown = Elements(whole.body)
        found = [given.get(name) for _, given in shown.tags for name in ("href", "src", "action", "data-from")]
        addresses = [one for one in found if one and not one.startswith(("?", "#"))]
        assert len(addresses) > 8
        assert all(one.startswith("/tools/sidecar/") for one in addresses), addresses
        loaded = [given["src"] for given in shown.of("script")] + [given["href"] for given in shown.of("link")]
        assert [page.ask(one or "", app=app).status for one in loaded] == [200, 200, 200]
    for target, to in {"/": "/ui", "/ui/traces?id=3": "/ui/traces/3"}.items():
        assert page.ask(target, app=app).headers["location"] == f"/tools/sidecar{to}"
    answer = page.ask(f"/tools/sidecar{REPLAY}", "POST", app=app, **SAME)
    assert (answer.status, answer.headers["location"].startswith("/tools/sidecar/ui/pipeline?")) == (303, True)
    assert page.ask("/tools/sidecarx/ui", app=app).status == 404
