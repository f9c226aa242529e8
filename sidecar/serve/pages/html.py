"""Templates, and how values are written in them. Everything that is put into a template is escaped."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse, Response

from sidecar.lookup.answering import NANO

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
"""No script, style or picture but the page's own, and none inline: what is sent by apps cannot become one."""
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_STATIC = {"page.css": "text/css", "page.js": "text/javascript", "icon.svg": "image/svg+xml"}
MAX_TEXT = 4_000
"""Characters of a value that are shown."""
MAX_DOCUMENT = 100_000
"""Characters of a document that are shown."""


def environment(package: str) -> Environment:
    """The templates of a package, with how values are written. What is put into one is escaped."""
    made = Environment(
        loader=PackageLoader(package),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        duration=write_duration, when=write_time, number=write_number, bytes=write_bytes, text=write_text,
        percent=write_percent, count_of=write_count, figure=write_figure, indented=write_indented,
    )  # fmt: skip
    return made


class Renderer:
    """Makes pages of templates. Thread-safe. `root`: what every address of the page begins with, behind a proxy."""

    def __init__(self, root: str = "") -> None:
        folder = files("sidecar.serve.pages") / "static"
        self._static = {name: (folder / name).read_bytes() for name in _STATIC}
        self._edition = hashlib.sha256(b"".join(self._static.values())).hexdigest()[:12]
        self._templates = environment("sidecar.serve.pages")
        self._templates.globals.update(edition=self._edition, root=root)

    def fragment(self, name: str, values: Mapping[str, Any]) -> str:
        """A template as text."""
        return self._templates.get_template(name).render(values)

    def page(self, name: str, values: Mapping[str, Any], status: int = 200) -> Response:
        """A template as an answer."""
        return HTMLResponse(self.fragment(name, values), status, HEADERS)

    def static(self, name: str) -> Response | None:
        """A file of the page; None where there is none of that name. Its address changes with what is in it."""
        if name not in self._static:
            return None
        headers = {**HEADERS, "Cache-Control": "private, max-age=31536000, immutable"}
        return Response(self._static[name], 200, headers, media_type=_STATIC[name])


def write_duration(ns: float | None) -> str:
    """Nanoseconds with a unit, three digits: `1.23 ms`."""
    if ns is None:
        return "–"
    size = abs(ns)
    for factor, unit in ((3600 * NANO, "h"), (60 * NANO, "min"), (NANO, "s"), (1_000_000, "ms"), (1_000, "µs")):
        if size >= factor:
            return f"{ns / factor:.3g} {unit}" if size < 1000 * factor else f"{ns / factor:.0f} {unit}"
    return f"{ns:.0f} ns"


def write_time(ns: float | None) -> str:
    """Unix nanoseconds as UTC with milliseconds."""
    if not ns or not 0 < ns < 253_402_300_800 * NANO:
        return "–"
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(ns // NANO)) + f".{int(ns) % NANO // 1_000_000:03d}"


def write_number(value: float | None) -> str:
    """Whole numbers with their thousands apart; others with four digits."""
    if value is None:
        return "–"
    if value == value and abs(value) < 1e15 and value == int(value):
        return f"{int(value):,}".replace(",", "\u202f")
    return f"{value:.4g}"


def write_figure(value: float | None) -> str:
    """Three digits, for narrow columns."""
    return "–" if value is None else f"{value:.3g}"


def write_count(things: Sequence[Any], noun: str) -> str:
    """`1 span`, `2 spans`."""
    return f"{write_number(len(things))} {noun}{'' if len(things) == 1 else 's'}"


def write_bytes(count: float) -> str:
    """`1.5 MiB`."""
    for factor, unit in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if count >= factor:
            return f"{count / factor:.3g} {unit}"
    return f"{count:.0f} B"


def write_percent(share: float | None) -> str:
    """0.123 as `12.3 %`."""
    return "–" if share is None else f"{share * 100:.3g} %"


def write_indented(document: str) -> str:
    """Lines of JSON with a line for each member; other lines, and those that would be cut, as they are."""
    return "\n".join(map(_indented, document.split("\n"))) if len(document) <= MAX_DOCUMENT else document


def _indented(line: str) -> str:
    try:
        read = json.loads(line)
        # What would not come back as it is (a member twice, a number out of range) may be what is wrong with it.
        same = json.dumps(read, separators=(",", ":"), ensure_ascii=False) == line
        return json.dumps(read, indent=2, ensure_ascii=False) if same else line
    except (ValueError, RecursionError):
        return line


def write_text(value: Any) -> str:
    """Text as it is, the rest as JSON; cut where it is very long."""
    written = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return written if len(written) <= MAX_TEXT else f"{written[:MAX_TEXT]}… ({len(written):,} characters)"
