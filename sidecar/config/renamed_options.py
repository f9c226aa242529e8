"""Options that had another name: the old name works for one minor version more, with a warning.

A line of `RENAMES` counts from the moment that the settings have its new name. `<sink>` stands for the section of any
sink, also of the additional ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from sidecar.config.given_values import Origins, has, place, put, take
from sidecar.config.option_fields import MORE, Path_, known
from sidecar.config.settings import Renamed
from sidecar.deliver.registry import SINKS

Convert = Callable[[Any], Any]
"""The old option's value, as text or as YAML has it, to the new one's. Raises ValueError with what was expected."""

SINK = "<sink>"
_ADDITIONAL = ("more", "additional")
_KINDS = frozenset(kind.name for kind in SINKS)
_DAY_SECONDS = 86400.0
_BOOL: TypeAdapter[bool] = TypeAdapter(bool)


def _same(value: Any) -> Any:
    return value


def _inverted(value: Any) -> bool:
    try:
        return not _BOOL.validate_python(value)
    except ValidationError:
        raise ValueError(f"invalid switch: {value!r}; expected true or false") from None


def _share(value: Any) -> float:
    try:
        count = int(value)
    except (TypeError, ValueError):
        count = 0
    if count < 1 or isinstance(value, bool):
        raise ValueError(f"invalid sampling: one in {value!r}; expected a whole number of at least 1")
    return 1 / count


def _days(value: Any) -> float:
    try:
        return float(value) * _DAY_SECONDS
    except (TypeError, ValueError):
        raise ValueError(f"invalid number of days: {value!r}; expected a number") from None


@dataclass(frozen=True, slots=True)
class Found:
    """What a path means now."""

    path: Path_
    convert: Convert = _same


@dataclass(frozen=True, slots=True)
class Rename:
    """One option or section that has another name now. Paths are written with dots."""

    old: str
    new: str
    convert: Convert = _same
    note: str = ""
    """How the values differ."""

    def apply(self, found: Found) -> Found | None:
        """What a path means by this line; None if it is not what was renamed, nor in it."""
        path, old, new = found.path, tuple(self.old.split(".")), tuple(self.new.split("."))
        section = _sink(path)
        if section and (old[1] == SINK or old[1] in (_KINDS if len(section) > 2 else section[1:])):
            old, new = (*section, *old[2:]), (*section, *new[2:])
        if path[: len(old)] != old:
            return None
        return Found((*new, *path[len(old) :]), self.convert if path == old else found.convert)

    @property
    def active(self) -> bool:
        """Whether there is something by its new name, and no such thing by the old one."""
        names = [kind.name for kind in SINKS] if SINK in self.old else [""]
        pairs = [(self.old.replace(SINK, name), self.new.replace(SINK, name)) for name in names]
        kinds = [(known(tuple(old.split("."))), known(tuple(new.split(".")))) for old, new in pairs]
        return any(new and old != new for old, new in kinds)


def _sink(path: Path_) -> Path_:
    """The section of the sink that `path` is in; empty if it is in none."""
    if path[:1] == ("deliver",) and len(path) > 2:
        if path[1] in _ADDITIONAL:
            return path[:3] if len(path) > 3 else ()
        if path[1] in _KINDS:
            return path[:2]
    return ()


def _moved(new: str, *names: tuple[str, str] | str) -> list[Rename]:
    """Options of every sink that are in a section of their own now."""
    pairs = [(name, name) if isinstance(name, str) else name for name in names]
    return [Rename(f"deliver.{SINK}.{old}", f"deliver.{SINK}.{new}.{name}") for old, name in pairs]


RENAMES: tuple[Rename, ...] = (
    Rename("receive.intake.learn_resource", "receive.ingest.infer_resource"),
    Rename("receive.intake", "receive.ingest"),
    Rename("receive.credentials.cert_file", "receive.tls.cert_file"),
    Rename("receive.credentials.key_file", "receive.tls.key_file"),
    Rename("receive.credentials.client_ca_file", "receive.tls.ca_file"),
    Rename("receive.credentials.token", "receive.auth.token"),
    Rename("receive.credentials.token_file", "receive.auth.token_file"),
    Rename("journal.kind", "journal.backend"),
    Rename("journal.on_full", "journal.when_full"),
    Rename("journal.dead_letter_bytes", "journal.dead_letters.max_bytes"),
    Rename("journal.dead_letter_days", "journal.dead_letters.max_age", _days, "a duration; was a number of days"),
    Rename("journal.dead_letter_count", "journal.dead_letters.max_count"),
    Rename("derive.passthrough", "derive.otlp_metrics"),
    Rename("derive.checkpoint_seconds", "derive.checkpoint_interval"),
    Rename("deliver.more", "deliver.additional"),
    Rename("deliver.keep_features", "deliver.export_features"),
    Rename("deliver.shape.redact_keys", "deliver.redaction.keys"),
    Rename("deliver.shape.redact_values", "deliver.redaction.values"),
    Rename("deliver.shape", "deliver.redaction"),
    Rename("deliver.elasticsearch.url", "deliver.elasticsearch.hosts"),
    Rename("deliver.file.keep", "deliver.file.max_files"),
    Rename(f"deliver.{SINK}.tls", f"deliver.{SINK}.tls.enabled"),
    *_moved("tls", "ca_file", ("client_cert", "cert_file"), ("client_key", "key_file"), "server_name"),
    Rename(f"deliver.{SINK}.verify", f"deliver.{SINK}.tls.insecure_skip_verify", _inverted, "the opposite"),
    *_moved("auth", "api_key", "api_key_file", "username", "password", "password_file", "token_file"),
    Rename(f"deliver.{SINK}.linger", f"deliver.{SINK}.batch_timeout"),
    Rename(f"deliver.{SINK}.retry_initial", f"deliver.{SINK}.retry.initial_interval"),
    Rename(f"deliver.{SINK}.retry_max", f"deliver.{SINK}.retry.max_interval"),
    Rename(f"deliver.{SINK}.filter.one_in", f"deliver.{SINK}.sampling.ratio", _share, "1 / N instead of N"),
    Rename(f"deliver.{SINK}.filter.keep_errors", f"deliver.{SINK}.sampling.keep_errors"),
    Rename(f"deliver.{SINK}.filter.slower_than", f"deliver.{SINK}.sampling.min_duration"),
    Rename(f"deliver.{SINK}.filter.keep_attributes", f"deliver.{SINK}.sampling.keep_attributes"),
    Rename("telemetry.log_level", "log.level"),
    Rename("life.stop_deadline", "shutdown.timeout"),
)
"""What an option was called, and what it is called now. Names of an option come before those of its section."""


def find(path: Path_) -> Found | None:
    """The option that `path` is the old name of; None if it is none. What is unknown in a section of an old name is
    looked for in the section of today."""
    candidates = [Found(path)]
    for line in RENAMES:
        candidates += [new for found in candidates if (new := line.apply(found)) is not None and new.path != path]
    options = (c for c in candidates[1:] if c.path == MORE or known(c.path) == "option")
    strays = (c for c in candidates[1:] if known(path[:-1]) != "section" and known(c.path[:-1]) == "section")
    return next(options, None) or next(strays, None)


def current(path: Path_) -> Path_:
    """The path of an option today."""
    found = None if known(path) == "option" else find(path)
    return found.path if found is not None else path


def is_section(path: Path_) -> bool:
    """Whether `path` is a section, by its name of today or by an old one, which may have no keys."""
    if path[:-1] == MORE:
        return False  # A sink of no kind.
    names = [new.path for line in RENAMES if (new := line.apply(Found(path))) is not None]
    was = any(tuple(line.old.split("."))[: len(path)] == path for line in RENAMES)
    return was or any(known(name) == "section" for name in (path, *names))


def rename(values: dict[str, Any], origins: Origins, problems: list[str]) -> list[Renamed]:
    """Move what is given by an old name to its new one. Both names at once are a problem."""
    moves = [(old, found, take(values, old)) for old, found in list(_old(values, ()))]
    _prune(values, ())
    renamed = []
    for old, found, value in moves:
        origin, before, now = place(old, origins), ".".join(old), ".".join(found.path)
        if has(values, found.path):
            other = place(found.path, origins)
            problems.append(f"{origin}: {before}: given twice: {now} ({other}) is its new name; give only {now}")
            continue
        try:
            put(values, found.path, found.convert(value), origins, origin)
        except ValueError as error:
            problems.append(f"{origin}: {before}: {error}")
        renamed.append(Renamed(before, now, origin))
    return renamed


def _old(values: dict[str, Any], path: Path_) -> Iterator[tuple[Path_, Found]]:
    """Every value that has an old name: where it is, and what it means now."""
    for key, value in values.items():
        here = (*path, key)
        kind = known(here)
        found = None if kind == "option" or (kind and isinstance(value, dict)) else find(here)
        if found is not None and (known(found.path) == "option" or not isinstance(value, dict)):
            yield here, found
        elif isinstance(value, dict) and kind != "option":
            yield from _old(value, here)


def _prune(values: dict[str, Any], path: Path_) -> None:
    """Sections by an old name in which nothing is left."""
    for key, value in list(values.items()):
        here = (*path, key)
        if isinstance(value, dict):
            _prune(value, here)
            if not value and not known(here) and is_section(here):
                del values[key]
