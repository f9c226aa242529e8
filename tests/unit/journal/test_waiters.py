"""How long a payload waits for others to share its commit."""

from __future__ import annotations

import math

from sidecar.journal.waiters import wait_until


def test_only_where_a_commit_was_shared_just_before_is_waited_for_others() -> None:
    assert wait_until(10.0, -math.inf, 0.5) == 10.0, "none was shared yet"
    assert wait_until(10.0, 9.75, 0.5) == 10.5, "clients that were answered together send the next ones"
    assert wait_until(10.0, 9.5, 0.5) == 10.0, "they did not"
    assert wait_until(10.0, 10.0, 0.0) == 10.0, "a delay of 0 never waits"
