"""Times of log lines."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.decode.logs.timestamps import parse_date, parse_time

S = 10**9
TEN = 1_795_255_200 * S  # 2026-11-21T10:00:00Z


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2026-11-21T10:00:00Z", TEN),
        ("2026-11-21t10:00:00z", TEN),
        ("2026-11-21 10:00:00", TEN),
        ("2026-11-21 10:00:00 UTC", TEN),
        ("2026-11-21T10:00:00 GMT", TEN),
        ("2026-11-21T10:00", TEN),
        ("2026/11/21 10:00:00", TEN),
        ("2026-11-21 10:00:00,123", TEN + 123_000_000),
        ("2026-11-21T10:00:00.1Z", TEN + 100_000_000),
        ("2026-11-21T10:00:00.123456789999Z", TEN + 123_456_789),
        ("2026-11-21T11:00:00+01:00", TEN),
        ("2026-11-21T11:30:00+0130", TEN),
        ("2026-11-21T05:00:00-05", TEN),
        ("2026-11-21 05:00:00 -05:00", TEN),
        ("2026-11-21 10:00:00 +0000 UTC", TEN),
        ("2026-11-21 11:00:00.25 +0100 CET", TEN + 250_000_000),
        ("2026-11-21T10:00:00Z[UTC]", TEN),
        ("2026-11-21T11:00:00+01:00[Europe/Berlin]", TEN),
        ("  2026-11-21T10:00:00Z ", TEN),
        (" 1795255200 ", TEN),
        ("2016-12-31T23:59:60Z", 1_483_228_800 * S),
        ("2024-02-29T00:00:00Z", 1_709_164_800 * S),
        ("1970-01-01T00:00:00.000000001Z", 1),
        (1_795_255_200, TEN),
        (1_795_255_200_123, TEN + 123_000_000),
        (1_795_255_200_123_456, TEN + 123_456_000),
        (TEN + 123_456_789, TEN + 123_456_789),
        (1_795_255_200.123456, TEN + 123_456_000),
        (1_795_255_200_123.5, TEN + 123_500_000),
        ("1795255200", TEN),
        ("1795255200.5", TEN + 500_000_000),
        ("1795255200123", TEN + 123_000_000),
        (10**8, 10**8 * S),
        ("Sat, 21 Nov 2026 10:00:00 +0000", TEN),
        ("21 Nov 2026 10:00:00 GMT", TEN),
        ("Sat, 21 Nov 2026 11:00 +0100 (CET)", TEN),
        ("21/Nov/2026:10:00:00 +0000", TEN),
        ("[21/Nov/2026:05:00:00 -0500]", TEN),
        ("21/Nov/2026:10:00:00.123", TEN + 123_000_000),
        ("21-Nov-2026 10:00:00.123", TEN + 123_000_000),
        ("1 jan 1970 00:00:01 UT", S),
        ({"$date": "2026-11-21T10:00:00.123Z"}, TEN + 123_000_000),
        ({"$date": 1_795_255_200_123}, TEN + 123_000_000),
        ({"$date": {"$numberLong": "1795255200123"}}, TEN + 123_000_000),
        ({"seconds": 1_795_255_200, "nanos": 123_000_000}, TEN + 123_000_000),
        ({"seconds": "1795255200", "nanos": 1}, TEN + 1),
        ({"sec": 1_795_255_200, "nsec": 0}, TEN),
        ({"epochSecond": 5, "nanoOfSecond": 7}, 5 * S + 7),
    ],
)
def test_read(value: object, expected: int) -> None:
    assert parse_time(value) == expected


@pytest.mark.parametrize(
    "value",
    [
        None, True, [], {}, "", "now", "2026-11-21", "10:00:00", 0, -5, 0.35, 12, 10**8 - 1, 2**63, 1e300,
        "2026-13-01T00:00:00Z", "2026-02-29T00:00:00Z", "2026-11-21T24:00:00Z", "2026-11-21T10:60:00Z",
        "2026-11-21T10:00:61Z", "2026-11-21T10:00:00+24:00", "2026-11-21T10:00:00+01:60", "2026/11-21T10:00:00Z",
        "1969-12-31T23:59:59Z", "1970-01-01T00:00:00Z", "2262-04-12T00:00:00Z", "9999-12-31T23:59:59Z",
        "0000-01-01T00:00:00Z", "2026-11-21T10:00:00Z\t", "2026-11-21T10:00:00[UTC]", "2026-11-21T10:00:00Z[]",
        "2026-11-21 10:00:00 +0000 utc", "2026-11-21 10:00:00 UTC UTC", "２０２６-11-21T10:00:00Z",
        "-1795255200", "1e10", "99999999999999999999",
        "Sat, 21 Nov 26 10:00:00 +0000", "21/Now/2026:10:00:00 +0000", "21/Nov-2026:10:00:00 +0000",
        "[21/Nov/2026:10:00:00 +0000", "29 Feb 2026 10:00:00 GMT", "21 Nov 2026 24:00:00 GMT",
        "21 Nov 2026 10:00:00 +2400", "21 Nov 2026 10:00:00 EST", "21 Nov 2026", "Saturday, 21 Nov 2026 10:00:00 GMT",
        {"$date": True}, {"$date": "yesterday"}, {"$date": 1.5}, {"$date": {"$numberLong": 1795255200123}},
        {"$date": 1795255200123, "x": 1}, {"seconds": 5, "nanos": 0}, {"seconds": 1795255200},
        {"seconds": "x", "nanos": 0},
        {"seconds": 1795255200, "nanos": 10**9}, {"seconds": 1795255200, "nanos": True},
    ],
)  # fmt: skip
def test_not_a_time(value: object) -> None:
    assert parse_time(value) is None


@given(
    st.datetimes(
        datetime.datetime(1970, 1, 2),
        datetime.datetime(2262, 1, 1),
        timezones=st.integers(-1439, 1439).map(lambda m: datetime.timezone(datetime.timedelta(minutes=m))),
    )
)
def test_iso_as_the_standard_library_reads_it(time: datetime.datetime) -> None:
    since = time - datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
    expected = (since.days * 86400 + since.seconds) * S + since.microseconds * 1000
    assert parse_time(time.isoformat()) == (expected if expected > 0 else None)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2026-11-21", 1_795_219_200 * S),
        ("2026/11/21", 1_795_219_200 * S),
        ("20261121", 1_795_219_200 * S),
        ("2024-02-29", 1_709_164_800 * S),
        ("2023-02-29", None),
        ("2026-11", None),
        ("2026-W47-6", None),
        ("2026-11/21", None),
        ("21.11.2026", None),
        (20261121, None),
        (None, None),
    ],
)
def test_a_date_is_its_midnight(value: object, expected: int | None) -> None:
    assert parse_date(value) == expected
