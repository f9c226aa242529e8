"""The journal against a model, with restarts, crashes at any moment of a commit, torn tails and a full disk as steps.

After every step: what was acknowledged is readable or finished, each entry once and in order, and the ledger balances.
"""

from __future__ import annotations

import random
import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from support.journals import Clock, Disk, journal, take

from sidecar.errors import Unavailable
from sidecar.journal.consumer import JournalConsumer
from sidecar.journal.journal import Journal
from sidecar.journal.submission import Submission
from sidecar.pipeline import Ack, Entry, entry_counts

SIGNALS = {"all": frozenset(["spans", "logs"]), "logs": frozenset(["logs"])}
FILES = ("journal.db", "journal.db-wal")


class JournalModel(RuleBasedStateMachine):
    log: Journal

    @initialize(hot=st.sampled_from([0, 2000, 1 << 20]))
    def begin(self, hot: int) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="journal-model-"))
        self.place, self.hot = self.root / "0", hot
        self.clock, self.disk = Clock(), Disk()
        self.acknowledged: dict[int, tuple[str, bytes]] = {}
        self.items: dict[int, int] = {}
        """Items and span events of each entry."""
        self.digests: dict[bytes, int] = {}
        self.received: dict[str, int] = {}
        self.finished: dict[str, set[int]] = {name: set() for name in SIGNALS}
        self.durable: dict[str, int] = dict.fromkeys(SIGNALS, 0)
        """Checkpoints that are known to be committed."""
        self.handed: dict[str, list[Entry]] = {}
        self.count = 0
        self.checkpoints: dict[bytes, bytes] = {}
        self._open()

    def _open(self) -> None:
        self.log = journal(self.place, self.clock, self.disk, hot_cache_bytes=self.hot)
        self.consumers: dict[str, JournalConsumer] = {n: self.log.consumer(n, s) for n, s in SIGNALS.items()}
        self.handed = {name: [] for name in SIGNALS}
        assert self.log.checkpoints(b"") == self.checkpoints, (
            "checkpoints are those of the entries that were acknowledged"
        )
        self.log.flush()
        for name in SIGNALS:
            self._forget_uncommitted(name)

    def _forget_uncommitted(self, name: str) -> None:
        """What was finished beyond the low-water mark comes again. It covers what was known to be committed, nothing
        that was not finished."""
        (mark,) = [c.low_water_mark for c in self.log.ledger().consumers if c.name == name]
        assert mark >= self.durable[name]
        assert {seq for seq in self._of(name) if seq <= mark} <= self.finished[name]
        self.finished[name] = {seq for seq in self._of(name) if seq <= mark}

    def _of(self, name: str) -> list[int]:
        return [seq for seq, (signal, _) in sorted(self.acknowledged.items()) if signal in SIGNALS[name]]

    def _submission(self, signal: str, size: int) -> Submission:
        self.count += 1
        payload = b"%d:" % self.count + random.Random(self.count).randbytes(size)
        digest, checkpoints = payload[:16], {}
        if self.count % 3 == 0:
            digest, checkpoints = None, {b"%d" % (self.count % 4): b"%d" % self.count, b"%d" % (self.count % 5): None}
        items, events = 1 + self.count % 3, self.count % 2 if signal == "spans" else 0
        return Submission(signal, payload, items, events, 0, digest, checkpoints)

    def _note(self, submission: Submission, seq: int) -> None:
        assert seq not in self.acknowledged, "a number is given once"
        assert not self.acknowledged or seq > max(self.acknowledged)
        self.acknowledged[seq] = (submission.signal, submission.payload)
        self.items[seq] = submission.items + submission.events
        if submission.digest is not None:
            self.digests[submission.payload] = seq
        for key, value in submission.checkpoints.items():
            self.checkpoints.pop(key, None)
            if value is not None:
                self.checkpoints[key] = value
        self.received[submission.signal] = self.received.get(submission.signal, 0) + submission.items
        if submission.events:
            self.received["span_events"] = self.received.get("span_events", 0) + submission.events

    @rule(
        signal=st.sampled_from(["spans", "logs"]),
        sizes=st.lists(st.sampled_from([0, 50, 3000, 40000]), min_size=1, max_size=4),
    )
    def submit(self, signal: str, sizes: list[int]) -> None:
        submissions = [self._submission(signal, size) for size in sizes]
        futures = [(d, self.log.append(d)) for d in submissions]
        for submission, future in futures:
            try:
                receipt = future.result(10)
            except Unavailable:
                assert self.disk.full
            else:
                assert not self.disk.full
                assert not receipt.duplicate
                self._note(submission, receipt.seq)

    @precondition(lambda self: self.digests)
    @rule(data=st.data())
    def submit_again(self, data: st.DataObject) -> None:
        payload = data.draw(st.sampled_from(sorted(self.digests)))
        seq = self.digests[payload]
        receipt = self.log.append(Submission(self.acknowledged[seq][0], payload, 1, 0, 0, payload[:16])).result(10)
        assert (receipt.seq, receipt.duplicate) == (seq, True)

    @precondition(lambda self: self.digests and not self.disk.full)
    @rule(data=st.data())
    def submit_an_equal_one(self, data: st.DataObject) -> None:
        payload = data.draw(st.sampled_from(sorted(self.digests)))
        signal = self.acknowledged[self.digests[payload]][0]
        one = Submission(signal, payload, 1, 0, 0, payload[:16], distinct=True)
        receipt = self.log.append(one).result(10)
        assert not receipt.duplicate
        self._note(one, receipt.seq)

    @precondition(lambda self: self.digests and not self.disk.full)
    @rule(data=st.data())
    def submit_what_was_acknowledged(self, data: st.DataObject) -> None:
        """All who sent it have their acknowledgements: once more it is another."""
        payload = data.draw(st.sampled_from(sorted(self.digests)))
        signal = self.acknowledged[self.digests.pop(payload)][0]
        self.log.acknowledged(payload[:16], [seq for seq, (_, kept) in self.acknowledged.items() if kept == payload])
        one = Submission(signal, payload, 1, 0, 0, payload[:16])
        receipt = self.log.append(one).result(10)
        assert not receipt.duplicate
        self._note(one, receipt.seq)

    @rule(name=st.sampled_from(list(SIGNALS)), entries=st.integers(1, 6), size=st.sampled_from([1, 5000, 1 << 20]))
    def read(self, name: str, entries: int, size: int) -> None:
        got = take(self.consumers[name], entries, size)
        seen = self.finished[name] | {e.seq for e in self.handed[name]}
        due = [seq for seq in self._of(name) if seq not in seen]
        assert [e.seq for e in got] == due[: len(got)]
        assert bool(got) == bool(due)
        assert all(e.payload == self.acknowledged[e.seq][1] for e in got)
        self.handed[name] += got

    @precondition(lambda self: any(self.handed.values()))
    @rule(data=st.data(), wait=st.booleans())
    def finish(self, data: st.DataObject, wait: bool) -> None:
        name = data.draw(st.sampled_from([n for n, entries in self.handed.items() if entries]))
        some = data.draw(st.lists(st.sampled_from(self.handed[name]), unique_by=lambda e: e.seq, min_size=1))
        self.consumers[name].done([Ack(e.seq, entry_counts(e, "delivered")) for e in some])
        self.finished[name] |= {e.seq for e in some}
        self.handed[name] = [e for e in self.handed[name] if e not in some]
        if wait and not self.disk.full:
            self.log.flush()
            undone = [seq for seq in self._of(name) if seq not in self.finished[name]]
            self.durable[name] = max((s for s in self._of(name) if s < min(undone, default=s + 1)), default=0)

    @precondition(lambda self: any(self.handed.values()))
    @rule(data=st.data())
    def finish_on_a_full_disk(self, data: st.DataObject) -> None:
        """A word that meets a failing commit goes with a later one."""
        self.disk.full = True
        self.finish(data, wait=False)
        self.submit("logs", [50])
        self.disk.full = False
        self.settle()

    @precondition(lambda self: not self.disk.full)
    @rule()
    def settle(self) -> None:
        """With everything committed, what waits is exactly what lies beyond the first unfinished entry."""
        self.log.flush()
        for consumer in self.log.ledger().consumers:
            undone = set(self._of(consumer.name)) - self.finished[consumer.name]
            beyond = [seq for seq in self._of(consumer.name) if undone and seq >= min(undone)]
            assert sum(consumer.waiting.values()) == sum(self.items[seq] for seq in beyond)

    @rule()
    def fill_or_free_the_disk(self) -> None:
        self.disk.full = not self.disk.full

    @rule()
    def restart(self) -> None:
        self.disk.full = False
        self.log.close()
        self._open()

    @rule(
        signal=st.sampled_from(["spans", "logs"]),
        after=st.booleans(),
        tail=st.integers(0, 9000),
    )
    def crash(self, signal: str, after: bool, tail: int) -> None:
        """The machine stops just before or just after a commit is on disk, with rubbish behind the last commit."""
        self.disk.full = False
        self.log.flush()
        place = self.root / str(self.count + 1_000_000 + int(self.place.name))
        submission = self._submission(signal, 500)

        def stop() -> None:
            place.mkdir(exist_ok=True)
            for file in FILES:
                if (self.place / file).exists() and not (place / file).exists():
                    shutil.copyfile(self.place / file, place / file)

        if after:
            self.disk.after_commit = stop
        else:
            self.disk.before_commit = stop
        receipt = self.log.append(submission).result(10)
        self.disk.after_commit = self.disk.before_commit = None
        self.log.close()
        shutil.rmtree(self.place)
        self.place = place
        if tail:
            with (place / "journal.db-wal").open("ab") as wal:
                wal.write(random.Random(tail).randbytes(tail))
        if after:
            self._note(submission, receipt.seq)
        self._open()

    @invariant()
    def the_ledger_balances(self) -> None:
        if not hasattr(self, "log"):
            return
        ledger = self.log.ledger()
        assert ledger.balance() == []
        assert {s: n for s, n in ledger.received.items() if n} == {s: n for s, n in self.received.items() if n}
        assert self.log.checkpoints(b"") == self.checkpoints
        for consumer in ledger.consumers:
            undone = set(self._of(consumer.name)) - self.finished[consumer.name]
            assert sum(consumer.waiting.values()) >= len(undone)

    def teardown(self) -> None:
        if not hasattr(self, "log"):
            return
        self.restart()
        for name, consumer in self.consumers.items():
            got: list[Entry] = []
            while entries := take(consumer):
                got += entries
            due = [seq for seq in self._of(name) if seq not in self.finished[name]]
            assert [e.seq for e in got] == due, "acknowledged is readable, once, in order"
            assert [e.payload for e in got] == [self.acknowledged[seq][1] for seq in due]
        self.log.close()
        shutil.rmtree(self.root)


TestJournalModel = JournalModel.TestCase
TestJournalModel.settings = settings(
    max_examples=60,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
