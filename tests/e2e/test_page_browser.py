"""The page in a real browser, over the data of a shop with a model and texts that would be scripts."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect
from support import page_data
from support.engines import SidecarProcess, sidecar_process, wait_for
from support.engines.browser import axe_problems, run_chromium
from support.load import figures, total, waiting
from support.lookup_traces import trace_hex
from support.page_data import SLOW_ID, Destination, log_payload, post
from support.taps import http_tap

WAIT = 30_000
"""Milliseconds; a loaded machine is slow."""
VIEWS = {
    "overview": "/ui",
    "traces": "/ui/traces",
    "trace": f"/ui/traces/{SLOW_ID}?span={7 << 16 | 3:016x}",
    "evil trace": f"/ui/traces/{trace_hex(99)}?span={99 << 16 | 1:016x}",
    "compare": f"/ui/compare?a={trace_hex(3)}&b={SLOW_ID}",
    "logs": "/ui/logs",
    "models": "/ui/models",
    "pipeline": "/ui/pipeline",
    "dead letter": "/ui/dead-letters/1",
    "no such page": "/ui/nothing",
}
FIRST_VIEW_BYTES = 200_000


@dataclass
class Shop:
    """A sidecar with everything in it, and where its documents go."""

    sidecar: SidecarProcess
    destination: Destination

    def url(self, path: str) -> str:
        return self.sidecar.serve_url + path


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with run_chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("shop")
    with http_tap() as tap:
        tap.engine = destination = Destination()
        with sidecar_process(page_data.environ(folder, tap.url), folder) as sidecar:
            page_data.send_all(sidecar)

            def checked() -> bool:
                page_data.send_features(sidecar)
                return total(figures(sidecar.serve_url), "data_drift_detected", 'feature="age"') == 1

            wait_for(checked, 60, "drift to be checked", interval=0.5)
            wait_for(lambda: not waiting(sidecar.serve_url), 60, "everything to be delivered")
            yield Shop(sidecar, destination)


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A window that takes no error: not in a script, not by the page's policy, not of a request."""
    problems: list[str] = []

    def heard(message: ConsoleMessage) -> None:
        if message.type == "error" and "404" not in message.text:
            problems.append(message.text)

    context = browser.new_context(viewport={"width": 1280, "height": 800})
    context.set_default_timeout(WAIT)
    opened = context.new_page()
    opened.on("console", heard)
    opened.on("pageerror", lambda error: problems.append(str(error)))
    yield opened
    context.close()
    assert problems == []


def test_every_view_at_desktop_and_phone_width_dark_and_light(shop: Shop, browser: Browser, page: Page) -> None:
    """No script of what was sent runs, nothing is wider than the window, and axe-core finds nothing to complain of.
    Pictures go to `SIDECAR_TEST_SCREENSHOTS`, where it is set."""
    named = os.environ.get("SIDECAR_TEST_SCREENSHOTS")
    for number, (name, path) in enumerate(VIEWS.items()):
        for width in (1280, 390):
            page.set_viewport_size({"width": width, "height": 800})
            # Each view is checked in both schemes, at one of the two widths each.
            page.emulate_media(color_scheme="dark" if (width == 390) == bool(number % 2) else "light")
            page.goto(shop.url(path))
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (name, width)
            assert page.evaluate("window.harmed") is None, name
            assert axe_problems(page) == [], (name, width)
            if named:
                for scheme in ("dark", "light"):
                    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]  # a literal
                    page.screenshot(path=Path(named) / f"{name}-{width}-{scheme}.png", full_page=True)


def test_no_request_leaves_the_page_and_the_first_view_is_light(shop: Shop, page: Page) -> None:
    sizes: dict[str, int] = {}
    page.on("response", lambda r: sizes.update({r.url: len(r.body())}))
    answer = page.goto(shop.url("/"), wait_until="networkidle")
    assert answer is not None
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    found = {url: size for url, size in sizes.items() if not url.endswith("/")}
    assert len(found) >= 3, "the page, its style and its script"
    assert all(url.startswith(shop.sidecar.serve_url) for url in found)
    assert sum(found.values()) < FIRST_VIEW_BYTES, found


