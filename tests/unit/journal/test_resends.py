"""Payloads that come again, and equal ones that do not."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.journals import Clock, Disk, Make, keep, submission

from sidecar.errors import Unavailable
from sidecar.journal.submission import Receipt


def test_a_resend_is_acknowledged_and_not_kept(make: Make, clock: Clock) -> None:
    log = make(dedupe_window=60)
    first = log.append(submission("x", 4, digest=b"d" * 16)).result(10)
    clock.forward(59)
    again = log.append(submission("x", 4, digest=b"d" * 16)).result(10)
    assert (first.duplicate, again.duplicate, again.seq) == (False, True, first.seq)
    log.flush()
    assert log.ledger().duplicates["logs"] == 4
    assert log.ledger().received["logs"] == 4
    clock.forward(120)
    keep(log, "other", digest=b"e" * 16)
    assert not log.append(submission("x", 4, digest=b"d" * 16)).result(10).duplicate


def test_resends_before_the_commit_share_its_fate(make: Make) -> None:
    log = make(commit_delay=0.2)
    futures = [log.append(submission("x", 2, digest=b"d" * 16)) for _ in range(4)]
    receipts = [f.result(10) for f in futures]
    assert sorted(r.duplicate for r in receipts) == [False, True, True, True]
    assert {r.seq for r in receipts} == {1}
    log.flush()
    assert log.ledger().received["logs"] == 2
    assert log.ledger().duplicates["logs"] == 6


def test_a_distinct_payload_is_kept_beside_its_equal(make: Make) -> None:
    log = make()
    equal = [submission("x", 2, digest=b"d" * 16)] + [replace(submission("x", 2, digest=b"d" * 16), distinct=True)] * 3
    receipts = [f.result(10) for f in [log.append(d) for d in equal]]
    assert len({r.seq for r in receipts}) == 4
    assert not any(r.duplicate for r in receipts)
    assert log.append(equal[0]).result(10) == Receipt(receipts[-1].seq, duplicate=True)


def test_an_acknowledged_payload_is_no_longer_remembered(make: Make) -> None:
    log = make()
    first = log.append(submission("x", 2, digest=b"d" * 16)).result(10)
    other = log.append(submission("y", 2, digest=b"e" * 16)).result(10)
    log.acknowledged(b"d" * 16, [first.seq])
    second = log.append(submission("x", 2, digest=b"d" * 16)).result(10)
    assert not second.duplicate
    assert log.append(submission("x", 2, digest=b"d" * 16)).result(10) == Receipt(second.seq, duplicate=True)
    assert log.append(submission("y", 2, digest=b"e" * 16)).result(10) == Receipt(other.seq, duplicate=True)
    assert log.ledger().received["logs"] == 6


def test_what_is_acknowledged_stays_so_over_a_restart_and_what_is_not_is_remembered(disk_journal: Make) -> None:
    disk = Disk()
    log = disk_journal(disk)
    submissions = [submission(name, 1, digest=name.encode() * 16) for name in "abcd"]
    seqs = [log.append(d).result(10).seq for d in submissions]
    log.acknowledged(b"a" * 16, seqs[:1])
    log.flush()
    disk.full = True
    log.acknowledged(b"b" * 16, seqs[1:2])
    with pytest.raises(Unavailable):
        log.flush()
    disk.full = False
    log.close()
    log = disk_journal()
    log.acknowledged(b"c" * 16, seqs[2:3])
    log.close()
    log = disk_journal()
    assert [log.append(d).result(10).duplicate for d in submissions] == [False, False, False, True]


def test_payloads_without_a_digest_are_never_resends(make: Make) -> None:
    log = make()
    assert keep(log, "same") != keep(log, "same")
