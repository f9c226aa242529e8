from __future__ import annotations

from sidecar.deliver.reporting import REJECTED_SECONDS, REPEAT_SECONDS, Failure, Recovery, RejectedCount, Trouble


def test_trouble_is_logged_when_it_begins_and_when_its_reason_changes_not_more_than_once_a_minute() -> None:
    trouble = Trouble(2)
    assert trouble.failed("timeout", 0.0) == Failure(changed=True, log=True)
    assert trouble.failed("timeout", 1.0) == Failure(changed=False, log=False)
    assert trouble.failed("http_503", 2.0) == Failure(changed=True, log=True)
    assert trouble.failed("timeout", 3.0) == Failure(changed=True, log=False)
    assert trouble.failed("http_503", 4.0) == Failure(changed=True, log=False)
    assert trouble.failed("timeout", REPEAT_SECONDS) == Failure(changed=True, log=True)
    assert trouble.reason == "timeout"


def test_only_more_failures_in_a_row_than_batches_at_once_are_an_outage() -> None:
    trouble = Trouble(2)
    trouble.failed("timeout", 0.0)
    trouble.failed("timeout", 0.0)
    assert trouble.succeeded() == Recovery("timeout", outage=False)
    assert (trouble.reason, trouble.recoveries) == ("", 0)
    for _ in range(3):
        trouble.failed("http_429", 1.0)
    assert trouble.succeeded() == Recovery("http_429", outage=True)
    assert trouble.recoveries == 1
    assert trouble.succeeded() == Recovery("", outage=False)


def test_rejected_documents_are_added_up_between_two_lines() -> None:
    rejected, second = RejectedCount(), 10**9
    begin = 1_700_000_000 * second
    assert rejected.add(3, begin) == 3
    assert rejected.add(4, begin + second) == 0
    assert rejected.add(0, begin + 2 * second) == 0
    assert rejected.add(5, begin + int(REJECTED_SECONDS * second)) == 9
