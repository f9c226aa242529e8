"""Which of the files that are found are new, which are known, and which are known ones under another name.

In the order of the rules: a file whose device, inode, birth and content are those of a mark is read on. One that was
rotated and has the content of a mark (a copy, or compressed) is read on from there, but not while the file that it may
have been made of still has that content. Anything else is new, and is read from its beginning.

Programs that fail at once write files that begin alike. So a mark stands for one file: one that was read on from it
takes its place, and the next such file is read from its beginning. Two files that were there when they were seen first
are two, unless one of them is cut right then.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import structlog

from sidecar.receive.file_tail.checkpoint import TAIL_BYTES, Key, Mark, digest, key_bytes
from sidecar.receive.file_tail.copies import Deferred, begins_alike, is_compressed_form, may_be_copy
from sidecar.receive.file_tail.discovery import Candidate
from sidecar.receive.file_tail.source import Broken, Source, open_source
from sidecar.receive.file_tail.tailed_file import Tracked

REMEMBER_SECONDS = 86_400.0
"""Marks of files that are gone are kept so long: a compressed copy may turn up late."""
REMOVED_GRACE = 60.0
"""A file without a path is held open until it has not grown for so long: its writer may not know yet."""
MISSING_GRACE = 10.0
"""A file that is not open may be missed in a look while others are renamed around it."""
VACATED_SECONDS = 600.0
MAX_BEFORE = 64
"""Files in which one line may lie. It is at most 1 MiB long, and a runtime's parts are mostly of 16 KiB."""
BROKEN_GRACE = 60.0
"""A compressed file that ends too soon and has not changed for so long is not going to be whole."""

Reason = Literal["truncated", "deleted", "bad_gzip"]
log = structlog.get_logger("sidecar.receive")


@dataclass(frozen=True, slots=True)
class Loss:
    """What was there and could not be read any more."""

    reason: Reason
    path: str
    bytes: int
    records: int
    """By estimate, from the mean length of those that were read."""
    at_least: bool = False
    """It may be more: nobody saw how long the file was when it was cut."""


@dataclass(slots=True)
class _Vacated:
    """A mark whose file has other content now: a copy of the old content may be found."""

    key: Key
    mark: Mark
    since: float
    loss: Loss | None = None
    """If no copy is found."""
    start: bytes = b""
    """The beginning of the old content, where it is known."""


