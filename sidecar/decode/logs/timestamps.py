"""Times as log lines write them, as Unix nanoseconds."""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Mapping

from sidecar.decode.otlp.limits import MAX_TIME_NS

_DIGITS = re.compile(r"[0-9]{1,19}")
_NUMBER = re.compile(r"[0-9]{1,19}(\.[0-9]+)?")
_DATE = r"([0-9]{4})([-/]?)([0-9]{2})\2([0-9]{2})"
_ONLY_DATE = re.compile(_DATE)
_ISO = re.compile(
    _DATE + r"[Tt ]([0-9]{2})(:?)([0-9]{2})(?:\6([0-9]{2})(?:[.,]([0-9]+))?)? *"
    r"(?:(?:(Z|z|UTC|GMT)|([+-])([0-9]{2})(?::?([0-9]{2}))?(?: [A-Z]{3,5})?)(?:\[[A-Za-z0-9/_+-]{1,40}\])?)?"
)

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_NAMED_MONTH = re.compile(
    r"(?:[A-Za-z]{3},? +)?([0-9]{1,2})([ /-])([A-Za-z]{3})\2([0-9]{4})(?::| +)([0-9]{2}):([0-9]{2})"
    r"(?::([0-9]{2})(?:[.,]([0-9]+))?)? *(?:(Z|z|UTC?|GMT)|([+-])([0-9]{2}):?([0-9]{2}))?(?: +\([A-Za-z ]{1,40}\))?"
)
#: Members of an object that is a time, and whether a small number of seconds is one too: log4j2; protobuf's Timestamp,
#: as Google's loggers write it; ROS and C.
_PAIRS = (("epochSecond", "nanoOfSecond", True), ("seconds", "nanos", False), ("sec", "nsec", False))

#: Smallest number taken for a time in each unit, with that unit's nanoseconds. Below 10^8 s (1973) a number is rather a
#: duration; 10^11 ms lies in 1973 too, and so on, so that the ranges meet and cover 1973 to 5138.
_UNITS = ((10**17, 1), (10**14, 10**3), (10**11, 10**6), (10**8, 10**9))


def parse_time(value: object) -> int | None:
    """Unix ns of a JSON value; None if it is no time between 1973 (ISO: 1970) and 2262.

    A number, or the text of one, counts seconds, milliseconds, microseconds or nanoseconds since 1970, told apart by
    size. Other text is read as ISO 8601, or as mail (RFC 2822) and access logs (CLF) write it, with the English name of
    the month. An object is one where it has nothing but seconds and nanoseconds, or MongoDB's `$date`.
    """
    match value:
        case bool():
            return None
        case int() | float():
            return _from_number(value)
        case str():
            return _from_text(value.strip(" "))
        case {"$date": date, **more} if not more:
            return _from_mongo(date)
        case dict():
            return _from_pair(value)
        case _:
            return None


def _from_text(text: str) -> int | None:
    if _NUMBER.fullmatch(text):
        return _from_number(float(text) if "." in text else int(text))
    return _from_iso(text) or _from_named_month(text[1:-1] if text[:1] + text[-1:] == "[]" else text)


def _from_mongo(date: object) -> int | None:
    """Extended JSON: ISO 8601, or milliseconds (of which the canonical form makes an object with a text)."""
    match date:
        case bool():
            return None
        case int():
            return _in_range(date * 10**6)
        case {"$numberLong": str(digits), **more} if not more and _DIGITS.fullmatch(digits):
            return _in_range(int(digits) * 10**6)
        case str():
            return _from_iso(date)
        case _:
            return None


def _from_pair(value: Mapping[str, object]) -> int | None:
    """An object of whole seconds, as a number or a text, and the nanoseconds beside them."""
    for seconds_name, rest_name, any_seconds in _PAIRS:
        if value.keys() == {seconds_name, rest_name}:
            return seconds_and_nanoseconds(value[seconds_name], value[rest_name], any_seconds)
    return None


def seconds_and_nanoseconds(seconds: object, rest: object, any_seconds: bool = False) -> int | None:
    """Unix ns of both; None where either is no such number, or there are too few seconds for a time (see `_UNITS`)."""
    if isinstance(seconds, str) and _DIGITS.fullmatch(seconds):
        seconds = int(seconds)
    if isinstance(seconds, bool) or isinstance(rest, bool) or not isinstance(seconds, int) or not isinstance(rest, int):
        return None
    if not 0 <= rest < 10**9 or (seconds < _UNITS[-1][0] and not any_seconds):
        return None
    return _in_range(seconds * 10**9 + rest)


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
    days = _days(year, month, day)
    return None if days is None else _instant(days, (hour, minute, second), fraction, (sign, zone_hour, zone_minute))


def _from_named_month(text: str) -> int | None:
    """`Sat, 21 Nov 2026 10:00:00 +0000` and `21/Nov/2026:10:00:00 +0000`; also with hyphens, a fraction, no day of the
    week (which is not compared), no seconds, the zone's name in brackets, or no zone (UTC)."""
    found = _NAMED_MONTH.fullmatch(text)
    if not found or found[3].lower() not in _MONTHS:
        return None
    day, _, name, year, hour, minute, second, fraction, _, sign, zone_hour, zone_minute = found.groups()
    days = _days(year, str(_MONTHS.index(name.lower()) + 1), day)
    return None if days is None else _instant(days, (hour, minute, second), fraction, (sign, zone_hour, zone_minute))


def _instant(
    days: int, clock: tuple[str, str, str | None], fraction: str | None, zone: tuple[str | None, str | None, str | None]
) -> int | None:
    """Unix ns; None for an hour, a minute, a second or a zone that there is not."""
    hour, minute, second = (int(part or 0) for part in clock)
    zone_hour, zone_minute = int(zone[1] or 0), int(zone[2] or 0)
    if hour > 23 or minute > 59 or second > 60 or zone_hour > 23 or zone_minute > 59:
        return None
    offset = (zone_hour * 60 + zone_minute) * (-60 if zone[0] == "-" else 60)
    seconds = days * _DAY + (hour * 60 + minute) * 60 + second - offset
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
