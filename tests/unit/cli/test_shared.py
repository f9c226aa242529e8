"""What commands share."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from sidecar.cli.shared import AGE, DURATION, client_access, reached, with_hosts
from sidecar.deliver.common.http import Unreached
from sidecar.deliver.elasticsearch.options import ElasticsearchOptions
from sidecar.errors import ConfigError, Permanent


@pytest.mark.parametrize(("given", "seconds"), [("7d", 604_800), ("1.5h", 5_400), ("250ms", 0.25), ("0s", 0)])
def test_times_with_a_unit(given: str, seconds: float) -> None:
    assert DURATION.convert(given, None, None) == AGE.convert(given, None, None) == seconds


def test_a_bare_number_is_seconds_but_for_an_age() -> None:
    assert DURATION.convert("7", None, None) == 7
    with pytest.raises(click.BadParameter, match="invalid duration: '7'; expected a number with its unit, such as 7d"):
        AGE.convert("7", None, None)


@pytest.mark.parametrize("given", ["-1d", "7 parsecs", "inf", "nan"])
@pytest.mark.parametrize("kind", [DURATION, AGE])
def test_what_is_no_time_is_refused(kind: click.ParamType[float], given: str) -> None:
    with pytest.raises(click.BadParameter, match=r"duration|unit"):
        kind.convert(given, None, None)


SECTION = "deliver.elasticsearch"


def test_another_address_leaves_the_other_options() -> None:
    options = ElasticsearchOptions.model_validate({"hosts": "http://a:9200", "timeout": "7s"})
    assert with_hosts(options, None, "--url", SECTION) is options
    found = with_hosts(options, "http://b:9200", "--url", SECTION)
    assert (found.hosts, found.timeout) == (("http://b:9200",), 7)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        (None, "no address: give --url or set deliver.elasticsearch.hosts"),
        ("http://u:hidden@b:9200", "--url: "),
    ],
)
def test_an_address_that_is_missing_or_invalid(url: str | None, problem: str) -> None:
    with pytest.raises(ConfigError) as raised:
        with_hosts(ElasticsearchOptions(), url, "--url", SECTION)
    (found,) = raised.value.problems
    assert found.startswith(problem)
    assert "hidden" not in found


def test_flags_are_a_server() -> None:
    found = client_access("https://g", token=Path("/t"), ca=Path("/c"), timeout=3)
    assert (found.hosts, found.timeout) == (("https://g",), 3)
    assert (found.auth.token_file, found.tls.ca_file) == (Path("/t"), Path("/c"))


def test_credentials_that_do_not_fit_name_their_flags() -> None:
    with pytest.raises(ConfigError) as raised:
        client_access("https://g", username="me", prefix="mlflow-")
    assert [problem.startswith("mlflow-incomplete credentials") for problem in raised.value.problems] == [True]


def test_a_server_that_gives_no_answer_is_one_line() -> None:
    with pytest.raises(Permanent, match=r"^tls: no such authority$"), reached():
        raise Unreached("tls", "no such authority")