class Catalog:
    """The files by key. For one thread."""

    def __init__(
        self, marks: dict[Key, Mark], used_patterns: Iterable[str], start_at_end: bool, max_open: int, now: float
    ) -> None:
        self.files: dict[Key, Tracked] = {}
        self.marks = marks
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
        """Files that this look may leave open."""
        self._vacated: list[_Vacated] = []
        self._missing: dict[Key, float] = dict.fromkeys(marks, now)
        self._broken: dict[Key, float] = {}
        self._deferred: dict[Key, Deferred] = {}
        self._families: dict[str, list[Tracked]] = {}
        """Files of one base, where there are several."""

    def update(self, candidates: Sequence[Candidate], patterns: Sequence[str], now: float, wall: float) -> None:
        """Take note of what is there. `wall`: Unix seconds."""
        there = {candidate.key for candidate in candidates}
        self._room = self._max_open - sum(file.source is not None for file in self.files.values())
        self.unreadable = {path: why for path, why in self.unreadable.items() if path in {c.path for c in candidates}}
        unknown: list[tuple[Candidate, bool]] = []
        for candidate in candidates:
            file = self.files.get(candidate.key)
            if file is not None:
                file.found(candidate, now)
            elif (mark := self.marks.get(candidate.key)) is None or mark.waits:
                unknown.append((candidate, False))
            elif not self._resume(candidate, mark, now) and candidate.pattern:
                unknown.append((candidate, True))
        for file in [f for f in self.files.values() if f.key not in there]:
            self._gone(file, now)
        for candidate, reused in unknown:
            self._classify(candidate, reused, now, wall)
        self.used_patterns.update(patterns)
        self._settle_vacated(now)
        self._forget(there, now)
        self._families = {}
        for file in self.files.values():
            self._families.setdefault(file.base, []).append(file)

    def before(self, file: Tracked) -> list[Tracked]:
        """What was written before a file that nothing was read of yet, oldest first, if lines of it are left that may
        go on there: a line that was cut into parts may lie in several files."""
        found: list[Tracked] = []
        while (last := self._left_before(found[-1] if found else file)) is not None and len(found) < MAX_BEFORE:
            found.append(last)
        return found[::-1]

    def _left_before(self, file: Tracked) -> Tracked | None:
        if file.offset or file.compressed:
            return None
        # Compressing sets the time of change anew: the newest is not always the last that was written to.
        older = (
            other
            for other in self._families.get(file.base, ())
            if other is not file
            and other.former
            and not other.compressed
            and (not file.former or other.modified < file.modified)
        )
        last = max(older, key=lambda other: other.modified, default=None)
        if last is None or last.done or not last.behind() or last.blank_to > last.offset:
            return None
        if last.source is None:
            last.source = self.open(last.path, last.key)
        return last if last.source is not None else None

    def _resume(self, candidate: Candidate, mark: Mark, now: float) -> bool:
        """Track a file whose key has a mark; False if its content is another one."""
        source = self.open(candidate.path, candidate.key)
        if source is None:
            return True
        try:
            same = mark.head_matches(source.pread) if mark.done else mark.matches(source.pread)
            reused = bool(mark.birth) and source.birth not in (0, mark.birth)
            same = same and not reused
        except (Broken, OSError):
            source.close()
            return True
        if not same:
            source.close()
            loss = None if reused or mark.done or mark.replaced else _unseen(candidate, mark)
            self._vacated.append(_Vacated(candidate.key, mark, now, loss))
            return False
        file = Tracked.of(candidate, now, mark)
        file.known_since = 0.0
        self._track(file, source)
        return True

    def _track(self, file: Tracked, source: Source) -> None:
        file.source, file.compressed, file.birth = source, source.compressed, source.birth
        file.read_start(source)
        if not file.done:
            file.read_recent(source)
        if file.done or self._room <= 0:
            file.close()
        self._room -= file.source is not None
        self.files[file.key] = file

    def _classify(self, candidate: Candidate, reused: bool, now: float, wall: float) -> None:
        # An empty file beside another may be a copy in the making.
        waits = self._is_deferred(candidate, now) or (candidate.rotated and not candidate.size)
        source = None if waits else self.open(candidate.path, candidate.key)
        if source is None:
            return
        at_end = self._start_at_end and not reused and candidate.pattern not in self.used_patterns
        try:
            file = self._as_copy(candidate, source, now, whole=True) if source.compressed else None
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
            self.keep(file)

    def _as_new(self, candidate: Candidate, at_end: bool, source: Source, now: float) -> Tracked:
        file = Tracked.of(candidate, now)
        if at_end:
            if source.compressed:
                file.done = True
            else:
                file.offset = file.size = source.size()
                file.skipping = bool(file.offset) and source.pread(file.offset - 1, 1) != b"\n"
        return file

    def _is_deferred(self, candidate: Candidate, now: float) -> bool:
        """It was found to be like a file that is being read, and neither has changed in that."""
        known = self._deferred.get(candidate.key)
        origin = self.files.get(known.origin) if known is not None else None
        if known is None or origin is None or known.state != (candidate.size, candidate.modified):
            return False
        if known.over(now) or not origin.start.startswith(known.start):
            return False
        if not known.said and known.left_out(now) and origin.gone_since is None:
            log.warning("file_tail_copy_skipped", path=candidate.path, of=origin.path, bytes=candidate.size)
            self._deferred[candidate.key] = replace(known, said=True)
        return True

    @property
    def left_out(self) -> int:
        """Files that are not read since they are copies of others."""
        return sum(known.said for known in self._deferred.values())

    def _defer(self, candidate: Candidate, source: Source, now: float) -> bool:
        """Wait with a file that may be a copy of one that we read: there is nothing in it for us yet."""
        known = self._deferred.pop(candidate.key, None)
        origin = self._live_origin(candidate, source, now)
        if origin is None:
            return False
        state = candidate.size, candidate.modified
        seen = self.marks.get(candidate.key)
        first, since = now, now
        if known is not None:
            first, since = known.first, known.since if known.state == state else now
        elif seen is not None and seen.waits:
            first = 0.0
        together = origin.known_since >= first and not is_compressed_form(candidate, source, origin)
        said = known is not None and known.said and not together
        found = Deferred(state, origin.key, origin.start, first, since, together, said)
        if found.over(now) and origin.gone_since is None:
            return False
        self._deferred[candidate.key] = found
        if found.together and candidate.key not in self.marks:
            # After a restart the other file is known, and this one must be all the same.
            self.keep(Tracked.of(candidate, now))
        return True

    def _live_origin(self, candidate: Candidate, source: Source, now: float) -> Tracked | None:
        """A file that we read and that has this content now."""
        if not candidate.rotated:
            return None
        family = [f for f in self.files.values() if f.base == candidate.base and not f.done and f.key != candidate.key]
        # One that is gone was compressed, or moved to another file system.
        for file in sorted(family, key=lambda file: file.gone_since is None):
            if begins_alike(source, file.start) and self._may_be_copy(candidate, source, file, now):
                return file
        return None

    def _may_be_copy(self, candidate: Candidate, source: Source, file: Tracked, now: float) -> bool:
        own = file.source or self.open(file.path, file.key)
        if own is None:
            return False
        try:
            if not file.unchanged(own):
                self.vacate(file, now)
                return False
            return may_be_copy(candidate, source, file, own)
        finally:
            if own is not file.source:
                own.close()

    def _as_copy(self, candidate: Candidate, source: Source, now: float, whole: bool = False) -> Tracked | None:
        """The file at the place of the mark that was made of its content; None if there is none. `whole`: of all its
        content."""
        best: tuple[Key, Mark, _Vacated | None] | None = None
        for key, mark, vacated in self._origins(candidate):
            better = best is None or mark.offset > best[1].offset
            if better and _is_read_on(source, mark, vacated) and not (whole and source.pread(mark.offset, 1)):
                best = key, mark, vacated
        if best is None:
            return None
        key, mark, vacated = best
        if vacated is not None:
            self._vacated.remove(vacated)
        if self.marks.get(key) == mark:
            del self.marks[key]
            self.pending[key_bytes(key)] = None
        offset = mark.offset if source.compressed else min(mark.offset, source.size())
        return Tracked.of(candidate, now, replace(mark, offset=offset, done=mark.done and source.compressed))

    def _origins(self, candidate: Candidate) -> Iterator[tuple[Key, Mark, _Vacated | None]]:
        """Marks without a file of their content."""
        if candidate.rotated:
            for vacated in self._vacated:
                if vacated.mark.base == candidate.base:
                    yield vacated.key, vacated.mark, vacated
        for key, mark in self.marks.items():
            if key in self.files or key == candidate.key or mark.base != candidate.base:
                continue
            # The same file on a device that got another number, or a copy of one that is gone.
            moved = key[1] == candidate.key[1] and mark.path == candidate.path
            if moved or candidate.rotated:
                yield key, mark, None

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
        """Say it once, and show it in the figures for as long as it is so."""
        if path not in self.unreadable:
            log.warning("file_tail_file_unreadable", path=path, error=error.strerror or str(error))
        self.unreadable[path] = error.strerror or str(error)

    def _broken_for_good(self, candidate: Candidate, wall: float) -> None:
        """Nothing of a compressed file can be unpacked; it may be in the making."""
        if wall - candidate.modified > BROKEN_GRACE and candidate.key not in self._broken:
            self._broken[candidate.key] = wall
            self.lose(Loss("bad_gzip", candidate.path, candidate.size, 1))

    def keep(self, file: Tracked) -> None:
        """Have the file's place committed with the next entry."""
        self.pending[key_bytes(file.key)] = file.mark().encode()
        self.marks[file.key] = file.mark()

    def vacate(self, file: Tracked, now: float) -> None:
        """The file's content is another one. What was not read of the old one is lost unless a copy turns up."""
        behind = file.behind()
        loss = Loss("truncated", file.path, behind, file.estimated_records(behind)) if behind else None
        self._vacated.append(_Vacated(file.key, file.mark(), now, loss, file.start))
        file.begin_anew(now)

    def _settle_vacated(self, now: float) -> None:
        for vacated in self._vacated:
            if vacated.loss is not None:
                self.lose(vacated.loss)
                vacated.loss = None
            file = self.files.get(vacated.key)
            read = file is not None and (file.offset or file.done)
            if vacated.key in self.marks and not vacated.mark.replaced and not read:
                # Until something of the new content is kept, the next start finds this mark.
                vacated.mark = self.marks[vacated.key] = replace(vacated.mark, replaced=True)
                self.pending[key_bytes(vacated.key)] = vacated.mark.encode()
        self._vacated = [v for v in self._vacated if now - v.since < VACATED_SECONDS][-1000:]

    def _gone(self, file: Tracked, now: float) -> None:
        if file.gone_since is None:
            file.gone_since = now
        if file.source is None and now - file.gone_since > MISSING_GRACE:
            if behind := file.behind():
                self.lose(Loss("deleted", file.path, behind, file.estimated_records(behind)))
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
        self._deferred = {key: known for key, known in self._deferred.items() if key in there}
        for key in list(self.marks):
            if key in there or key in self.files:
                self._missing.pop(key, None)
            elif now - self._missing.setdefault(key, now) > REMEMBER_SECONDS:
                del self.marks[key], self._missing[key]
                self.pending[key_bytes(key)] = None

    def close_idle(self) -> None:
        """Close those longest without growth beyond `max_open` files. One without a path stays open."""
        open_files = [f for f in self.files.values() if f.source is not None]
        spare = len(open_files) - self._max_open
        if spare <= 0:
            return
        idle = [f for f in open_files if f.gone_since is None and not f.compressed and not f.behind()]
        for file in sorted(idle, key=lambda f: f.grown_at)[:spare]:
            file.close()

    def close(self) -> None:
        for file in self.files.values():
            file.close()


def _unseen(candidate: Candidate, mark: Mark) -> Loss | None:
    """What is lost of a file that was cut while nobody read it, if no copy is found; None for one that moved."""
    if not mark.birth and mark.path != candidate.path:
        return None
    return Loss("truncated", candidate.path, max(1, mark.head_size - mark.offset), 1, at_least=True)


def _is_read_on(source: Source, mark: Mark, vacated: _Vacated | None) -> bool:
    """Whether a content is the one that a mark was made of."""
    if vacated is not None and vacated.start:
        alike = begins_alike(source, vacated.start)
    else:
        alike = bool(mark.head_size) and mark.head_matches(source.pread)
    if not alike:
        return False
    size = min(mark.offset, TAIL_BYTES)
    tail = source.pread(mark.offset - size, size) if size else b""
    whole = len(tail) == size and (digest(tail) if tail else "") == mark.tail
    # A copy may have been made before the last lines came that we have read.
    return whole or (vacated is not None and len(tail) < size)
