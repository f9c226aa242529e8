"""What the `sidecar journal` commands do. None of them makes a journal where there is none."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any

from sidecar import status
from sidecar.app import build_sinks
from sidecar.config.settings import Settings
from sidecar.decode.select import decoder
from sidecar.deliver import replay as replaying
from sidecar.deliver.registry import SINKS
from sidecar.deliver.sink import SinkContext
from sidecar.errors import ConfigError
from sidecar.health import Health
from sidecar.journal import schema
from sidecar.journal.dead_letters import DeadLetters
from sidecar.journal.opening import open_journal, read_ledger
from sidecar.telemetry import Telemetry

_POLL_SECONDS = 0.1


def journal_status(settings: Settings) -> dict[str, Any]:
    """Path, waiting items and the ledger of a journal on disk, as last committed. Works beside a running sidecar."""
    ledger = read_ledger(_on_disk(settings).journal)
    return {
        "path": str(settings.journal.path),
        "dead_letters": DeadLetters(settings.journal.path).count(),
        "received": dict(ledger.received),
        "rejected": dict(ledger.rejected),
        "duplicates": dict(ledger.duplicates),
        "ledger": list(status.ledger_lines(ledger)),
        "problems": ledger.balance(),
    }


def as_text(found: Mapping[str, Any]) -> Iterator[str]:
    """The status in lines, for people."""
    for key, value in found.items():
        if isinstance(value, list):
            yield f"{key}:" if value else f"{key}: none"
            yield from (f"  {line}" for line in value)
        elif isinstance(value, Mapping):
            counts = ", ".join(f"{items} {name}" for name, items in value.items() if items)
            yield f"{key}: {counts or 'none'}"
        else:
            yield f"{key}: {value}"


def drain(settings: Settings, timeout: float, progress: Callable[[int], None]) -> int:
    """Deliver what waits for the sinks of the configuration; gives the number of items that still wait at the end.
    `progress` is given how many wait, several times a second."""
    telemetry, health = Telemetry(), Health()
    log = open_journal(_on_disk(settings).journal, time.time_ns, telemetry)
    workers = [sink.worker for sink in build_sinks(settings, log, decoder(), telemetry, health)]
    names = {worker.name for worker in workers}

    def waiting() -> int:
        return sum(sum(c.waiting.values()) for c in log.ledger().consumers if c.name in names)

    with ExitStack() as stack:
        stack.callback(log.close)
        deadline = time.monotonic() + timeout
        for worker in workers:
            worker.start()
            stack.callback(worker.stop, 0.0)
        while (left := waiting()) and time.monotonic() < deadline:
            progress(left)
            time.sleep(_POLL_SECONDS)
        progress(left)
    return left


def list_dead_letters(settings: Settings, sink: str | None, limit: int, show: bool) -> Iterator[str]:
    """A line for each dead letter, oldest first, with its document if asked for."""
    page = _dead_letters(settings, sink).page(sink, limit)
    if not page:
        yield "no dead letters"
    for stored in page:
        dead_letter = stored.dead_letter
        when = replaying.time_text(dead_letter)
        names = f"{dead_letter.consumer}  {dead_letter.index}  {dead_letter.doc_id}"
        yield f"{stored.id}  {when}  {names}  {dead_letter.reason}"
        if show:
            yield dead_letter.document.decode("utf-8", "replace").rstrip("\n")


def show_dead_letter(settings: Settings, number: int) -> str:
    """One dead letter with its document, as JSON in lines. Raises `ConfigError` where none has that number."""
    stored = DeadLetters(_on_disk(settings).journal.path).show(number)
    if stored is None:
        raise ConfigError([f"no dead letter {number}; expected a number of `sidecar journal dead-letters list`"])
    return json.dumps(replaying.as_record(stored.id, stored.dead_letter), indent=2, ensure_ascii=False)


def export_dead_letters(settings: Settings, sink: str | None) -> Iterator[str]:
    """Each dead letter with its document as one JSON object, oldest first. They stay where they are."""
    for stored in _dead_letters(settings, sink).iterate(sink):
        yield json.dumps(replaying.as_record(stored.id, stored.dead_letter), ensure_ascii=False, separators=(",", ":"))


def expire_dead_letters(settings: Settings, older_than: float, keep: int) -> int:
    """Delete the dead letters older than that, in seconds, and the oldest past `keep`; gives how many."""
    before_ns = time.time_ns() - int(older_than * 1e9)
    return DeadLetters(_on_disk(settings).journal.path).expire(before_ns, keep)


def replay_dead_letters(settings: Settings, sink: str | None, progress: Callable[[int], Any]) -> tuple[int, int]:
    """Send the dead letters again and delete those that are accepted; gives (replayed, rejected). Works beside a
    running sidecar: documents are created under their own ids, so it does no harm if both send the same.

    `progress(count)` gives a progress bar as a context manager. Raises `Retryable` where the destination cannot take
    them now, `ConfigError` where no sink is on that could.
    """
    able = {name: (kind, options) for name, kind, options in settings.deliver.enabled() if kind.can_replay}
    names = [name for name in able if sink in (None, name)]
    if not names:
        kinds = " or ".join(sorted(sink.name for sink in SINKS if sink.can_replay))
        which = f"no sink named {sink!r}" if sink else "no sink"
        raise ConfigError(
            [f"{which} of a kind that replays dead letters ({kinds}) is enabled: there is nowhere to send them to"]
        )
    path = _on_disk(settings).journal.path
    dead_letters = DeadLetters(path)
    replayed = rejected = 0
    with ExitStack() as stack:
        context = SinkContext(decoder(), "", path, Telemetry(), time.time_ns)
        count = sum(n for name, n in dead_letters.count().items() if name in names)
        bar = stack.enter_context(progress(count))
        for name in names:
            kind, options = able[name]
            target: Any = kind.build(name, options, context)
            stack.callback(target.close)
            for batch in replaying.replay_stored(dead_letters, name, target):
                replayed += len(batch.accepted)
                rejected += len(batch.rejected)
                bar.update(len(batch.accepted) + len(batch.rejected))
    return replayed, rejected


def _dead_letters(settings: Settings, sink: str | None) -> DeadLetters:
    """Those on disk. Raises `ConfigError` for the name of a sink that is not enabled and has left none: a slip."""
    found = DeadLetters(_on_disk(settings).journal.path)
    names = {name for name, _, _ in settings.deliver.enabled()} | set(found.count())
    if sink is not None and sink not in names:
        raise ConfigError([f"no sink named {sink!r}; expected one of {', '.join(sorted(names))}"])
    return found


def _on_disk(settings: Settings) -> Settings:
    if settings.journal.backend != "sqlite":
        raise ConfigError(["journal.backend is memory: nothing is on disk"])
    if not (settings.journal.path / schema.FILE).exists():
        problem = f"journal.path: there is no journal in {settings.journal.path}"
        raise ConfigError([f"{problem}; set SIDECAR_JOURNAL__PATH to its directory"])
    return settings
