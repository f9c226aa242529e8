"""What the look-up APIs share over HTTP: one place where a question gets a thread, a deadline and an answer's form."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus

import structlog
from fastapi import Request, Response

from sidecar.errors import SidecarError
from sidecar.lookup.settings import LookupOptions
from sidecar.lookup.store import Deadline, LookupTimeout, StoreFailure, TraceStore, Window
from sidecar.lookup.traceql.lexer import QueryError

NANO = 1_000_000_000
_TRACE_ID = re.compile(r"[0-9a-fA-F]{1,32}")
NOSNIFF = {"X-Content-Type-Options": "nosniff"}
"""Names and values come from whoever sends spans: no browser is to take an answer for a page."""
MAX_SHOWN = 100
"""Characters of an invalid value that a message repeats."""

log = structlog.get_logger("sidecar.lookup")


class BadRequest(SidecarError):
    """The question cannot be understood, or asks for more than is allowed."""


class NotFound(SidecarError):
    """Nothing is kept of what was asked for."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no answer."""

    status: int
    message: str


class Desk:
    """Answers questions about one store. `clock`: Unix nanoseconds."""

    def __init__(self, store: TraceStore, options: LookupOptions, clock: Callable[[], int] = time.time_ns) -> None:
        self.store, self.options, self._clock = store, options, clock
        self._turns = asyncio.Semaphore(options.max_concurrency)

    async def answer(self, work: Callable[[Deadline], Response], failed: Callable[[Failure], Response]) -> Response:
        """The response of `work`, which runs in a thread; or what `failed` makes of the reason why there is none."""
        try:
            await asyncio.wait_for(self._turns.acquire(), self.options.timeout)
        except TimeoutError:
            return failed(Failure(503, "too many look-ups at a time: ask again shortly"))
        try:
            return await asyncio.to_thread(_answered, work, failed, Deadline.after(self.options.timeout))
        finally:
            self._turns.release()

    @property
    def now_ns(self) -> int:
        """Unix nanoseconds."""
        return self._clock()

    def window(self, start_ns: int | None, end_ns: int | None, default_ns: int = 3600 * NANO) -> Window:
        """The time range of a search; without an end it ends now, without a start it has a default length. Raises
        `BadRequest` where it is none, or longer than is allowed."""
        end = self._clock() if end_ns is None else end_ns
        start = end - default_ns if start_ns is None else start_ns
        if start > end:
            raise BadRequest("invalid time range: it ends before it begins")
        longest = self.options.max_range
        if end - start > longest * NANO:
            raise BadRequest(
                f"invalid time range: {(end - start) // NANO} s; expected at most {longest:.0f} s (lookup.max_range)"
            )
        return Window(start, end)


def _answered(
    work: Callable[[Deadline], Response], failed: Callable[[Failure], Response], deadline: Deadline
) -> Response:
    try:
        return work(deadline)
    except (BadRequest, QueryError) as error:
        return failed(Failure(400, str(error)))
    except NotFound as error:
        return failed(Failure(404, str(error)))
    except LookupTimeout as error:
        return failed(Failure(504, str(error)))
    except StoreFailure as error:
        log.error("lookup_store_failed", error=str(error))
        return failed(Failure(502, str(error)))


def as_json(body: Any, status: int = 200) -> Response:
    """Compact JSON; NaN and infinities cannot come, since documents have none."""
    return Response(json.dumps(body, separators=(",", ":")), status, NOSNIFF, media_type="application/json")


def full_trace_id(given: str) -> str:
    """A trace id as 32 lower-case hex digits; shorter ones are padded with zeros, as Jaeger and Tempo do. Raises
    `BadRequest` for what is none."""
    if not _TRACE_ID.fullmatch(given) or not given.strip("0"):
        raise BadRequest(
            f"{given[:MAX_SHOWN]!r} is not a trace id: it must be 1 to 32 hexadecimal digits, not all zeros"
        )
    return given.lower().zfill(32)


_QUERY = re.compile(r"(?:^|&)q=(.*?)(?=&(?:limit|spss|start|end|step|exemplars|since|minDuration|maxDuration|tags)=|$)")


class Parameters:
    """The query string of a request. Every reader raises `BadRequest` for a value that is none."""

    def __init__(self, request: Request) -> None:
        self._values, self._raw = request.query_params, request.url.query

    def text(self, *names: str) -> str:
        """The first of the names that has a value; else empty."""
        return next((self._values[name] for name in names if self._values.get(name)), "")

    def query(self) -> str:
        """TraceQL in `q`. Some clients leave its `&&` as they are: it ends where another parameter begins."""
        found = _QUERY.search(self._raw)
        return unquote_plus(found[1]) if found else self.text("query")

    def all(self, name: str) -> list[str]:
        """Every value of a name, without empty ones."""
        return [value for value in self._values.getlist(name) if value]

    def count(self, name: str, default: int, highest: int) -> int:
        """A whole number from 1; more than `highest` is `highest`."""
        given = self._values.get(name, "")
        if not given:
            return default
        if not given.isascii() or not given.isdigit() or int(given[:20]) < 1:
            raise BadRequest(f"invalid {name}: {given[:MAX_SHOWN]!r}; expected a whole number from 1")
        return min(int(given[:20]), highest)

    def time(self, name: str, unit_ns: int) -> int | None:
        """A time as a number of units since 1970, in nanoseconds; None where it is not given. Seconds with a fraction,
        and times of more digits than the unit's (which must be of a smaller one), are understood."""
        given = self._values.get(name, "")
        if not given:
            return None
        whole, _, fraction = given.partition(".")
        if not (whole.isascii() and whole.isdigit() and len(whole) < 20 and (fraction.isdigit() or not fraction)):
            raise BadRequest(f"invalid {name}: {given[:MAX_SHOWN]!r}; expected a number")
        if unit_ns == NANO and len(whole) > 11:
            unit_ns = 10 ** max(0, 19 - len(whole))
        return int(whole) * unit_ns + (int(fraction[:9].ljust(9, "0")) * unit_ns // NANO if fraction else 0)


_UNITS = {"ns": 1, "us": 10**3, "µs": 10**3, "μs": 10**3, "ms": 10**6, "s": NANO, "m": 60 * NANO, "h": 3600 * NANO}
_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)", re.ASCII)


def parse_duration(name: str, given: str) -> int:
    """`1.5s` or `1m30s` in nanoseconds. Raises `BadRequest`."""
    parts = _PART.findall(given)
    if not parts or "".join(f"{number}{unit}" for number, unit in parts) != given or len(given) > 40:
        raise BadRequest(f"invalid {name}: {given[:MAX_SHOWN]!r}; expected a duration such as 100ms or 1.5s")
    return int(sum(float(number) * _UNITS[unit] for number, unit in parts))


def attributes_text(value: Any) -> str:
    """A value as text: strings as they are, the rest as JSON."""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), ensure_ascii=False)
