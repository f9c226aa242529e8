"""Queries and what may be wrong with their answers."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qs

import pytest
from support.report_sources import answered

from sidecar.deliver.common.http import Reply, Unreached
from sidecar.errors import Permanent
from sidecar.report.expressions import Selection, quoted
from sidecar.report.period import Period, period
from sidecar.report.prometheus import Prometheus


def of(reply: Reply) -> Prometheus:
    return Prometheus(lambda *asked: reply, "http://prometheus:9090")


def test_a_query_is_a_form_and_nan_is_left_out() -> None:
    asked: list[tuple[str, str, bytes | None, Mapping[str, str]]] = []

    def send(method: str, path: str, form: bytes | None, headers: Mapping[str, str]) -> Reply:
        asked.append((method, path, form, headers))
        return answered([{"metric": {"a": "1"}, "value": [1, "2.5"]}, {"metric": {}, "value": [1, "NaN"]}])

    found = Prometheus(send, "http://p").query('up{a="&+"}', 1_700_000_000.25)
    assert [(one.labels, one.value) for one in found] == [({"a": "1"}, 2.5)]
    ((method, path, form, headers),) = asked
    assert headers == {"content-type": "application/x-www-form-urlencoded"}
    assert (method, path) == ("POST", "/api/v1/query")
    assert parse_qs((form or b"").decode()) == {"query": ['up{a="&+"}'], "time": ["1700000000.250"]}


def test_a_range_has_points() -> None:
    rows = [{"metric": {"a": "1"}, "values": [[10, "1"], [20, "NaN"], [30, "3"]]}]
    (found,) = of(answered(rows, "matrix")).query_range("up", 10, 30, 10)
    assert found.points == [(10.0, 1.0), (30.0, 3.0)]


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (Reply(404, b"<html>not here</html>"), "does not answer as Prometheus does"),
        (Reply(200, b"{}"), "does not answer as Prometheus does"),
        (Reply(200, b"[1]"), "does not answer as Prometheus does"),
        (answered([], "scalar"), "does not answer as Prometheus does"),
        (Reply(401, b"no"), "refuses the credentials"),
        (Reply(503, b'{"status":"error","error":"query timed out"}'), "query timed out"),
        (Reply(422, b'{"status":"error","error":"too many samples"}'), "HTTP 422"),
    ],
)
def test_what_is_wrong_is_said(reply: Reply, words: str) -> None:
    with pytest.raises(Permanent, match=words):
        of(reply).query("up", 1)


def test_nobody_answers() -> None:
    def send(*asked: object) -> Reply:
        raise Unreached("unreachable", "connection refused")

    with pytest.raises(Permanent, match=r"Prometheus at http://p gives no answer: unreachable: connection refused"):
        Prometheus(send, "http://p").query("up", 1)


def test_names_of_models_are_literals_in_queries() -> None:
    chosen = Selection(('a.b"|\\', "c"), "shop").of_models("x=1")
    assert chosen == 'x=1,model=~"a\\\\.b\\"\\\\|\\\\\\\\|c",namespace="shop"'
    assert Selection().of_models() == ""
    assert quoted("a\nb") == '"a\\nb"'


@pytest.mark.parametrize("seconds", [30, 500 * 86_400])
def test_a_period_has_bounds(seconds: float) -> None:
    with pytest.raises(ValueError, match="invalid period"):
        period(seconds, 1e9, 2e9)


@pytest.mark.parametrize("end", [3e9, 1_000])
def test_an_end_that_cannot_be_is_refused(end: float) -> None:
    with pytest.raises(ValueError, match="invalid end"):
        period(3_600, end, 2e9)


def test_points_of_graphs() -> None:
    week = period(7 * 86_400, 1e9, 2e9)
    assert (week.points, week.step) == (28, 21_600)
    assert week.before == Period(week.start - 7 * 86_400, week.start)
    assert (period(60, 1e9, 2e9).points, period(600, 1e9, 2e9).step) == (1, 60)
