"""Durations, sizes, TLS and credentials as options."""

from __future__ import annotations

import re
from typing import Any

import pytest
from pydantic import Field, ValidationError

from sidecar.options import (
    ClientAuth,
    ClientTls,
    Duration,
    Section,
    ServerAuth,
    ServerTls,
    Size,
    write_duration,
    write_size,
)


class Both(Section):
    wait: Duration = Field(5.0, gt=0, le=7200, description="How long.")
    room: Size = Field(1 << 20, ge=1024, description="How much.")
    maybe: Duration | None = None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("5s", 5), ("250ms", 0.25), ("1h", 3600), ("1h30m", 5400), ("1m 30s", 90), ("0.5", 0.5), (".5s", 0.5),
        ("30", 30), (2, 2), (2.5, 2.5), ("100us", 1e-4), ("100µs", 1e-4), (" 7 s ", 7), ("1e1", 10), ("0.5h", 1800),
    ],
)  # fmt: skip
def test_durations_are_read_with_and_without_unit(text: Any, seconds: float) -> None:
    assert Both(wait=text).wait == pytest.approx(seconds)
    assert Both(maybe=text).maybe == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("16MiB", 16 << 20), ("16Mi", 16 << 20), ("20MB", 20_000_000), ("20M", 20_000_000), ("64KiB", 64 << 10),
        ("64kB", 64_000), ("64KB", 64_000), ("1.5GiB", 3 << 29), ("2048", 2048), (4096, 4096),
        ("4096B", 4096), ("1e6", 10**6),
    ],
)  # fmt: skip
def test_sizes_are_read_with_and_without_unit(text: Any, count: int) -> None:
    assert Both(room=text).room == count


@pytest.mark.parametrize("text", ["", "s", "5 parsecs", "5s5", "5S", "-5s", "1h-30m", "five", "5ss", "٥s"])
def test_an_invalid_duration_names_what_is_expected(text: str) -> None:
    with pytest.raises(
        ValidationError, match=r"invalid duration: .*; expected a number with a unit, such as 250ms, 5s or 1h"
    ):
        Both(wait=text)


@pytest.mark.parametrize("text", ["", "MiB", "5 MB B", "1.5B", "16mib", "-1MiB", "inf", "nan", "1e400"])
def test_an_invalid_size_names_what_is_expected(text: str) -> None:
    with pytest.raises(ValidationError, match=r"invalid size: .*; expected a number with a unit"):
        Both(room=text)


def test_bounds_hold_for_what_was_written_with_a_unit() -> None:
    with pytest.raises(ValidationError, match="less than or equal to 7200"):
        Both(wait="3h")
    with pytest.raises(ValidationError, match="greater than or equal to 1024"):
        Both(room="1kB")


def test_the_json_schema_takes_numbers_and_text() -> None:
    schema = Both.model_json_schema()["properties"]["wait"]
    kinds = {option["type"]: option for option in schema["anyOf"]}
    assert set(kinds) == {"number", "string"}
    assert re.search(kinds["string"]["pattern"], "1h30m")
    assert not re.search(kinds["string"]["pattern"], "5 parsecs")
    assert schema["default"] == 5.0


@pytest.mark.parametrize("value", [0.001, 0.25, 1, 5, 90, 3600, 86400, 1.5, 0.0000005, 604800])
def test_a_written_duration_is_read_back(value: float) -> None:
    assert Both(maybe=write_duration(value)).maybe == pytest.approx(value)


@pytest.mark.parametrize("value", [1024, 16 << 20, 20_971_520, 20_000_000, 1 << 30, 1500])
def test_a_written_size_is_read_back(value: int) -> None:
    assert Both(room=write_size(value)).room == value


def test_what_is_written_is_short() -> None:
    assert [write_duration(v) for v in (0, 0.25, 5, 90, 3600, 86400)] == ["0", "250ms", "5s", "90s", "1h", "1d"]
    assert [write_size(v) for v in (0, 1000, 16 << 20, 1 << 30)] == ["0", "1000B", "16MiB", "1GiB"]


@pytest.mark.parametrize(
    ("section", "values", "message"),
    [
        (ServerTls, {"cert_file": "a"}, "cert_file and key_file belong together"),
        (ServerTls, {"ca_file": "a"}, "ca_file needs cert_file"),
        (ClientTls, {"key_file": "a"}, "cert_file and key_file belong together"),
        (ServerAuth, {"token": "a", "token_file": "b"}, "token is given twice"),
        (ServerAuth, {"token": "  "}, "invalid token"),
        (ClientAuth, {"api_key": "a", "api_key_file": "b"}, "api_key is given twice"),
        (ClientAuth, {"api_key": "a", "username": "u", "password": "p"}, "only one of them"),
        (ClientAuth, {"token": "a", "api_key": "k"}, "only one of them"),
        (ClientAuth, {"username": "u"}, "username needs password"),
        (ClientAuth, {"password_file": "p"}, "username needs password"),
    ],
)
def test_incomplete_and_ambiguous_credentials_are_refused(section: type[Section], values: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        section(**values)


def test_secrets_are_not_shown() -> None:
    assert "p4ss" not in repr(ClientAuth(username="u", password="p4ss"))
    assert "t0ken" not in repr(ServerAuth(token="t0ken"))
