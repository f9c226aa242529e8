"""Which files there are to read, and what their paths say of the container that writes them."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import translate
from itertools import chain

from sidecar.lists import expand_braces
from sidecar.os_text import repaired
from sidecar.receive.file_tail.checkpoint import Checkpoint, Key

MAX_FILES = 20_000
"""Files that are looked at in one scan; more are left out, and that is said."""
_UNREADABLE_ENDS = (".zst", ".bz2", ".xz", ".lz4", ".zip", ".tmp", ".swp", "~", ".lock")
_NUMBERED = re.compile(r"(.+?)(?:\.\d{1,5}|[.-]\d{4}-?\d{2}-?\d{2}[-T_.\d]*)(\.[A-Za-z]\w*)(?:\.gz)?", re.ASCII)
"""Rotated files that keep their extension, as logrotate's `extension` and Logback name them."""
_PODS = re.compile(r"/pods/([^/_]+)_([^/_]+)_([^/_]+)/([^/]+)/(\d+)\.log")
_CONTAINERS = re.compile(r"/containers/([^/_]+)_([^/_]+)_(.+)-([0-9a-f]{64})\.log")
_DOCKER = re.compile(r"/containers/([0-9a-f]{64})/[0-9a-f]{64}-json\.log")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file that may be read."""

    key: Key
    path: str
    """Without symbolic links."""
    base: str
    """The path of `include` that led to it."""
    pattern: str
    rotated: bool
    """Found beside `base`, not as it."""
    size: int
    modified_ns: int
    """Unix ns: as seconds in a floating-point number, equal times would seem to differ."""

    @property
    def modified(self) -> float:
        """Unix seconds."""
        return self.modified_ns / 1e9


class Finder:
    """Looks for the files of these options."""

    def __init__(self, include: Sequence[str], exclude: Sequence[str], rotated: bool) -> None:
        self._include = {pattern: expand_braces(pattern) for pattern in include}
        self._exclude = [re.compile(translate(path)) for pattern in exclude for path in expand_braces(pattern)]
        self._rotated = rotated
        self.cut_short = False
        """The last look found more files than `MAX_FILES`."""

    def find(self) -> list[Candidate]:
        """Every file once, by the first path that leads to it; included paths come before rotated ones."""
        found: dict[Key, Candidate] = {}
        bases: list[tuple[str, str, str]] = []
        self.cut_short = False
        for pattern, expanded in self._include.items():
            for path in sorted({path for one in expanded for path in glob.iglob(one, recursive=True)}):
                real = os.path.realpath(path)
                bases.append((path, real, pattern))
                self._add(found, real, path, pattern, rotated=False)
        if self._rotated:
            for base, path, pattern in self._beside(bases):
                self._add(found, path, base, pattern, rotated=True)
        return list(found.values())

    def closed_directories(self) -> list[str]:
        """Directories on the way to included paths that this user may not look into; `find` is silent about them."""
        found: set[str] = set()
        for path in self._paths():
            parts = path.split("/")
            for end in range(1, len(parts)):
                way = "/".join(parts[:end])
                listed = glob.has_magic(parts[end]) or "**" in way
                needed = os.X_OK | os.R_OK if listed else os.X_OK
                for directory in glob.iglob(f"{way}/", recursive=True):
                    inside = os.path.join(directory, parts[-1])
                    if not os.access(directory, needed) and not any(rule.match(inside) for rule in self._exclude):
                        found.add(directory.rstrip("/") or "/")
        return sorted(found)

    def with_known(
        self, candidates: Sequence[Candidate], checkpoints: Sequence[tuple[Key, Checkpoint]]
    ) -> list[Candidate]:
        """Also files that were read before and no path leads to now (a symbolic link may point elsewhere)."""
        found = {candidate.key: candidate for candidate in candidates}
        for key, checkpoint in checkpoints:
            if key in found or checkpoint.done or len(found) >= MAX_FILES or not self._wanted(checkpoint):
                continue
            candidate = candidate_at(checkpoint.path, checkpoint.base, "", rotated=True)
            if candidate is not None and candidate.key == key:
                found[key] = candidate
        return list(found.values())

    def _wanted(self, checkpoint: Checkpoint) -> bool:
        """Whether the options that are in force now lead to what this checkpoint is of."""
        left_out = any(rule.match(path) for rule in self._exclude for path in (checkpoint.base, checkpoint.path))
        return not left_out and any(re.match(translate(path), checkpoint.base) for path in self._paths())

    def _paths(self) -> Iterator[str]:
        """The include patterns without braces."""
        return chain.from_iterable(self._include.values())

    def _add(self, found: dict[Key, Candidate], path: str, base: str, pattern: str, rotated: bool) -> None:
        if any(rule.match(path) or (not rotated and rule.match(base)) for rule in self._exclude):
            return
        candidate = candidate_at(path, base, pattern, rotated)
        if candidate is None or candidate.key in found:
            return
        if len(found) >= MAX_FILES:
            self.cut_short = True
            return
        found[candidate.key] = candidate

    def _beside(self, bases: Sequence[tuple[str, str, str]]) -> Iterator[tuple[str, str, str]]:
        """(base, path, pattern) of the files whose names are a base's name and more; the longest base counts."""
        by_directory: dict[str, dict[str, tuple[str, str]]] = {}
        for base, real, pattern in bases:
            for place in {base, real}:
                by_directory.setdefault(os.path.dirname(place), {})[os.path.basename(place)] = (base, pattern)
        for directory, names in by_directory.items():
            try:
                entries = sorted(os.listdir(directory))
            except OSError:
                continue
            for entry in entries:
                if entry in names or entry.endswith(_UNREADABLE_ENDS):
                    continue
                owner = next((n for n in chain(_stems(entry), _with_extension(entry)) if n in names), None)
                if owner is not None:
                    base, pattern = names[owner]
                    yield base, os.path.join(directory, entry), pattern

    def directories(self, candidates: Sequence[Candidate]) -> set[str]:
        """Where changes are to be expected: the directories of the files, and those above the first wildcard."""
        places = {os.path.dirname(c.path) for c in candidates} | {os.path.dirname(c.base) for c in candidates}
        for path in self._paths():
            fixed = re.split(r"[*?\[]", path, maxsplit=1)[0]
            places.add(os.path.dirname(fixed))
        return {place for place in places if os.path.isdir(place)}


