"""Who scrapes, and what each scraper has not seen yet.

A new counter is shown at 0 first, so that `increase()` sees its first event. Each scraper has its own first look: what
another replica, or a person with curl, is given takes nothing away from it.
"""

from __future__ import annotations

from dataclasses import dataclass

import structlog

log = structlog.get_logger("sidecar.derive")

MAX_SCRAPERS = 32
IDLE_NS = 600 * 10**9
"""A scraper that has not asked for so long makes room for another one."""
NEW_NS = 300 * 10**9
"""To a scraper that comes later than the first one, series older than this are no news: it would see a jump."""


@dataclass(frozen=True, slots=True)
class View:
    """What one scrape shows at 0: series that began at tick `since` or later, and at time `young` (Unix ns) or later.

    A series begins at the tick of the last scrape before it."""

    tick: int
    since: int
    young: int = 0
    counts: bool = True
    """It is a scraper's: what it was shown is known where it is needed."""

    def at_zero(self, born: int, created: int) -> bool:
        """Whether a series that began at this tick, and this time, is shown at 0."""
        return born >= self.since and created >= self.young


class Scrapes:
    """The scrapers that asked of late, at most MAX_SCRAPERS. Not thread-safe: the engine's lock guards it."""

    def __init__(self) -> None:
        self._tick = 0
        self._last: dict[str, tuple[int, int]] = {}
        """Scraper -> (tick, Unix ns) of its last scrape, the one that asked longest ago first."""
        self._full = False

    def view(self, scraper: str, now: int) -> View:
        """What a scraper is shown at `now` (Unix ns). Nobody by name sees every series as it is."""
        if not scraper or not self._has_room(scraper, now):
            return View(self._tick, self._tick + 1, counts=False)
        known = self._last.pop(scraper, None)
        since, young = (known[0], 0) if known else (0, now - NEW_NS if self._tick else 0)
        self._tick += 1
        self._last[scraper] = self._tick, now
        return View(self._tick, since, young)

    def _has_room(self, scraper: str, now: int) -> bool:
        if scraper in self._last or len(self._last) < MAX_SCRAPERS:
            return True
        oldest = next(iter(self._last))
        if now - self._last[oldest][1] < IDLE_NS:
            if not self._full:
                self._full = True
                log.warning("too_many_scrapers", scraper=scraper)
            return False
        del self._last[oldest]
        return True
