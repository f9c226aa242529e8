"""Each scraper sees a new counter at 0 first; nobody takes that away from another."""

from __future__ import annotations

import random

import numpy as np
import pytest
from support.derive_fakes import arrival, log_batch
from support.derive_fakes import lines as lines_of

from sidecar.derive.log_records import LogDeriver
from sidecar.derive.scrapes import IDLE_NS, MAX_SCRAPERS, NEW_NS, Scrapes
from sidecar.derive.series import Budget
from sidecar.derive.target_info import Targets
from sidecar.telemetry import Telemetry

SECOND = 10**9
ERROR = 'log_records_total{service="shop",severity="ERROR"}'


class Scraped:
    """A deriver, and who scrapes it."""

    def __init__(self) -> None:
        self.scrapes = Scrapes()
        self.logs = LogDeriver(Budget(), Targets(10), Telemetry())
        self.now = 1_000_000 * SECOND

    def add(self, severity: str = "ERROR", times: int = 1) -> None:
        self.logs.apply(log_batch([("shop", severity, "")] * times), arrival(times, self.now))

    def get(self, who: str, after: int = 15) -> dict[str, str]:
        self.now += after * SECOND
        return lines_of(list(self.logs.collect(self.scrapes.view(who, self.now))))


@pytest.fixture
def scraped() -> Scraped:
    return Scraped()


def test_a_person_sees_what_there_is_and_takes_nothing_from_the_scraper(scraped: Scraped) -> None:
    scraped.add(times=3)
    assert [scraped.get("")[ERROR] for _ in range(3)] == ["3", "3", "3"]
    assert [scraped.get("a")[ERROR] for _ in range(2)] == ["0", "3"]
    assert scraped.get("")[ERROR] == "3"


def test_each_of_two_replicas_gets_the_zero_once(scraped: Scraped) -> None:
    scraped.get("a"), scraped.get("b")
    scraped.add(times=3)
    assert [scraped.get(who)[ERROR] for who in "abab"] == ["0", "0", "3", "3"]


def test_a_replica_that_comes_first_just_after_gets_it_too(scraped: Scraped) -> None:
    scraped.add(times=3)
    assert [scraped.get(who)[ERROR] for who in "abab"] == ["0", "0", "3", "3"]


def test_a_series_that_grows_before_the_second_replica_asks_is_at_zero_there(scraped: Scraped) -> None:
    scraped.get("a"), scraped.get("b")
    scraped.add()
    assert scraped.get("a")[ERROR] == "0"
    scraped.add()
    assert [scraped.get(who)[ERROR] for who in "baab"] == ["0", "2", "2", "2"]


def test_a_scraper_that_comes_much_later_sees_no_jump_from_zero(scraped: Scraped) -> None:
    scraped.add(times=1000)
    scraped.get("a")
    scraped.now += NEW_NS
    scraped.add("INFO")
    got = scraped.get("late")
    assert (got[ERROR], got[ERROR.replace("ERROR", "INFO")]) == ("1000", "0")


def test_figures_of_an_earlier_run_are_not_shown_at_zero_to_anybody(scraped: Scraped) -> None:
    scraped.add(times=3)
    scraped.logs.records.mark_exported()
    assert [scraped.get(who)[ERROR] for who in "ab"] == ["3", "3"]


def test_scrapers_are_bounded_and_an_idle_one_makes_room(scraped: Scraped) -> None:
    for n in range(MAX_SCRAPERS):
        scraped.get(f"s{n}", after=0)
    scraped.add()
    assert scraped.get("one more", after=1)[ERROR] == "1"
    assert scraped.get("s3", after=1)[ERROR] == "0"
    scraped.now += IDLE_NS
    scraped.add("INFO")
    assert scraped.get("one more")[ERROR.replace("ERROR", "INFO")] == "0"


def test_what_each_scraper_counts_is_what_there_was(scraped: Scraped) -> None:
    """Whatever the order: the increases that a scraper sees from its first scrape on are all that came."""
    rng = random.Random(7)
    seen: dict[str, dict[str, int]] = {who: {} for who in "abc"}
    counted = dict.fromkeys("abc", 0)
    for who in "abc":
        scraped.get(who)
    total = 0
    for _ in range(300):
        if rng.random() < 0.5:
            scraped.add(f"S{rng.randrange(40)}")
            total += 1
        who = rng.choice(["a", "b", "c", ""])
        for series, value in scraped.get(who, after=1).items():
            if who:
                counted[who] += int(value) - seen[who].get(series, int(value))
                seen[who][series] = int(value)
    for who in "abc":
        for _ in range(2):
            for series, value in scraped.get(who, after=1).items():
                counted[who] += int(value) - seen[who].get(series, int(value))
                seen[who][series] = int(value)
    assert counted == dict.fromkeys("abc", total)


def test_rows_that_are_used_again_are_new(scraped: Scraped) -> None:
    scraped.add()
    scraped.get("a"), scraped.get("a")
    scraped.logs.expire(np.iinfo(np.int64).max, ttl=0)
    scraped.add()
    assert [scraped.get("a")[ERROR] for _ in range(2)] == ["0", "1"]
