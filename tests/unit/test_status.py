from __future__ import annotations

import json

from sidecar import status
from sidecar.health import ComponentHealth, Health
from sidecar.journal.ledger import ConsumerLedger, Ledger

STORE = ConsumerLedger(
    name="store",
    signals=("spans", "logs"),
    base={"spans": 5, "logs": 0},
    counts={("spans", "delivered", ""): 4, ("spans", "dropped", "journal_full"): 2, ("spans", "filtered", ""): 0},
    waiting={"spans": 1, "logs": 0},
)
LEDGER = Ledger(received={"spans": 12, "logs": 0}, rejected={"spans": 3}, duplicates={}, consumers=(STORE,))


def test_a_line_adds_up_since_the_consumer_began_and_leaves_out_what_is_nothing() -> None:
    assert list(status.ledger_lines(LEDGER)) == [
        "store/spans: received 7 = delivered 4 + dropped (journal_full) 2 + waiting 1"
    ]


def test_the_view_is_json_and_names_no_problem_where_it_balances() -> None:
    view = json.loads(json.dumps(status.ledger_view(LEDGER)))
    assert view["problems"] == []
    assert view["consumers"]["store"]["waiting"] == {"spans": 1, "logs": 0}
    assert {"signal": "spans", "outcome": "dropped", "reason": "journal_full", "items": 2} in view["consumers"][
        "store"
    ]["finished"]


def test_what_does_not_balance_is_named() -> None:
    short = Ledger(received={"spans": 13, "logs": 0}, rejected={}, duplicates={}, consumers=(STORE,))
    assert any(p.startswith("store/spans") for p in status.ledger_view(short)["problems"])


class Log:
    """A log with figures of its own choosing."""

    quota = 1000

    def ledger(self) -> Ledger:
        return LEDGER

    def lags(self) -> dict[str, float]:
        return {"store": 0.12345, "derive": 0.0}

    def stored_bytes(self) -> int:
        return 10

    def stored_entries(self) -> int:
        return 2

    def dead_letters(self) -> dict[str, int]:
        return {"elasticsearch": 1}

    def drain_rate(self) -> float:
        return 99.6

    def __init__(self, writing: bool = True, failure: BaseException | None = None) -> None:
        self._writing, self.failure = writing, failure

    def writing(self) -> bool:
        return self._writing

    def head(self) -> int:
        return 7


def test_the_journals_figures() -> None:
    assert status.journal_view(Log()) == {
        "head": 7,
        "entries": 2,
        "bytes": 10,
        "quota_bytes": 1000,
        "drain_bytes_per_second": 100,
        "writing": True,
        "lag_seconds": {"derive": 0.0, "store": 0.123},
        "dead_letters": {"elasticsearch": 1},
    }


def test_a_journal_that_cannot_be_written_is_said_and_the_pod_stays() -> None:
    assert status.journal_health(Log()).state == "ok"
    health = Health()
    health.watch("journal", lambda: status.journal_health(Log(writing=False)))
    assert health.reports()["journal"] == ComponentHealth("degraded", "it cannot be written")
    assert (health.live, health.ready) == (True, True)
    broken = status.journal_health(Log(writing=False, failure=ValueError("a bug")))
    assert broken == ComponentHealth("failed", "a bug")