def test_a_search_finds_the_slow_trace_and_its_span_says_why(shop: Shop, page: Page) -> None:
    page.goto(shop.url("/ui/traces"))
    page.get_by_label("At least").fill("2s")
    page.get_by_role("button", name="Search").click()
    expect(page.get_by_role("status")).to_contain_text("1 trace")
    page.get_by_role("link", name="gateway POST /checkout").click()
    expect(page).to_have_url(shop.url(f"/ui/traces/{SLOW_ID}"))
    page.locator("summary", has_text="SELECT orders").click()
    expect(page.locator("details[open]")).to_contain_text("payment provider is slow")
    page.get_by_text("Flame graph").click()
    expect(page.locator("svg.flame text", has_text="shop SELECT orders")).to_be_visible()
    expect(page.get_by_role("region", name="Own time").get_by_role("row").nth(1)).to_contain_text("SELECT orders")
    assert axe_problems(page) == []
    page.goto(shop.url("/ui/traces"))
    page.get_by_label("or TraceQL").fill("{ duration > 2s && name = `POST /checkout` }")
    page.get_by_role("button", name="Search").click()
    expect(page.get_by_role("status")).to_contain_text("1 trace")


def test_the_example_of_a_slow_operation_opens_its_trace(shop: Shop, page: Page) -> None:
    page.goto(shop.url("/ui"))
    row = page.get_by_role("row").filter(has_text="POST /checkout").filter(has_text="gateway")
    row.get_by_role("link", name="a slow trace of POST /checkout").click()
    expect(page).to_have_url(re.compile(SLOW_ID))
    expect(page.get_by_role("heading", level=1)).to_contain_text("POST /checkout")


NOTE_WHEN_SHOWN = """() => {
    window.shown = {};
    const look = (now) => {
        for (const row of document.querySelectorAll("#rows .log")) {
            const found = /timed-\\d+/.exec(row.textContent);
            if (found && !(found[0] in shown)) shown[found[0]] = performance.timeOrigin + now;
        }
    };
    new MutationObserver(() => requestAnimationFrame(look)).observe(document.getElementById("rows"), {childList: true});
}"""
"""`shown`: the Unix milliseconds of the frame in which each record was drawn."""
TAIL_RECORDS, TAIL_SECONDS = 9, 5.0


