"""What the spans that a query is about must have: a weaker question, which a store can answer from its indexes."""

from __future__ import annotations

from itertools import product

from sidecar.lookup.store import Condition, Needs, Term
from sidecar.lookup.traceql.query_patterns import literals, pieces
from sidecar.lookup.traceql.syntax import (
    Attribute,
    Binary,
    Combined,
    Constant,
    Expression,
    Filter,
    Intrinsic,
    Piped,
    Spans,
)

MAX_ALTERNATIVES = 16
"""Of a condition; one with more is not narrowed."""
_ANY = (Needs(),)
_FLIPPED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}


def needs_of(source: Spans) -> tuple[Needs, ...]:
    """Every trace that matches has a span with one of these."""
    match source:
        case Filter(condition):
            return needs_of_condition(condition)
        case Piped(inner, _):
            return needs_of(inner)
        case Combined("||", left, right):
            return _either(needs_of(left), needs_of(right))
        case Combined(op, _, right) if op.startswith("!"):
            return needs_of(right)
        case Combined(_, left, right):
            return _led(needs_of(left), needs_of(right))[0]


def companions_of(source: Spans) -> tuple[Needs, ...]:
    """Every trace that matches has a span with one of these besides the one of `needs_of`; () where none is needed."""
    match source:
        case Piped(inner, _):
            return companions_of(inner)
        case Combined(op, left, right) if op != "||" and not op.startswith("!"):
            other = _led(needs_of(left), needs_of(right))[1]
            return () if Needs() in other else other
    return ()


def _led(left: tuple[Needs, ...], right: tuple[Needs, ...]) -> tuple[tuple[Needs, ...], tuple[Needs, ...]]:
    """Where both sides have a span: the one that says more, and the other."""
    return (left, right) if _weight(left) >= _weight(right) else (right, left)


def needs_of_condition(condition: Expression | None) -> tuple[Needs, ...]:
    """Every span for which the condition holds has one of these."""
    match condition:
        case Binary("&&", left, right):
            return _both(needs_of_condition(left), needs_of_condition(right))
        case Binary("||", left, right):
            return _either(needs_of_condition(left), needs_of_condition(right))
        case Binary(op, left, right):
            return _comparison(op, left, right)
    return _ANY


def term_of(field: Expression) -> Term | None:
    """The property that a store may know by an index."""
    match field:
        case Intrinsic("name" | "duration" | "kind" | "status" as name):
            return Term("intrinsic", name)
        case Attribute("resource", "service.name"):
            return Term("intrinsic", "service")
        case Attribute("" | "span" | "resource" as scope, name):
            return Term(scope, name)
    return None


def _comparison(op: str, left: Expression, right: Expression) -> tuple[Needs, ...]:
    if isinstance(left, Constant):
        left, right, op = right, left, _FLIPPED.get(op, op)
    term = term_of(left)
    if term is None or not isinstance(right, Constant) or right.value is None:
        return _ANY
    value = right.value
    if op == "=":
        return (Needs((Condition(term, (value,)),)),)
    if op == "=~" and isinstance(value, str):
        texts = literals(value)
        return (Needs((Condition(term, texts) if texts else Condition(term, pieces=pieces(value)),)),)
    if op in ("<", "<=", ">", ">=") and isinstance(value, (int, float)) and not isinstance(value, bool):
        low, high = (value, None) if op[0] == ">" else (None, value)
        return (Needs((Condition(term, low=low, high=high),)),)
    return _ANY


def _either(left: tuple[Needs, ...], right: tuple[Needs, ...]) -> tuple[Needs, ...]:
    if Needs() in (*left, *right) or len(left) + len(right) > MAX_ALTERNATIVES:
        return _ANY
    return tuple(dict.fromkeys((*left, *right)))


def _both(left: tuple[Needs, ...], right: tuple[Needs, ...]) -> tuple[Needs, ...]:
    if len(left) * len(right) > MAX_ALTERNATIVES:
        return min(left, right, key=len)
    return tuple(Needs((*one.every, *other.every)) for one, other in product(left, right))


def _weight(needs: tuple[Needs, ...]) -> float:
    """More for what leaves out more, as far as that can be guessed; few alternatives before many."""
    return min(sum(map(_selectivity, need.every)) for need in needs) - 0.1 * len(needs)


_INTRINSIC = {"service": 1.0, "kind": 0.5, "name": 2.0, "duration": 3.0}


def _selectivity(condition: Condition) -> float:
    """Errors and values of attributes are rarer than slow spans, names, services and kinds, in this order."""
    if condition.pieces is not None:
        return 1.5
    if condition.term.scope != "intrinsic":
        return 4.0 if condition.values else 1.0
    if condition.term.name == "status":
        return 4.0 if condition.values == ("error",) else 0.5
    return _INTRINSIC[condition.term.name]
