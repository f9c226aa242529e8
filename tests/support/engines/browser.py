"""Chromium without a window, driven by Playwright, and axe-core, which finds what keeps people from using a page.

An installed Chromium is used, else Debian's packages, unpacked. Playwright's own builds are not fetched."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from support.engines.cache import EngineUnavailable
from support.engines.toolchains import debian_program, npm_project

_INSTALLED = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
_ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-dev-shm-usage")
AXE_CORE = "4.14.1"


@dataclass(frozen=True, slots=True)
class Chromium:
    """The program and where libraries are that this machine has not installed."""

    binary: Path
    libraries: tuple[Path, ...] = ()

    def environ(self) -> dict[str, str | float | bool]:
        """What it is started with."""
        found = [*map(str, self.libraries), *filter(None, [os.environ.get("LD_LIBRARY_PATH")])]
        return {**os.environ, **({"LD_LIBRARY_PATH": os.pathsep.join(found)} if found else {})}


def chromium() -> Chromium:
    """Raises `EngineUnavailable` where it cannot be had."""
    installed = next(filter(None, map(shutil.which, _INSTALLED)), None)
    if installed is not None:
        return Chromium(Path(installed))
    root = debian_program("chromium-headless-shell")
    binary = root / "usr/lib/chromium/chromium-headless-shell"
    if not binary.exists():
        raise EngineUnavailable(f"the Debian package chromium-headless-shell has no {binary.relative_to(root)}")
    folders = {library.parent for library in root.glob("usr/lib/*-linux-gnu*/**/*.so*")}
    return Chromium(binary, tuple(sorted(folders)))


def axe_core() -> Path:
    """The script that a page is checked with."""
    return npm_project({"axe-core": AXE_CORE}) / "axe-core/axe.min.js"


@contextmanager
def run_chromium() -> Iterator[Browser]:
    """A browser; its contexts are windows that share nothing."""
    program = chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program.binary, args=list(_ARGUMENTS), env=program.environ(), timeout=120_000
        )
        try:
            yield browser
        finally:
            browser.close()


def axe_problems(page: Page) -> list[str]:
    """What axe-core finds on a page that is open, by its rules for WCAG A and AA and good practice: rule, element."""
    page.evaluate(axe_core().read_text("utf-8"))
    found: Any = page.evaluate("async () => (await axe.run(document, {resultTypes: ['violations']})).violations")
    return [f"{one['id']}: {node['html'][:200]} ({one['help']})" for one in found for node in one["nodes"]]
