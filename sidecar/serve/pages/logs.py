"""Log records: which are shown, and the newest of them."""

from __future__ import annotations

from dataclasses import dataclass

from sidecar.lookup.answering import BadRequest, Parameters, full_trace_id
from sidecar.lookup.log_store import LogStore
from sidecar.lookup.model import LogRecord
from sidecar.lookup.store import Deadline, LookupTimeout
from sidecar.serve.pages.html import write_text

LEVELS = {"TRACE": 1, "DEBUG": 5, "INFO": 9, "WARN": 13, "ERROR": 17, "FATAL": 21}
"""Name -> the lowest severity number of it, by OpenTelemetry's data model of logs."""
MAX_SHOWN = 100


@dataclass(frozen=True, slots=True)
class LogFilter:
    """Which records are shown; what is empty leaves none out."""

    service: str = ""
    level: str = ""
    text: str = ""
    trace_id: str = ""

    @classmethod
    def of(cls, given: Parameters) -> LogFilter:
        """Raises `BadRequest`."""
        level, trace = given.text("level").upper(), given.text("trace").strip()
        if level and level not in LEVELS:
            raise BadRequest(f"invalid level: {level[:40]!r}; expected one of {', '.join(LEVELS)}")
        return cls(given.text("service"), level, given.text("text").strip(), full_trace_id(trace) if trace else "")

    def takes(self, record: LogRecord) -> bool:
        """Whether a record is shown."""
        if self.service and record.service != self.service:
            return False
        if self.trace_id and record.trace_id != self.trace_id:
            return False
        if self.level and severity(record) < LEVELS[self.level]:
            return False
        return not self.text or self.text.lower() in _searched(record)


def severity(record: LogRecord) -> int:
    """The number of a record's severity; by its text where it has none, 0 where it has neither."""
    if record.severity_number:
        return record.severity_number
    text = record.severity_text.upper()
    return next((number for name, number in LEVELS.items() if text.startswith(name)), 0)


def level_of(record: LogRecord) -> str:
    """The name of its severity, empty where it has none."""
    number = severity(record)
    return next((name for name, low in reversed(LEVELS.items()) if number >= low), "")


def _searched(record: LogRecord) -> str:
    return f"{write_text(record.body)}\n{record.event_name}\n{write_text(dict(record.attributes))}".lower()


@dataclass(frozen=True, slots=True)
class Newest:
    """Records, newest first."""

    records: list[LogRecord]
    complete: bool
    """False where the time was up before enough were found."""


def newest(store: LogStore, wanted: LogFilter, deadline: Deadline) -> Newest:
    """The newest records that are shown, `MAX_SHOWN` at most."""
    found: list[LogRecord] = []
    try:
        for some in store.newest(deadline):
            found += [record for record in some if wanted.takes(record)]
            if len(found) >= MAX_SHOWN:
                break
    except LookupTimeout:
        return Newest(_latest(found), complete=False)
    return Newest(_latest(found), complete=True)


def _latest(found: list[LogRecord]) -> list[LogRecord]:
    """Those that came last, in the order of their own time, the latest first."""
    return sorted(found[:MAX_SHOWN], key=lambda record: record.time_ns or record.observed_ns or 0, reverse=True)
