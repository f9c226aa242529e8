"""TraceQL: what is taken and refused, beside Grafana's published grammar; what queries find, beside brute force."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest
from support.looking_up import Asker, filled
from support.lookup_traces import START
from support.traceql.corpus import FINDS, REFUSED, SYNTAX, TAKEN, seen

from sidecar.decode.select import decoder
from sidecar.lookup.traceql.lexer import QueryError
from sidecar.lookup.traceql.parser import MAX_CHARS, parse

GRAMMAR = json.loads(SYNTAX.read_text("utf-8"))
NEWER = {*TAKEN[-4:], "{ nestedSetParent < 0 }", "{ childCount > 1 }"}
"""Taken here and not by the published grammar, which is older than the Grafana that writes them."""
STRICTER = {
    "{ name }": "a condition that is no truth",
    '{ "name" }': "a condition that is no truth",
    "{ name = 5 }": "types that never match",
    '{ duration = "1s" }': "types that never match",
    "{ status > error }": "no order",
    "{ status = server }": "types that never match",
    '{ .a =~ "(" }': "no pattern",
    '{ .a =~ "(?=x)" }': "a pattern without a bound on time",
    '{ .a =~ "(a*)*" }': "a pattern without a bound on time",
    "{ .a =~ 5 }": "no pattern",
    "{ .a < nil }": "no order",
    "{ } | quantile_over_time(duration, 2)": "no quantile",
    "{ } | rate() | topk(0)": "no series",
    "{ } | rate() | { }": "nothing follows a metric but topk and bottomk",
    "{ } | select(1)": "no field",
    '{ .a + "x" = 1 }': "no number",
    "{ parent.a = 1 }": "not supported",
    "{ } | compare({ status = error })": "not supported",
    REFUSED[-1]: "nested too deep",
}
"""Refused here though the published grammar takes them: what cannot be true, is not supported, or has no bound."""


@pytest.fixture(scope="module")
def asker(tmp_path_factory: pytest.TempPathFactory) -> Asker:
    return Asker(filled(tmp_path_factory.mktemp("store"), decoder()))


@pytest.mark.parametrize("query", [*FINDS, *TAKEN])
def test_what_the_grammar_takes_is_taken(query: str) -> None:
    parse(query)
    assert GRAMMAR[query] or query in NEWER


@pytest.mark.parametrize("query", REFUSED)
def test_what_is_wrong_is_refused_with_its_place(query: str) -> None:
    assert not GRAMMAR[query] or query in STRICTER
    with pytest.raises(QueryError) as refused:
        parse(query)
    assert 0 <= refused.value.position <= len(query)
    assert f"at character {refused.value.position + 1}" in str(refused.value)


@pytest.mark.parametrize("query", FINDS)
def test_a_search_finds_what_brute_force_finds(asker: Asker, query: str) -> None:
    expected: dict[str, set[str]] = {}
    for one in seen():
        if FINDS[query](one):
            expected.setdefault(one.span.trace_id.hex(), set()).add(one.span.span_id.hex())
    found = asker.get(
        f"/tempo/api/search?q={quote(query)}&start={START // 10**9 - 60}&end={START // 10**9 + 600}&limit=50&spss=100"
    )
    assert found.status == 200, found.body
    got = {
        trace["traceID"]: {span["spanID"] for one in trace["spanSets"] for span in one["spans"]}
        for trace in found.json["traces"]
    }
    assert got == expected


@pytest.mark.parametrize("query", REFUSED)
def test_a_wrong_query_is_400(asker: Asker, query: str) -> None:
    answer = asker.get(f"/tempo/api/search?q={quote(query)}")
    assert answer.status == 400
    assert b"invalid" in answer.body or b"not supported" in answer.body


def test_sizes_are_bounded() -> None:
    with pytest.raises(QueryError, match="characters"):
        parse("{ .a = 1 }" + " " * MAX_CHARS)
    with pytest.raises(QueryError, match="nested"):
        parse("{ " + "!" * 100 + ".a }")
    with pytest.raises(QueryError, match="nested"):
        parse("(" * 100 + "{}" + ")" * 100)
    parse("{ " + " && ".join(f".a{n} = {n}" for n in range(500)) + " }")


def test_what_is_stricter_or_newer_than_the_grammar_is() -> None:
    assert all(GRAMMAR[query] for query in STRICTER)
    assert not any(GRAMMAR[query] for query in NEWER)


def test_the_corpus_is_as_large_as_it_should_be() -> None:
    assert len(FINDS) + len(TAKEN) >= 60
    assert len(REFUSED) >= 40
