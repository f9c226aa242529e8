"""What a store is asked: less than the query, never more."""

from __future__ import annotations

import pytest

from sidecar.lookup.store import Condition, Needs, Pieces, Term
from sidecar.lookup.traceql.narrow import MAX_ALTERNATIVES, companions_of, needs_of
from sidecar.lookup.traceql.parser import parse

ANY = (Needs(),)


def eq(scope: str, name: str, *values: object) -> Condition:
    return Condition(Term(scope, name), values)


SERVICE = eq("intrinsic", "service", "shop")
ERROR = eq("intrinsic", "status", "error")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("{ status = error }", ()),
        ('{ status = error } >> { resource.service.name = "shop" }', (Needs((SERVICE,)),)),
        ('{ resource.service.name = "shop" } && { resource.service.name = "shop" }', (Needs((SERVICE,)),)),
        ('({ status = error } ~ { resource.service.name = "shop" }) | count() > 1', (Needs((SERVICE,)),)),
        ("{ status = error } >> { }", ()),
        ('{ status = error } || { resource.service.name = "shop" }', ()),
        ('{ status = error } !>> { resource.service.name = "shop" }', ()),
    ],
)
def test_companions(query: str, expected: tuple[Needs, ...]) -> None:
    assert companions_of(parse(query).source) == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("{}", ANY),
        ('{ resource.service.name = "shop" }', (Needs((SERVICE,)),)),
        ('{ resource.service.name = "shop" && status = error }', (Needs((SERVICE, ERROR)),)),
        ('{ resource.service.name = "shop" || status = error }', (Needs((SERVICE,)), Needs((ERROR,)))),
        ('{ resource.service.name = "shop" || .a != 1 }', ANY),
        ('{ resource.service.name = "shop" && .a != 1 }', (Needs((SERVICE,)),)),
        ('{ resource.service.name != "shop" }', ANY),
        ('{ !(resource.service.name = "shop") }', ANY),
        ('{ .a =~ "x|y" }', (Needs((eq("", "a", "x", "y"),)),)),
        ('{ .a =~ "x.*" }', (Needs((Condition(Term("", "a"), pieces=Pieces(("x", ""))),)),)),
        ('{ .a !~ "x.*" }', ANY),
        ('{ .a =~ "x\\\\.y|z" }', (Needs((eq("", "a", "x.y", "z"),)),)),
        ("{ .a = nil }", ANY),
        ("{ duration > 1s }", (Needs((Condition(Term("intrinsic", "duration"), low=1e9),)),)),
        ("{ 1s > duration }", (Needs((Condition(Term("intrinsic", "duration"), high=1e9),)),)),
        ("{ traceDuration > 1s }", ANY),
        ('{ event:name = "x" }', ANY),
        # Both sides have a span: the rarer one leads.
        ('{ resource.service.name = "shop" } && { status = error }', (Needs((ERROR,)),)),
        ('{ status = error } >> { resource.service.name = "shop" }', (Needs((ERROR,)),)),
        ('{ resource.service.name = "shop" } || { status = error }', (Needs((SERVICE,)), Needs((ERROR,)))),
        # The left side need not be there.
        ('{ status = error } !>> { resource.service.name = "shop" }', (Needs((SERVICE,)),)),
        ('{ resource.service.name = "shop" } | count() > 2', (Needs((SERVICE,)),)),
        ("({ status = error } | count() > 2) && { }", (Needs((ERROR,)),)),
        ("{ " + " || ".join(f".a = {n}" for n in range(MAX_ALTERNATIVES + 1)) + " }", ANY),
    ],
)
def test_needs(query: str, expected: tuple[Needs, ...]) -> None:
    assert needs_of(parse(query).source) == expected
