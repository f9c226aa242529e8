"""Which of the files that are found are new, which are known, and which are known ones under another name.

In the order of the rules: a file whose device, inode, birth and content are those of a checkpoint is read on. One that
was rotated and has the content of a checkpoint (a copy, or compressed) is read on from there, but not while the file
that it may have been made of still has that content. Anything else is new, and is read from its beginning.

Programs that fail at once write files that begin alike. So a checkpoint stands for one file: one that was read on from
it takes its place, and the next such file is read from its beginning. Two files that were there when they were seen
first are two, unless one of them is cut right then.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import structlog

from sidecar.receive.file_tail.checkpoint import Checkpoint, Key, any_same_time, key_bytes, same_time
from sidecar.receive.file_tail.copies import (
    Deferred,
    begins_alike,
    is_compressed_form,
    may_be_copy,
    may_be_made_of,
)
from sidecar.receive.file_tail.discovery import Candidate
from sidecar.receive.file_tail.former import Loss, Replaced, deleted, is_read_on, undecided, unseen
from sidecar.receive.file_tail.source import Broken, Source, open_source
from sidecar.receive.file_tail.tailed_file import TailedFile

REMEMBER_SECONDS = 86_400.0
"""Checkpoints of files that are gone are stored for so long: a compressed copy may turn up late."""
REMOVED_GRACE = 60.0
"""A file without a path is held open until it has not grown for so long: its writer may not know yet."""
MISSING_GRACE = 10.0
"""A file that is not open may be missed in a scan while others are renamed around it."""
REPLACED_SECONDS = 600.0
MAX_BEFORE = 64
"""Files in which one line may lie. It is at most 1 MiB long, and a runtime's parts are mostly of 16 KiB."""
BROKEN_GRACE = 60.0
"""A compressed file that ends too soon and has not changed for so long is not going to be whole."""

log = structlog.get_logger("sidecar.receive")


