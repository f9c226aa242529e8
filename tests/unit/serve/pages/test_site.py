"""The page over a store, metrics and dead letters that a test makes, without a socket."""

from __future__ import annotations

import html
import re
from pathlib import Path

import pytest
from support.asking_page import EVIL, SAME, STATUS, VIEWS, Elements, Letters, Page, log_payload
from support.lookup_traces import MS, SECOND, START, pairs, payloads, request, span, trace_hex

from sidecar.errors import ConfigError, Retryable
from sidecar.health import Health
from sidecar.serve.pages.html import POLICY
from sidecar.serve.serve_port import Sources, build_app


@pytest.fixture
def page(tmp_path: Path) -> Page:
    return Page(tmp_path)


@pytest.fixture
def full(page: Page) -> Page:
    evil = span(5, 1, EVIL, 2, 0, 400 * SECOND, 90 * MS, 2, **{"evil": EVIL})
    evil.events.add(name=EVIL, time_unix_nano=START, attributes=pairs({EVIL: EVIL}))
    evil.status.message = EVIL
    page.put(*payloads(), request(EVIL, [evil], evil=EVIL))
    page.put(log_payload(EVIL, trace=5, span_number=1, service=EVIL), signal="logs")
    return page


EVERY = (*VIEWS, f"/ui/traces/{trace_hex(1)}", f"/ui/traces/{trace_hex(5)}", "/ui/dead-letters/1",
         f"/ui/compare?a={trace_hex(5)}&b={trace_hex(1)}", f"/ui/traces?q={EVIL}", f"/ui/logs?text={EVIL}",
         f"/ui/traces?service={EVIL}&operation={EVIL}&min={EVIL}", f"/ui/traces/{EVIL}", f"/ui/{EVIL}",
         f"/ui/logs?level={EVIL}", "/ui/pipeline?sink=" + EVIL + "&accepted=1&rejected=0")  # fmt: skip


@pytest.mark.parametrize("target", EVERY)
def test_nothing_that_came_from_outside_becomes_markup(full: Page, target: str) -> None:
    from urllib.parse import quote

    path, _, query = target.partition("?")
    answer = full.ask(quote(path) + ("?" + quote(query, safe="=&") if query else ""))
    shown = Elements(answer.body)
    assert answer.headers["content-security-policy"] == POLICY
    assert answer.headers["x-content-type-options"] == "nosniff"
    (script,) = shown.of("script")
    assert re.fullmatch(r"/ui/static/\w+/page\.js", script["src"] or "")
    assert not shown.of("img")
    assert not shown.of("style")
    assert not [a for _, given in shown.tags for a in given if a.startswith("on") or a == "style"]


@pytest.mark.parametrize("view", [view for view in VIEWS if view != "/ui/compare"])
def test_the_names_of_apps_are_shown_as_they_are(full: Page, view: str) -> None:
    assert "<script>alert(1)</script>" in Elements(full.ask(view).body).text


def test_the_policy_lets_in_nothing_but_the_pages_own() -> None:
    rules = dict(rule.strip().split(" ", 1) for rule in POLICY.split(";"))
    assert rules["default-src"] == "'none'"
    assert {rules[name] for name in ("script-src", "style-src", "img-src", "connect-src", "form-action")} == {"'self'"}
    assert "unsafe" not in POLICY


@pytest.mark.parametrize("target", EVERY)
def test_every_address_on_a_page_is_its_own_servers(full: Page, target: str) -> None:
    shown = Elements(full.ask(target.replace(EVIL, "x")).body)
    for _, given in shown.tags:
        for name in ("href", "src", "action", "data-from"):
            assert re.match(r"/(?!/)|\?|#", given.get(name) or "/"), given


@pytest.mark.parametrize("view", VIEWS)
def test_the_first_view_is_within_200_kb(full: Page, view: str) -> None:
    answer = full.ask(view)
    assert answer.status == 200
    shown = Elements(answer.body)
    parts = [*(t["src"] for t in shown.of("script")), *(t["href"] for t in shown.of("link"))]
    assert len(parts) == 3
    loaded = [full.ask(part or "") for part in parts]
    assert [part.status for part in loaded] == [200, 200, 200]
    assert len(answer.body) + sum(len(part.body) for part in loaded) < 200_000


@pytest.mark.parametrize("view", VIEWS)
def test_fields_have_names_and_tables_heads(full: Page, view: str) -> None:
    body = full.ask(view).body.decode()
    shown = Elements(body.encode())
    assert dict(shown.of("html")[0]) == {"lang": "en"}
    assert len(shown.of("h1")) == 1
    assert [one for one in shown.of("a") if one.get("aria-current") == "page"]
    for svg in shown.of("svg"):
        assert svg.get("aria-hidden") == "true" or svg.get("aria-label")
    for field in re.findall(r"<(?:input|select)[^>]*>", body):
        inside = re.search(r"<label[^>]*>[^<]*" + re.escape(field), body)
        assert inside or "aria-label=" in field or 'type="hidden"' in field or '<label class="check">' + field in body


