"""Whether a file that is found beside one that is read may be a copy of it, by what both are.

A copy is made of the file that is written to (copytruncate, and then that file is cut), or is the compressed form of
any other (and then that one is removed). What was written before the other file was made, or after it was removed, or
is longer, is no copy. One of a file that is gone is whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sidecar.receive.file_tail.checkpoint import FLOAT_NS, Key, same_time
from sidecar.receive.file_tail.discovery import Candidate
from sidecar.receive.file_tail.source import Source
from sidecar.receive.file_tail.tailed_file import TailedFile

CUT_SECONDS = 5.0
"""A copy whose file was not cut so long after it was complete is not going to be part of a copytruncate."""
LEFT_OUT_SECONDS = 60.0
"""After so long a copy that is not read is logged."""
COARSE_NS, _SECOND_NS = 2_000_000_000, 1_000_000_000
"""A whole number of seconds may have been rounded to two, as archives do."""
_WHOLE_BYTES = 1 << 20
"""Contents up to here are compared in full, larger ones at their begin, at their end and at places between."""
_PLACES, _PLACE_BYTES = 64, 4096


@dataclass(frozen=True, slots=True)
class Deferred:
    """A file that has the content of one that is being read, or of its beginning."""

    path: str
    """Where it was found last."""
    state: tuple[int, float]
    """Its size and time of change when it was looked at."""
    origin: Key
    start: bytes
    """Of the origin."""
    first: float
    """When the file was seen first."""
    since: float
    """When the state was seen first."""
    together: bool
    """The origin was not known before this file was: nothing says that it was made of it."""
    gone: bool
    """There was no path to the origin then: what is no whole copy of it is none."""
    compressed: bool
    form: bool
    """By its name it is the compressed form of the origin."""
    logged: bool = False

    @classmethod
    def of(
        cls,
        found: Candidate,
        source: Source,
        origin: TailedFile,
        first: float,
        since: float,
        *,
        together: bool,
        form: bool,
        logged: bool,
    ) -> Deferred:
        """As it and its origin are now."""
        return cls(
            found.path,
            (found.size, found.modified),
            origin.key,
            origin.start,
            first,
            since,
            together,
            origin.gone_since is not None,
            source.compressed,
            form,
            logged,
        )

    @property
    def is_undecided(self) -> bool:
        """Whether it may be a file of its own: nothing says that it was made of the origin, or that one is gone."""
        return (self.together or self.gone) and not self.form

    def over(self, now: float) -> bool:
        """Whether it is a file of its own that begins alike: no copy that is made of a file stays so."""
        return self.together and now - self.since >= CUT_SECONDS

    def left_out(self, now: float) -> bool:
        """Whether it is a copy that somebody made, and that nothing more is going to happen to."""
        return not self.together and now - self.since >= LEFT_OUT_SECONDS


def may_be_copy(source: Source, origin: TailedFile, own: Source) -> bool:
    """Whether `source`, which may be made of `origin`, has its content or a part of that, and was written in its time.
    `own` is the origin's source."""
    # Asked for before any content is compared: what is removed by now was copied by now.
    removed = own.removed()
    if not _in_its_time(source, own, removed):
        return False
    copied, size = source.size(), own.size()
    former = origin.former or bool(removed)
    if not source.compressed:
        return (copied == size if former else copied <= size) and _alike(source, own, size)
    # A file is compressed as a whole; one that is written to may have grown since.
    end = source.pread(max(0, size - 1), 2)
    return len(end) < 2 and (bool(end) or not former) and _alike(source, own, size)


def _in_its_time(source: Source, own: Source, removed: int) -> bool:
    """Whether it was written while the other one was there."""
    modified = source.modified()
    if own.birth and modified + lost_when_set(modified) < min(own.birth, own.modified()):
        return False
    # Another device may have another clock.
    return not removed or source.key[0] != own.key[0] or max(source.birth, modified) <= removed


def lost_when_set(modified: int) -> int:
    """What a time of change that was set to that of another file may have lost, in ns: programs set whole seconds, or
    milliseconds. By chance a time is that round as seldom as the loss is small."""
    step = FLOAT_NS
    while step < _SECOND_NS and modified % (step * 10) == 0:
        step *= 10
    return COARSE_NS if step == _SECOND_NS else step


def is_compressed_form(candidate: Candidate, source: Source, origin: TailedFile) -> bool:
    """Whether it has the name that a rotated file gets when it is compressed."""
    return source.compressed and origin.rotated and candidate.path.startswith((f"{origin.path}.", f"{origin.path}-"))


def may_be_made_of(candidate: Candidate, source: Source, origin: TailedFile) -> bool:
    """By names: plain copies are made of files that are written to; the compressed form of another has its name and
    more."""
    if not origin.rotated:
        return True
    gone = source.compressed and (origin.gone_since is not None or _has_its_time(source, origin))
    return gone or is_compressed_form(candidate, source, origin)


def _has_its_time(source: Source, origin: TailedFile) -> bool:
    """Whether it has the time of change of the other to the nanosecond: it may be found under a later name than that of
    the compressed form, while the other is still found, where files are renamed between two looks at names."""
    modified = source.modified()
    return lost_when_set(modified) == FLOAT_NS and same_time(origin.written, modified)


def _alike(copy: Source, own: Source, size: int) -> bool:
    """Whether the copy is what the other one begins with."""
    found = copy.pread(0, 1)
    for place, length in _places(size):
        part = copy.pread(place, length)
        if own.pread(place, len(part)) != part:
            return False
        if len(part) < length:
            break
    return bool(found) and _ends_alike(copy, own)


def _ends_alike(copy: Source, own: Source) -> bool:
    """The last bytes of a plain copy; those of a compressed one are among the places."""
    if copy.compressed:
        return True
    end = copy.size()
    start = max(0, end - _PLACE_BYTES)
    return copy.pread(start, end - start) == own.pread(start, end - start)


def _places(size: int) -> Iterator[tuple[int, int]]:
    """(offset, size) of the parts to be compared, in order."""
    if size <= _WHOLE_BYTES:
        yield 0, size
        return
    yield 0, _WHOLE_BYTES // 4
    step = (size - _WHOLE_BYTES // 4) // _PLACES
    for number in range(_PLACES):
        yield _WHOLE_BYTES // 4 + number * step, min(_PLACE_BYTES, step)
    yield size - _PLACE_BYTES, _PLACE_BYTES


def begins_alike(source: Source, start: bytes) -> bool:
    """Whether a content begins as another does, as far as both go."""
    own = source.pread(0, len(start))
    return bool(own) and start.startswith(own)