def test_the_live_tail_shows_a_line_soon_after_it_was_accepted(shop: Shop, page: Page) -> None:
    """From the acknowledgement to the frame that has the line, by the clock of this machine, which both use. A second
    is aimed at, and `python bench/lookup` says how long it takes; here half the lines may take five times as long."""
    page.goto(shop.url("/ui/logs?service=tailed"))
    page.get_by_role("button", name="Live tail").click()
    newest = page.locator("#rows .log").first

    def follows() -> bool:
        """Until the stream is open, which looks from then on."""
        post(shop.sidecar, "/v1/logs", log_payload("before", service="tailed"))
        return newest.is_visible()

    wait_for(follows, WAIT / 1000, "the tail to show records", interval=0.5)
    post(shop.sidecar, "/v1/logs", log_payload("not this one", service="other"))
    post(shop.sidecar, "/v1/logs", log_payload(f"this one {page_data.EVIL}", service="tailed"))
    expect(newest).to_contain_text("this one", timeout=WAIT)
    expect(page.locator("#rows")).not_to_contain_text("not this one")
    assert page.evaluate("window.harmed") is None
    page.evaluate(NOTE_WHEN_SHOWN)
    accepted = {}
    for number in range(TAIL_RECORDS):
        post(shop.sidecar, "/v1/logs", log_payload(f"timed-{number}", service="tailed"))
        accepted[f"timed-{number}"] = time.time()
        expect(newest).to_contain_text(f"timed-{number}", timeout=WAIT)
    wait_for(lambda: len(page.evaluate("shown")) == TAIL_RECORDS, WAIT / 1000, "every record to be drawn")
    shown = page.evaluate("shown")
    took = sorted(shown[record] / 1000 - accepted[record] for record in accepted)
    print("live tail, seconds:", *(f"{seconds:.2f}" for seconds in took))
    assert took[TAIL_RECORDS // 2] <= TAIL_SECONDS
    page.get_by_role("button", name="Live tail").click()
    expect(page.locator("#tail-state")).to_have_text("stopped")


def test_a_dead_letter_is_looked_at_and_replayed(shop: Shop, page: Page) -> None:
    page.goto(shop.url("/ui/pipeline"))
    letters = page.locator("#dead-letters")
    expect(letters).to_contain_text("document_parsing_exception")
    letters.get_by_role("link", name="1", exact=True).click()
    expect(page.locator("pre")).to_contain_text(page_data.CURSED)
    page.get_by_role("link", name="All dead letters").click()
    page.get_by_role("button", name="Replay the oldest").click()
    expect(page.locator(".done")).to_contain_text("0 accepted, 1 rejected again")
    shop.destination.refuses = False
    page.get_by_role("button", name="Replay the oldest").click()
    expect(page.locator(".done")).to_contain_text("1 accepted, 0 rejected again")
    expect(page.locator("#dead-letters")).to_contain_text("There are none")
    assert any(page_data.CURSED.encode() in document for document in shop.destination.kept.values())


def test_models_show_drift_with_both_distributions_and_accuracy_with_its_interval(shop: Shop, page: Page) -> None:
    page.goto(shop.url("/ui/models"))
    age = page.get_by_role("article", name=re.compile("Feature age of churn"))
    expect(age).to_contain_text("drifted")
    for fill in ("live", "ref"):
        shapes = age.locator(f"svg.chart rect.{fill}").evaluate_all("all => all.map(r => +r.getAttribute('height'))")
        assert sum(height > 0 for height in shapes) > 3, fill
    expect(page.get_by_role("article", name=re.compile("Feature plan of churn"))).to_contain_text("steady")
    day = page.get_by_role("region", name="Quality of churn 7", exact=True).get_by_role("row").filter(has_text="24h")
    expect(day.get_by_role("cell").first).to_have_text("60")
    expect(day).to_contain_text(re.compile(r"[\d.]+ % \([\d.]+ % to [\d.]+ %\)"))
    expect(page.get_by_role("region", name="Predicted classes of churn 7 shop")).to_contain_text("leaves")
    expect(page.get_by_role("region", name="Tokens")).to_contain_text("small-model")


def test_models_show_the_variants_of_an_experiment_with_what_they_change(shop: Shop, page: Page) -> None:
    page.goto(shop.url("/ui/models"))
    rows = page.get_by_role("region", name="Variants of ranking-v2").get_by_role("row")
    expect(rows.nth(1)).to_contain_text("control")
    expect(rows.filter(has_text="bold")).to_contain_text(re.compile(r"conversion 100 %.*significant"))
    calm = rows.filter(has_text="calm")
    expect(calm).not_to_contain_text("significant")
    middle, begin, width = (
        calm.locator("svg").last.locator(f"rect.{name}").evaluate(f"rect => +rect.getAttribute('{attribute}')")
        for name, attribute in (("zero", "x"), ("range", "x"), ("range", "width"))
    )
    assert begin < middle < begin + width, "the interval of a lift that is not certain has 0 in it"


def test_the_page_is_used_by_keys_alone(shop: Shop, page: Page) -> None:
    page.goto(shop.url("/ui"))
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()
    for key, view in {"t": "traces", "l": "logs", "m": "models", "p": "pipeline", "o": ""}.items():
        page.keyboard.press(key)
        expect(page).to_have_url(re.compile(f"/ui/?{view}$"))
    page.keyboard.press("t")
    expect(page).to_have_url(re.compile("traces$"))
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    expect(page.locator("[data-row]").first).to_be_focused()
    page.keyboard.press("/")
    expect(page.get_by_label("Trace id")).to_be_focused()
    page.keyboard.type(SLOW_ID)
    page.keyboard.press("Enter")
    expect(page).to_have_url(shop.url(f"/ui/traces/{SLOW_ID}"))
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page.locator("details.span[open]")).to_have_count(1)


def test_a_view_reads_itself_again_until_it_is_paused(shop: Shop, page: Page) -> None:
    page.goto(shop.url("/ui"))
    page.evaluate("document.querySelector('#live table').dataset.old = 'yes'")
    expect(page.locator("#live table[data-old]")).to_have_count(0, timeout=WAIT)
    expect(page.locator("#live table")).to_be_visible()
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_role("button", name="Go on")).to_be_visible()