def test_an_empty_sidecar_says_what_to_do(page: Page) -> None:
    app = page.app(families=list, status=lambda: {**STATUS, "sinks": []}, dead_letters=Letters)
    for view, said in {
        "/ui": "OTEL_EXPORTER_OTLP_ENDPOINT", "/ui/traces": "OTEL_EXPORTER_OTLP_ENDPOINT", "/ui/logs": "over OTLP",
        "/ui/models": "sidecar instrument", "/ui/pipeline": "SIDECAR_DELIVER__", "/ui/compare": "two trace ids",
    }.items():  # fmt: skip
        answer = page.ask(view, app=app)
        assert answer.status == 200
        assert said in Elements(answer.body).text


def test_a_look_up_service_shows_traces_and_says_what_it_has_not(full: Page) -> None:
    app = full.app(families=None, logs=None, dead_letters=None, replay=None, status=lambda: {"version": "1"})
    assert trace_hex(1).encode() in full.ask("/ui/traces", app=app).body
    for view in ("/ui", "/ui/models", "/ui/pipeline", "/ui/logs"):
        answer = full.ask(view, app=app)
        assert (answer.status, "sidecar lookup" in Elements(answer.body).text) == (200, True)


def test_without_a_store_the_way_to_one_is_said(page: Page) -> None:
    app = page.app(traces=None, logs=None)
    for view in ("/ui/traces", f"/ui/traces/{trace_hex(1)}", "/ui/logs", "/ui/logs/live"):
        assert b"SIDECAR_DELIVER__STORE__ENABLED" in page.ask(view, app=app).body


def test_the_root_leads_to_the_page_and_unknown_paths_are_404(page: Page) -> None:
    answer = page.ask("/")
    assert (answer.status, answer.headers["location"]) == (307, "/ui")
    assert page.ask("/ui/nothing").status == 404
    assert page.ask("/ui/static/x/http.py").status == 404
    assert page.ask("/ui", "POST").status == 405


def test_a_page_that_is_off_is_not_there(page: Page) -> None:
    app = build_app(Sources(Health(), lambda *_: None, lambda: STATUS), None)
    assert page.ask("/ui", app=app).status == 404
    assert b"/metrics" in page.ask("/", app=app).body


def test_a_slow_trace_is_found_and_opened_by_its_id(full: Page) -> None:
    found = full.ask("/ui/traces?min=1s")
    assert re.findall(r'data-row href="/ui/traces/(\w+)"', found.body.decode()) == [trace_hex(3)]
    failed = full.ask("/ui/traces?failed=1")
    assert set(re.findall(r'data-row href="/ui/traces/(\w+)"', failed.body.decode())) == {trace_hex(1), trace_hex(5)}
    query = full.ask("/ui/traces?q=%7B+name+%3D+%22GET+%2Fhealth%22+%7D")
    assert re.findall(r'data-row href="/ui/traces/(\w+)"', query.body.decode()) == [trace_hex(2)]
    assert full.ask("/ui/traces?id=3").headers["location"] == "/ui/traces/3"
    assert b"enqueue" in full.ask("/ui/traces/3").body


def test_a_question_that_is_wrong_is_answered_with_what_was_expected(full: Page) -> None:
    for query, said in {"q=%7B+name+%3D+": "", "min=long": "expected a duration", "range=x": "15m"}.items():
        answer = full.ask(f"/ui/traces?{query}")
        assert answer.status == 400
        assert said in html.unescape(answer.body.decode())
        assert b'role="alert"' in answer.body
    assert full.ask("/ui/traces/zz").status == 400
    assert full.ask(f"/ui/traces/{trace_hex(99)}").status == 404
    assert full.ask("/ui/logs?trace=zz").status == 400


def test_a_trace_shows_events_attributes_logs_and_its_critical_path(full: Page) -> None:
    shown = Elements(full.ask(f"/ui/traces/{trace_hex(1)}?span=0000000000010003").body)
    for said in ("exception", "no such wine", "db.system", "postgresql", "Critical path", "deployment.environment"):
        assert said in shown.text
    (opened,) = [one for one in shown.of("details") if "open" in one]
    assert opened["id"] == "s0000000000010003"
    with_log = Elements(full.ask(f"/ui/traces/{trace_hex(5)}").body)
    assert "1 log record" in with_log.text
    assert "Log records of no span" not in with_log.text


def test_a_large_trace_is_shown_in_parts_and_a_span_of_it_found(page: Page) -> None:
    spans = [span(7, n, f"step {n}", 1, 1 if n > 1 else 0, n * MS, MS) for n in range(1, 701)]
    page.put(request("loop", spans))
    first = page.ask(f"/ui/traces/{trace_hex(7)}").body.decode()
    assert "Spans 1 to 300 of 700" in first
    assert first.count("<details id=") == 300
    last = page.ask(f"/ui/traces/{trace_hex(7)}?span={(7 << 16 | 650):016x}").body.decode()
    assert last.count("<details id=") == 100
    assert "Spans 601 to 700 of 700" in last