class FileRegistry:
    """The files by key. For one thread."""

    def __init__(
        self,
        checkpoints: dict[Key, Checkpoint],
        used_patterns: Iterable[str],
        start_at_end: bool,
        max_open: int,
        now: float,
    ) -> None:
        self.files: dict[Key, TailedFile] = {}
        self.checkpoints = checkpoints
        """As committed, also of files that are gone."""
        self.pending: dict[bytes, bytes | None] = {}
        """To be committed with the next entry."""
        self.losses: list[Loss] = []
        """Since they were last taken away."""
        self.unreadable: dict[str, str] = {}
        """path -> why."""
        self.used_patterns = set(used_patterns)
        self._start_at_end = start_at_end
        self._max_open = max_open
        self._room = max_open
        """Files that this scan may leave open."""
        self._replaced: list[Replaced] = []
        self._missing: dict[Key, float] = dict.fromkeys(checkpoints, now)
        self._broken: dict[Key, float] = {}
        self._deferred: dict[Key, Deferred] = {}
        self._absent: dict[Key, float] = {}
        """Those of them that the last scan did not find, and since when."""
        self._paths: set[str] = set()
        """Where files were found in this scan."""
        self._put_off: set[Key] = set()
        """Compressed files that were left to the scan after the first that found them."""
        self._families: dict[str, list[TailedFile]] = {}
        """Files of one base, where there are several."""

    def update(self, candidates: Sequence[Candidate], patterns: Sequence[str], now: float, wall: float) -> None:
        """Take note of what is there. `wall`: Unix seconds."""
        there = {candidate.key for candidate in candidates}
        self._room = self._max_open - sum(file.source is not None for file in self.files.values())
        self._paths = {candidate.path for candidate in candidates}
        self.unreadable = {path: why for path, why in self.unreadable.items() if path in self._paths}
        self._put_off &= there
        # One that is renamed while files are looked for is not found, and waits on.
        self._absent = {key: self._absent.get(key, now) for key in self._deferred if key not in there}
        for key in [key for key, since in self._absent.items() if now - since > MISSING_GRACE]:
            self._removed_while_it_waits(key)
        unknown: list[tuple[Candidate, bool]] = []
        for candidate in candidates:
            file = self.files.get(candidate.key)
            if file is not None:
                file.found(candidate, now)
            elif (checkpoint := self.checkpoints.get(candidate.key)) is None or checkpoint.waits:
                unknown.append((candidate, False))
            elif not self._resume(candidate, checkpoint, now) and candidate.pattern:
                unknown.append((candidate, True))
        for file in [f for f in self.files.values() if f.key not in there]:
            self._gone(file, now)
        # One that waited takes the checkpoint that it waited for, before one does that has the same content.
        # Nor is one that was written at another time taken for a copy before that whose time is the same.
        times = sorted([*self._times_of_missing(), *(f.written for f in self.files.values())]) if unknown else []
        order = sorted(
            unknown, key=lambda one: (one[0].key not in self._deferred, not any_same_time(times, one[0].modified_ns))
        )
        for candidate, reused in order:
            self._classify(candidate, reused, now, wall)
        self.used_patterns.update(patterns)
        self._settle_replaced(now)
        self._forget(there, now)
        self._families = {}
        for file in self.files.values():
            self._families.setdefault(file.base, []).append(file)

    def _times_of_missing(self) -> list[int]:
        """Times of change of the files that checkpoints without a file were made of, in order."""
        return sorted(one.written for key, one in self.checkpoints.items() if key not in self.files)

    def before(self, file: TailedFile) -> list[TailedFile]:
        """What was written before a file that nothing was read of yet, oldest first, if lines of it are left that may
        go on there: a line that was cut into parts may lie in several files."""
        found: list[TailedFile] = []
        while (last := self._left_before(found[-1] if found else file)) is not None and len(found) < MAX_BEFORE:
            found.append(last)
        return found[::-1]

    def _left_before(self, file: TailedFile) -> TailedFile | None:
        if file.offset or file.compressed:
            return None
        # Compressing sets the time of change again: the newest is not always the last that was written to.
        older = (
            other
            for other in self._families.get(file.base, ())
            if other is not file
            and other.former
            and not other.compressed
            and (not file.former or other.modified < file.modified)
        )
        last = max(older, key=lambda other: other.modified, default=None)
        if last is None or last.done or not last.lag() or last.blank_to > last.offset:
            return None
        if last.source is None:
            last.source = self.open(last.path, last.key)
        return last if last.source is not None else None

    def _resume(self, candidate: Candidate, checkpoint: Checkpoint, now: float) -> bool:
        """Track a file whose key has a checkpoint; False if its content is another one."""
        source = self.open(candidate.path, candidate.key)
        if source is None:
            return True
        file = TailedFile.of(candidate, now, checkpoint)
        try:
            # Before it is compared: it may be cut at any moment, and is to be known as what it was.
            file.read_start(source)
            if not checkpoint.done:
                file.read_recent(source)
            same = checkpoint.head_matches(source.pread) if checkpoint.done else checkpoint.matches(source.pread)
            reused = bool(checkpoint.birth) and source.birth not in (0, checkpoint.birth)
            same = same and not reused
        except (Broken, OSError):
            source.close()
            return True
        if not same:
            source.close()
            loss = None if reused or checkpoint.done or checkpoint.replaced else unseen(candidate, checkpoint)
            # While the other content waits this is asked again; the checkpoint stands for one file all the same.
            if not any(old.key == candidate.key and old.checkpoint == checkpoint for old in self._replaced):
                self._replaced.append(Replaced(candidate.key, checkpoint, now, loss))
            return False
        file.known_since = 0.0
        self._track(file, source)
        return True

    def _track(self, file: TailedFile, source: Source) -> None:
        file.source, file.compressed, file.birth = source, source.compressed, source.birth
        file.written = source.modified()
        file.read_start(source)
        if not file.done and not file.recent:
            file.read_recent(source)
        if file.done or self._room <= 0:
            file.close()
        self._room -= file.source is not None
        self.files[file.key] = file

    def _classify(self, candidate: Candidate, reused: bool, now: float, wall: float) -> None:
        # An empty file beside another may be a copy in the making.
        waits = self._is_deferred(candidate, now) or (candidate.rotated and not candidate.size)
        waits = waits or self._waits_for_original(candidate, now)
        source = None if waits else self.open(candidate.path, candidate.key)
        if source is None:
            return
        at_end = self._start_at_end and not reused and candidate.pattern not in self.used_patterns
        try:
            # One that waits for a checkpoint leaves others with the same content to their own copies, and so does one
            # whose original is still there.
            at_once = source.compressed and candidate.key not in self._deferred
            at_once = at_once and not self._original_is_read(candidate, source)
            at_once = at_once and not self._is_of_one_that_is_read(candidate)
            file = self._as_copy(candidate, source, now, whole=True) if at_once else None
            if file is None and not at_end and self._defer(candidate, source, now):
                source.close()
                return
            file = file or self._as_copy(candidate, source, now) or self._as_new(candidate, at_end, source, now)
            self._track(file, source)
        except OSError as error:
            source.close()
            self.note_unreadable(candidate.path, error)
            return
        except Broken:
            source.close()
            self._broken_for_good(candidate, wall)
            return
        if file.offset or file.done:
            self.store(file)

    def _as_new(self, candidate: Candidate, at_end: bool, source: Source, now: float) -> TailedFile:
        file = TailedFile.of(candidate, now)
        if at_end:
            file.pass_over(source)
        return file

    def _is_deferred(self, candidate: Candidate, now: float) -> bool:
        """It was found to be like a file that is being read, and neither has changed in that."""
        known = self._deferred.get(candidate.key)
        origin = self.files.get(known.origin) if known is not None else None
        if known is None or origin is None or known.state != (candidate.size, candidate.modified):
            return False
        is_gone = origin.gone_since is not None
        if known.gone != is_gone or not origin.start.startswith(known.start):
            return False
        if known.over(now) and not is_gone:
            return False
        if known.path != candidate.path:
            known = self._deferred[candidate.key] = replace(known, path=candidate.path)
        if not known.logged and known.left_out(now) and not is_gone:
            log.warning("file_tail_copy_skipped", path=candidate.path, of=origin.path, bytes=candidate.size)
            self._deferred[candidate.key] = replace(known, logged=True)
        return True

    def _removed_while_it_waits(self, key: Key) -> None:
        """What the file had is lost unless it was a copy."""
        del self._absent[key]
        known = self._deferred.pop(key)
        if (loss := undecided(known, self.files.get(known.origin))) is not None:
            self.lose(loss)
        if key in self.checkpoints and self.checkpoints[key].waits:
            self._drop(key)

    def _drop(self, key: Key) -> None:
        """Forget a checkpoint, with the next entry."""
        del self.checkpoints[key]
        self._missing.pop(key, None)
        self.pending[key_bytes(key)] = None

    @property
    def left_out(self) -> int:
        """Files that are not read since they are copies of others."""
        return sum(known.logged for key, known in self._deferred.items() if key not in self._absent)

    def _defer(self, candidate: Candidate, source: Source, now: float) -> bool:
        """Wait with a file that may be a copy of one that we read: there is nothing in it for us yet."""
        known = self._deferred.pop(candidate.key, None)
        origin = self._live_origin(candidate, source, now)
        if origin is None:
            return False
        state = candidate.size, candidate.modified
        seen = self.checkpoints.get(candidate.key)
        first, since = now, now
        if known is not None:
            first, since = known.first, known.since if known.state == state else now
        elif seen is not None and seen.waits:
            first = 0.0
        form = is_compressed_form(candidate, source, origin)
        together = origin.known_since >= first and not form
        logged = known is not None and known.logged and not together
        # That it is the compressed form of a file is known while both are there; afterwards its name may be another.
        form |= known is not None and known.form and known.origin == origin.key
        found = Deferred.of(candidate, source, origin, first, since, together=together, form=form, logged=logged)
        if found.over(now) and not found.gone:
            return False
        self._deferred[candidate.key] = found
        if found.together and candidate.key not in self.checkpoints:
            # After a restart the other file is known, and this one must be all the same.
            self.store(TailedFile.of(candidate, now))
        return True

    def _waits_for_original(self, candidate: Candidate, now: float) -> bool:
        """Whether the file that it is the compressed form of waits, or came while files were looked for: the next scan
        finds both."""
        original = candidate.path.removesuffix(".gz")
        if original == candidate.path:
            return False
        if original in self._paths:
            return any(d.path == original and not d.left_out(now) for d in self._deferred.values())
        if candidate.key in self._put_off or not os.path.lexists(original):
            return False
        self._put_off.add(candidate.key)
        return True

    def _original_is_read(self, candidate: Candidate, source: Source) -> bool:
        """Whether it has the name of a compressed form of a file that is there."""
        return any(
            file.gone_since is None and is_compressed_form(candidate, source, file) for file in self.files.values()
        )

    def _is_of_one_that_is_read(self, candidate: Candidate) -> bool:
        """Whether its time is that of a file that is read, gone or not, and of no other that was read."""
        missing = any_same_time(self._times_of_missing(), candidate.modified_ns)
        return not missing and any(
            file.base == candidate.base and not file.compressed and same_time(file.written, candidate.modified_ns)
            for file in self.files.values()
        )

    def _live_origin(self, candidate: Candidate, source: Source, now: float) -> TailedFile | None:
        """A file that we read and that has this content now."""
        if not candidate.rotated:
            return None
        family = [f for f in self.files.values() if f.base == candidate.base and not f.done and f.key != candidate.key]
        # One that is gone was compressed, or moved to another file system.
        modified = source.modified()
        for file in sorted(family, key=lambda f: (not same_time(f.written, modified), f.gone_since is None)):
            if self._may_be_copy(candidate, source, file, now):
                return file
        return None

    def _may_be_copy(self, candidate: Candidate, source: Source, file: TailedFile, now: float) -> bool:
        alike = not file.start or begins_alike(source, file.start)
        if not alike or not may_be_made_of(candidate, source, file) or self._has_copy(file, source):
            return False
        own = file.source or self.open(file.path, file.key)
        if own is None:
            return False
        try:
            # It may have been empty when it was looked at last, and be written, copied and removed since.
            file.read_start(own)
            found = begins_alike(source, file.start) and may_be_copy(source, file, own)
            # Asked last: it may be cut while it is compared.
            if not file.unchanged(own):
                self.truncated(file, now)
                return False
            return found
        finally:
            if own is not file.source:
                own.close()

    def _has_copy(self, file: TailedFile, source: Source) -> bool:
        """Whether the file is gone and there is a whole copy of it: whichever of two is that, the other is not."""
        return file.gone_since is not None and any(
            known.gone and known.origin == file.key and known.compressed == source.compressed
            for known in self._deferred.values()
        )

    def _as_copy(self, candidate: Candidate, source: Source, now: float, whole: bool = False) -> TailedFile | None:
        """The file at the offset of the checkpoint that was made of its content; None if there is none. `whole`: of
        all its content."""
        best: tuple[Key, Checkpoint, Replaced | None] | None = None
        modified = source.modified()
        for key, checkpoint, old in self._origins(candidate):
            rank = same_time(checkpoint.written, modified), checkpoint.offset
            better = best is None or rank > (same_time(best[1].written, modified), best[1].offset)
            # A compressed file that was read to its end has no more than that.
            whole_only = whole or (checkpoint.done and checkpoint.offset > 0)
            alike = better and is_read_on(source, checkpoint, old)
            if alike and not (whole_only and source.pread(checkpoint.offset, 1)):
                best = key, checkpoint, old
        if best is None:
            return None
        key, checkpoint, old = best
        if old is not None:
            self._replaced.remove(old)
        if self.checkpoints.get(key) == checkpoint:
            self._drop(key)
        offset = checkpoint.offset if source.compressed else min(checkpoint.offset, source.size())
        return TailedFile.of(
            candidate, now, replace(checkpoint, offset=offset, done=checkpoint.done and source.compressed)
        )

    def _origins(self, candidate: Candidate) -> Iterator[tuple[Key, Checkpoint, Replaced | None]]:
        """Checkpoints without a file of their content."""
        if candidate.rotated:
            for old in self._replaced:
                if old.checkpoint.base == candidate.base:
                    yield old.key, old.checkpoint, old
        for key, checkpoint in self.checkpoints.items():
            if key in self.files or key == candidate.key or checkpoint.base != candidate.base:
                continue
            # The same file on a device that got another number, or a copy of one that is gone.
            moved = key[1] == candidate.key[1] and checkpoint.path == candidate.path
            if moved or candidate.rotated:
                yield key, checkpoint, None

    def open(self, path: str, key: Key) -> Source | None:
        """The file at this path, if it is the one with this key."""
        try:
            source = open_source(path)
        except FileNotFoundError:
            return None
        except OSError as error:
            self.note_unreadable(path, error)
            return None
        self.unreadable.pop(path, None)
        if source is not None and source.key != key:
            source.close()
            return None
        return source

    def note_unreadable(self, path: str, error: OSError) -> None:
        """Log it once, and count it for as long as it is so."""
        if path not in self.unreadable:
            log.warning("file_tail_file_unreadable", path=path, error=error.strerror or str(error))
        self.unreadable[path] = error.strerror or str(error)

    def _broken_for_good(self, candidate: Candidate, wall: float) -> None:
        """Nothing of a compressed file can be unpacked; it may be in the making."""
        if wall - candidate.modified > BROKEN_GRACE and candidate.key not in self._broken:
            self._broken[candidate.key] = wall
            self.lose(Loss("bad_gzip", candidate.path, candidate.size, 1))

    def store(self, file: TailedFile) -> None:
        """Have the file's position committed with the next entry."""
        self.pending[key_bytes(file.key)] = file.checkpoint().encode()
        self.checkpoints[file.key] = file.checkpoint()

    def truncated(self, file: TailedFile, now: float) -> None:
        """The file's content is another one. What was not read of the old one is lost unless a copy turns up."""
        lag = file.lag()
        loss = Loss("truncated", file.path, lag, file.estimated_records(lag)) if lag else None
        if file.offset or loss is not None:  # Otherwise its copy is read like any other file.
            self._replaced.append(Replaced(file.key, file.checkpoint(), now, loss, file.start))
        file.restart(now)

    def _settle_replaced(self, now: float) -> None:
        for old in self._replaced:
            if old.loss is not None:
                self.lose(old.loss)
                old.loss = None
            file = self.files.get(old.key)
            read = file is not None and (file.offset or file.done)
            if old.key in self.checkpoints and not old.checkpoint.replaced and not read:
                # Until something of the new content is stored, the next start finds this checkpoint.
                old.checkpoint = self.checkpoints[old.key] = replace(old.checkpoint, replaced=True)
                self.pending[key_bytes(old.key)] = old.checkpoint.encode()
        self._replaced = [old for old in self._replaced if now - old.since < REPLACED_SECONDS][-1000:]

    def _gone(self, file: TailedFile, now: float) -> None:
        if file.gone_since is None:
            file.gone_since = now
        if file.source is None and now - file.gone_since > MISSING_GRACE:
            if (loss := deleted(file)) is not None:
                self.lose(loss)
            del self.files[file.key]
        elif file.source is not None and now - max(file.gone_since, file.grown_at) > REMOVED_GRACE:
            file.close()
            del self.files[file.key]

    def lose(self, loss: Loss) -> None:
        log.warning(
            "file_tail_lines_lost",
            reason=loss.reason,
            path=loss.path,
            bytes=loss.bytes,
            records_estimated=loss.records,
            at_least=loss.at_least,
        )
        self.losses.append(loss)

    def _forget(self, there: set[Key], now: float) -> None:
        self._broken = {key: since for key, since in self._broken.items() if key in there}
        for key in list(self.checkpoints):
            if key in there or key in self.files or key in self._deferred:
                self._missing.pop(key, None)
                continue
            seconds = now - self._missing.setdefault(key, now)
            checkpoint = self.checkpoints[key]
            if checkpoint.waits and seconds > MISSING_GRACE:
                # It waited when the program ended, and was removed before it ran again.
                self.lose(Loss("maybe_copy", checkpoint.path, 1, 1, at_least=True))
                self._drop(key)
            elif seconds > REMEMBER_SECONDS:
                self._drop(key)

    def close_idle(self) -> None:
        """Close those longest without growth beyond `max_open` files. One without a path stays open."""
        open_files = [f for f in self.files.values() if f.source is not None]
        spare = len(open_files) - self._max_open
        if spare <= 0:
            return
        idle = [f for f in open_files if f.gone_since is None and not f.compressed and not f.lag()]
        for file in sorted(idle, key=lambda f: f.grown_at)[:spare]:
            file.close()

    def close(self) -> None:
        for file in self.files.values():
            file.close()
