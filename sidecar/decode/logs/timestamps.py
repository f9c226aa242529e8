"""Times as log lines write them, as Unix nanoseconds."""

from __future__ import annotations

import datetime
import math
import re

from sidecar.decode.otlp.limits import MAX_TIME_NS

_NUMBER = re.compile(r"[0-9]{1,19}(\.[0-9]+)?")
_DATE = r"([0-9]{4})([-/]?)([0-9]{2})\2([0-9]{2})"
_ONLY_DATE = re.compile(_DATE)
_ISO = re.compile(
    _DATE + r"[Tt ]([0-9]{2})(:?)([0-9]{2})(?:\6([0-9]{2})(?:[.,]([0-9]+))?)? *"
    r"(?:(?:(Z|z|UTC|GMT)|([+-])([0-9]{2})(?::?([0-9]{2}))?(?: [A-Z]{3,5})?)(?:\[[A-Za-z0-9/_+-]{1,40}\])?)?"
)

#: Smallest number taken for a time in each unit, with that unit's nanoseconds. Below 10^8 s (1973) a number is rather a
#: duration; 10^11 ms lies in 1973 too, and so on, so that the ranges meet and cover 1973 to 5138.
_UNITS = ((10**17, 1), (10**14, 10**3), (10**11, 10**6), (10**8, 10**9))


def parse_time(value: object) -> int | None:
    """Unix ns of a JSON value; None if it is no time between 1973 (ISO: 1970) and 2262.

    A number, or the text of one, counts seconds, milliseconds, microseconds or nanoseconds since 1970, told apart by
    size. Other text is read as ISO 8601, and an object of log4j2's `epochSecond` and `nanoOfSecond` alone as their sum.
    """
    match value:
        case bool():
            return None
        case int() | float():
            return _from_number(value)
        case str():
            return _from_text(value.strip(" "))
        case {"epochSecond": int(seconds), "nanoOfSecond": int(rest), **more} if not more and _whole(seconds, rest):
            return _in_range(seconds * 1_000_000_000 + rest)
        case _:
            return None


def _from_text(text: str) -> int | None:
    if _NUMBER.fullmatch(text):
        return _from_number(float(text) if "." in text else int(text))
    return _from_iso(text)


def _whole(seconds: int, rest: int) -> bool:
    return not isinstance(seconds, bool) and not isinstance(rest, bool) and 0 <= rest < 1_000_000_000


def _from_number(value: int | float) -> int | None:
    """A double is rounded to microseconds, half to even: it holds no more in our time."""
    for smallest, unit in _UNITS:
        if smallest <= value < math.inf:
            if isinstance(value, int):
                return _in_range(value * unit)
            return _in_range(int(value) if unit == 1 else round(value * (unit / 1000)) * 1000)
    return None


def parse_date(value: object) -> int | None:
    """Unix ns of a day's begin in UTC: `2026-11-28`, `2026/11/28` or `20261128`; None if the value is no such text.

    Not for log lines: a member `date` there mostly stands alongside a time of day."""
    found = _ONLY_DATE.fullmatch(value) if isinstance(value, str) else None
    days = _days(found[1], found[3], found[4]) if found else None
    return None if days is None else _in_range(days * _DAY * 10**9)


def _from_iso(text: str) -> int | None:
    """`2026-11-21T10:00:00.123+01:00`; also `20261121T100000Z`, with `/`, a blank for the T, a comma, no seconds, a
    zone without colon or minutes, with its name behind it (`+0000 UTC`, `Z[UTC]`), or none (UTC). Digits of the
    fraction past the ninth are dropped."""
    found = _ISO.fullmatch(text)
    if not found:
        return None
    year, _, month, day, hour, _, minute, second, fraction, _, sign, zone_hour, zone_minute = found.groups()
    if int(hour) > 23 or int(minute) > 59 or int(second or 0) > 60 or int(zone_hour or 0) > 23:
        return None
    days = _days(year, month, day)
    if days is None or int(zone_minute or 0) > 59:
        return None
    offset = (int(zone_hour or 0) * 60 + int(zone_minute or 0)) * (-60 if sign == "-" else 60)
    seconds = days * _DAY + (int(hour) * 60 + int(minute)) * 60 + int(second or 0) - offset
    return _in_range(seconds * 10**9 + int((fraction or "")[:9].ljust(9, "0")))


def _days(year: str, month: str, day: str) -> int | None:
    """Days since 1970-01-01; None where the calendar has no such day."""
    try:
        return datetime.date(int(year), int(month), int(day)).toordinal() - _EPOCH
    except ValueError:
        return None


_DAY = 24 * 60 * 60
_EPOCH = datetime.date(1970, 1, 1).toordinal()


def _in_range(nanoseconds: int) -> int | None:
    return nanoseconds if 0 < nanoseconds <= MAX_TIME_NS else None