def test_two_traces_are_compared(full: Page) -> None:
    shown = Elements(full.ask(f"/ui/compare?a={trace_hex(2)}&b={trace_hex(3)}").body)
    assert "not there" in shown.text
    assert "+2.5 s" in shown.text
    assert full.ask(f"/ui/compare?a={trace_hex(2)}&b={trace_hex(98)}").status == 404


def test_golden_signals_and_models_are_what_the_metrics_say(full: Page) -> None:
    first = Elements(full.ask("/ui").body).text
    assert "20 %" in first
    assert trace_hex(1)[:8] in first
    shown = Elements(full.ask("/ui/models").body).text
    for said in (
        "1\u202f234 predictions",
        "drifted",
        "75 % seen, 50 % in the reference",
        "effect above",
        "7 rows lay far",
    ):
        assert said in shown
    assert "Tokens" not in shown
    assert "Right or wrong" not in shown
    pipeline = Elements(full.ask("/ui/pipeline").body).text
    for said in ("user: 5", "received 12 = delivered 12", "90 %", "3 spans", "mapper:"):
        assert said in pipeline


def test_logs_are_filtered_by_service_level_text_and_trace(full: Page) -> None:
    full.put(log_payload("low", severity=5), log_payload("High water", severity=17), signal="logs")

    def bodies(query: str) -> list[str]:
        return re.findall(r'class="body">([^<]*)<', full.ask(f"/ui/logs?{query}").body.decode())

    assert bodies("")[:2] == ["High water", "low"]
    assert bodies("service=shop") == ["High water", "low"]
    assert bodies("level=ERROR") == ["High water"]
    assert bodies("text=WATER") == ["High water"]
    assert len(bodies(f"trace={trace_hex(5)}")) == 1
    assert bodies("service=none") == []


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": "https://elsewhere.test"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:9465"},
        {"sec_fetch_site": "cross-site", **SAME},
        {"sec_fetch_site": "same-site", **SAME},
        {"sec_fetch_site": "none"},
    ],
)
def test_another_page_cannot_have_dead_letters_replayed(page: Page, headers: dict[str, str]) -> None:
    assert page.ask("/ui/pipeline/replay/elasticsearch", "POST", **headers).status == 403
    assert page.replayed == []


@pytest.mark.parametrize(
    "headers", [SAME, {"sec_fetch_site": "same-origin"}, {"sec_fetch_site": "same-origin", **SAME}]
)
def test_dead_letters_are_replayed_from_the_page(page: Page, headers: dict[str, str]) -> None:
    answer = page.ask("/ui/pipeline/replay/elasticsearch", "POST", **headers)
    assert (answer.status, page.replayed) == (303, ["elasticsearch"])
    assert b"1 accepted, 2 rejected" in page.ask(answer.headers["location"].partition("#")[0]).body
    assert page.ask("/ui/pipeline/replay/elasticsearch", **headers).status == 405


@pytest.mark.parametrize(
    ("failure", "status"), [(Retryable("it is down"), 502), (ConfigError(["no sink named 'x'"]), 404)]
)
def test_a_replay_that_fails_says_why(page: Page, failure: Exception, status: int) -> None:
    page.failure = failure
    answer = page.ask("/ui/pipeline/replay/x", "POST", **SAME)
    assert answer.status == status
    assert str(failure) in html.unescape(answer.body.decode())


def test_a_read_only_page_has_no_button_and_replays_nothing(page: Page) -> None:
    app = page.app(replay=None)
    assert b'<form method="post"' in page.ask("/ui/pipeline").body
    assert b"Replay the oldest" not in page.ask("/ui/pipeline", app=app).body
    assert page.ask("/ui/pipeline/replay/elasticsearch", "POST", app=app, **SAME).status == 403


def test_the_token_is_asked_of_browsers_as_a_password(full: Page) -> None:
    import base64

    app = full.app(token="secret")

    def basic(password: str) -> str:
        return "Basic " + base64.b64encode(f"anybody:{password}".encode()).decode()

    for path in ("/", *VIEWS, f"/ui/traces/{trace_hex(1)}", "/ui/logs/live", "/ui/static/x/page.js"):
        for given in (
            {},
            {"authorization": basic("wrong")},
            {"authorization": "Basic ???"},
            {"authorization": "Bearer no"},
        ):
            answer = full.ask(path, app=app, **given)
            assert (answer.status, answer.headers["www-authenticate"]) == (401, 'Basic realm="model-sidecar"')
            assert b"secret" not in answer.body
    assert full.ask("/ui/pipeline/replay/elasticsearch", "POST", app=app, **SAME).status == 401
    assert full.replayed == []
    assert full.ask("/ui", app=app, authorization=basic("secret")).status == 200
    assert full.ask("/ui", app=app, authorization="Bearer secret").status == 200
    # Only for the page: what programs ask takes a bearer token and nothing else.
    assert full.ask("/status", app=app, authorization=basic("secret")).status == 401
    assert full.ask("/uix", app=app, authorization=basic("secret")).headers["www-authenticate"] == "Bearer"