def _stems(name: str) -> Iterator[str]:
    """The name without its end, from each `.` or `-` on, longest first."""
    for place in range(len(name) - 1, 0, -1):
        if name[place] in ".-":
            yield name[:place]


def _with_extension(name: str) -> Iterator[str]:
    """The name without the number or date before its extension: `app.log` of `app.1.log` and `app-20261128.log.gz`."""
    if found := _NUMBERED.fullmatch(name):
        yield found[1] + found[2]


def candidate_at(path: str, base: str, pattern: str, rotated: bool) -> Candidate | None:
    """What is at this path; None if there is no regular file."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    if status.st_mode & 0o170000 != 0o100000:
        return None
    key = status.st_dev, status.st_ino
    return Candidate(key, path, base, pattern, rotated, status.st_size, status.st_mtime_ns)


def attributes(base: str, path: str) -> Mapping[str, str]:
    """Resource attributes that a path stands for, by the layouts of the kubelet (`/var/log/pods/NS_POD_UID/CONTAINER/
    N.log`, `/var/log/containers/POD_NS_CONTAINER-ID.log`) and of Docker (`/containers/ID/ID-json.log`)."""
    found = {"log.file.path": base}
    if pod := _PODS.search(base) or _PODS.search(path):
        names = ("k8s.namespace.name", "k8s.pod.name", "k8s.pod.uid", "k8s.container.name")
        found |= dict(zip(names, pod.groups(), strict=False))
        found["k8s.container.restart_count"] = pod[5]
    if link := _CONTAINERS.search(base):
        names = ("k8s.pod.name", "k8s.namespace.name", "k8s.container.name", "container.id")
        found |= dict(zip(names, link.groups(), strict=True))
    if docker := _DOCKER.search(path) or _DOCKER.search(base):
        found["container.id"] = docker[1]
    return {name: repaired(value) for name, value in found.items()}
