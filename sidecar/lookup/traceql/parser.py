"""TraceQL by recursive descent. What it takes is what Grafana's query builder and editor write: see
docs/how-to/trace-lookups.md. Sizes are bounded: `MAX_CHARS`, `MAX_DEPTH`."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

from sidecar.lookup.traceql.lexer import QueryError, Token, attribute_name, tokens
from sidecar.lookup.traceql.query_patterns import check_pattern
from sidecar.lookup.traceql.syntax import (
    INTRINSICS,
    Aggregate,
    Attribute,
    Binary,
    By,
    Coalesce,
    Combined,
    Constant,
    Expression,
    Filter,
    Intrinsic,
    Metric,
    Piped,
    Query,
    Select,
    Spans,
    Stage,
    Unary,
)

MAX_CHARS = 16 << 10
MAX_DEPTH = 40
_COMPARISONS = frozenset(("=", "!=", "<", "<=", ">", ">=", "=~", "!~"))
_RELATIONS = frozenset(
    ("&&", "||", ">", ">>", "<", "<<", "~", "!>", "!>>", "!<", "!<<", "!~", "&>", "&>>", "&<", "&<<", "&~")
)
_STATUSES = frozenset(("error", "ok", "unset"))
_KINDS = frozenset(("unspecified", "internal", "server", "client", "producer", "consumer"))
_AGGREGATES = frozenset(("count", "avg", "min", "max", "sum"))
_METRICS_OF_FIELD = frozenset(
    ("min_over_time", "max_over_time", "avg_over_time", "sum_over_time", "histogram_over_time", "quantile_over_time")
)
_METRICS = _METRICS_OF_FIELD | {"rate", "count_over_time"}
_PRECEDENCE = {"||": 1, "&&": 2, **dict.fromkeys(_COMPARISONS, 3)}
_PRECEDENCE |= {"+": 4, "-": 4, "*": 5, "/": 5, "%": 5, "^": 6}
_ARITHMETIC = frozenset("+-*/%^")


def parse(text: str) -> Query:
    """The query. Raises `QueryError`, which says what is wrong and at which character."""
    if len(text) > MAX_CHARS:
        raise QueryError(f"invalid query: it has {len(text)} characters; expected at most {MAX_CHARS}")
    if not text.strip():
        return Query(Filter(None))
    return _Parser(list(tokens(text))).query()


class _Parser:
    def __init__(self, read: list[Token]) -> None:
        self._tokens, self._place, self._depth = read, 0, 0

    # -- tokens

    @property
    def _next(self) -> Token:
        return self._tokens[self._place]

    def _take(self) -> Token:
        token = self._next
        self._place += token.kind != "end"
        return token

    def _accept(self, *kinds: str) -> Token | None:
        return self._take() if self._next.kind in kinds else None

    def _expect(self, kind: str, where: str) -> Token:
        return self._accept(kind) or self._refuse(f"{kind!r} {where}")

    def _word(self, *words: str) -> bool:
        return self._next.kind == "word" and self._next.text in words

    def _refuse(self, expected: str, token: Token | None = None) -> NoReturn:
        token = token or self._next
        seen = "the end of the query" if token.kind == "end" else repr(token.text)
        raise QueryError(f"invalid query: {seen}; expected {expected}", token.position)

    def _deeper(self) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise QueryError(f"invalid query: nested deeper than {MAX_DEPTH}", self._next.position)

    # -- sets of spans

    def query(self) -> Query:
        source = self._spans()
        stages: list[Stage] = []
        metric: Metric | None = None
        while self._accept("|"):
            if metric is not None:
                metric = self._picked(metric)
            elif self._word(*_METRICS):
                metric = self._metric()
            else:
                stages.append(self._stage())
        if self._word("with"):
            self._hints()
        if self._next.kind != "end":
            self._refuse("'|' or the end of the query")
        return Query(source, tuple(stages), metric)

    def _spans(self) -> Spans:
        self._deeper()
        left = self._either(("||",), lambda: self._either(("&&",), self._related))
        self._depth -= 1
        return left

    def _related(self) -> Spans:
        return self._either(tuple(_RELATIONS - {"&&", "||"}), self._one)

    def _either(self, ops: tuple[str, ...], below: Callable[[], Spans]) -> Spans:
        left = below()
        while op := self._accept(*ops):
            left = Combined(op.kind, left, below())
        return left

    def _one(self) -> Spans:
        if self._accept("("):
            inner = self._spans()
            stages = []
            while self._accept("|"):
                stages.append(self._stage())
            self._expect(")", "after a set of spans")
            return Piped(inner, tuple(stages)) if stages else inner
        self._expect("{", 'to begin a set of spans, such as { name = "predict" }')
        if self._accept("}"):
            return Filter(None)
        begin = self._next
        condition = self._expression(1)
        if _kind(condition) not in ("", "bool"):
            self._refuse('a condition, such as name = "predict"', begin)
        self._expect("}", "after a condition")
        return Filter(condition)

    # -- stages

    def _stage(self) -> Stage:
        token = self._next
        if token.kind in ("{", "("):
            return self._spans()
        if self._word(*_AGGREGATES):
            return self._aggregate()
        if self._word("select"):
            self._take()
            return Select(self._fields("select"))
        if self._word("by"):
            self._take()
            self._expect("(", "after by")
            field = self._expression(1)
            self._expect(")", "after the field of by")
            return By(field)
        if self._word("coalesce"):
            self._take()
            self._expect("(", "after coalesce")
            self._expect(")", "after coalesce(")
            return Coalesce()
        if self._word("compare"):
            raise QueryError("compare() is not supported here", token.position)
        self._refuse(f"a stage: {{ … }}, select, by, coalesce, {', '.join(sorted(_AGGREGATES | _METRICS))}")

    def _aggregate(self) -> Aggregate:
        name = self._take()
        self._expect("(", f"after {name.text}")
        field = None if name.text == "count" else self._expression(1)
        self._expect(")", f"to end {name.text}(")
        op = self._accept("=", "!=", "<", "<=", ">", ">=") or self._refuse(f"a comparison after {name.text}(…)")
        return Aggregate(name.text, field, op.kind, self._number(f"to compare {name.text}(…) with"))

    def _number(self, why: str) -> float:
        sign = -1 if self._accept("-") else 1
        token = self._accept("number", "duration") or self._refuse(f"a number or a duration {why}")
        return sign * float(token.value)

    def _fields(self, of: str) -> tuple[Attribute | Intrinsic, ...]:
        self._expect("(", f"after {of}")
        fields = []
        while True:
            token = self._next
            field = self._operand()
            if not isinstance(field, (Attribute, Intrinsic)):
                self._refuse("a field, such as span.http.route or name", token)
            fields.append(field)
            if not self._accept(","):
                break
        self._expect(")", f"after the fields of {of}")
        return tuple(fields)

    def _metric(self) -> Metric:
        name = self._take()
        self._expect("(", f"after {name.text}")
        field: Expression | None = None
        quantiles: list[float] = []
        if name.text in _METRICS_OF_FIELD:
            field = self._expression(4)
        while name.text == "quantile_over_time" and self._accept(","):
            token = self._next
            quantiles.append(self._number("as a quantile"))
            if not 0 <= quantiles[-1] <= 1:
                self._refuse("a quantile between 0 and 1", token)
        if name.text == "quantile_over_time" and not quantiles:
            self._refuse("a quantile, such as quantile_over_time(duration, 0.95)")
        self._expect(")", f"to end {name.text}(")
        by: tuple[Attribute | Intrinsic, ...] = ()
        if self._word("by"):
            self._take()
            by = self._fields("by")
        return Metric(name.text, field, tuple(quantiles), by)

    def _picked(self, metric: Metric) -> Metric:
        if metric.pick or not self._word("topk", "bottomk"):
            self._refuse("topk or bottomk after a metric")
        name = self._take()
        self._expect("(", f"after {name.text}")
        token = self._next
        count = int(self._number("of series"))
        if count < 1:
            self._refuse("a number of series, at least 1", token)
        self._expect(")", f"to end {name.text}(")
        return Metric(metric.function, metric.field, metric.quantiles, metric.by, name.text, count)

    def _hints(self) -> None:
        """`with (sample=true)`: hints about how a query is run; none changes an answer here."""
        self._take()
        self._expect("(", "after with")
        while self._accept("word"):
            self._expect("=", "after a hint")
            self._operand()
            if not self._accept(","):
                break
        self._expect(")", "after the hints")

    # -- conditions

    def _expression(self, lowest: int) -> Expression:
        self._deeper()
        left = self._operand()
        while (level := _PRECEDENCE.get(self._next.kind, 0)) >= lowest:
            op = self._take()
            # A power is right to left; the others are left to right.
            right = self._expression(level if op.kind == "^" else level + 1)
            self._check(op, left, right)
            left = Binary(op.kind, left, right)
        self._depth -= 1
        return left

    def _check(self, op: Token, left: Expression, right: Expression) -> None:
        if op.kind in ("=~", "!~"):
            if not (isinstance(right, Constant) and isinstance(right.value, str) and right.kind == "text"):
                raise QueryError(f"invalid query: {op.text} needs a pattern in quotes on its right", op.position)
            try:
                check_pattern(right.value)
            except ValueError as error:
                raise QueryError(f"invalid pattern: {error}", op.position) from None
        if op.kind in _COMPARISONS:
            _check_kinds(op, left, right)
        if op.kind in _ARITHMETIC and any(
            isinstance(side, Constant) and side.kind not in ("number", "duration") for side in (left, right)
        ):
            raise QueryError(f"invalid query: {op.text} needs numbers on both sides", op.position)
        if op.kind in ("&&", "||"):
            for side in (left, right):
                _check_truth(op, side)

    def _operand(self) -> Expression:
        token = self._take()
        match token.kind:
            case "(":
                inner = self._expression(1)
                self._expect(")", "after a condition in parentheses")
                return inner
            case "!" | "-":
                return self._unary(token.kind)
            case "text":
                return Constant("text", str(token.value))
            case "number":
                return Constant("number", token.value)
            case "duration":
                return Constant("duration", token.value)
            case "attribute":
                return self._attribute(token)
            case "word":
                return self._name(token)
        self._refuse("a field, a value or a condition", token)

    def _unary(self, op: str) -> Expression:
        self._deeper()
        operand = self._operand()
        self._depth -= 1
        if op == "-" and isinstance(operand, Constant) and isinstance(operand.value, (int, float)):
            return Constant(operand.kind, -operand.value)
        return Unary(op, operand)

    def _attribute(self, token: Token) -> Attribute:
        scope, name = attribute_name(token.text)
        if scope == "parent":
            raise QueryError("fields of the parent are not supported here; use { … } > { … }", token.position)
        if not name:
            self._refuse("the name of an attribute after the point", token)
        return Attribute(scope, name)

    def _name(self, token: Token) -> Expression:
        word = token.text
        if word in INTRINSICS:
            return Intrinsic(INTRINSICS[word])
        if word in ("true", "false"):
            return Constant("bool", word == "true")
        if word == "nil":
            return Constant("nil", None)
        if word in _STATUSES:
            return Constant("status", word)
        if word in _KINDS:
            return Constant("kind", word)
        self._refuse(f"a field such as .{word}, span.{word} or resource.{word}, or text in quotes", token)


_KIND_OF = {"name": "text", "statusMessage": "text", "rootName": "text", "rootServiceName": "text"}
_KIND_OF |= {"duration": "number", "traceDuration": "number", "childCount": "number", "nestedSetParent": "number"}
_KIND_OF |= {"nestedSetLeft": "number", "nestedSetRight": "number"}
_KIND_OF |= {"kind": "kind", "status": "status", "span:id": "text", "span:parentID": "text", "trace:id": "text"}
_KIND_OF |= {"event:name": "text", "link:traceID": "text", "link:spanID": "text", "event:timeSinceStart": "number"}
_KIND_OF |= {"instrumentation:name": "text", "instrumentation:version": "text"}


def _kind(side: Expression) -> str:
    """text, number, bool, status, kind, nil; empty where only the span can tell."""
    match side:
        case Constant(kind, _):
            return "number" if kind == "duration" else kind
        case Intrinsic(name):
            return _KIND_OF[name]
        case Unary("!", _):
            return "bool"
        case Binary(op, _, _) if op in _ARITHMETIC:
            return "number"
        case Binary():
            return "bool"
    return ""


def _check_kinds(op: Token, left: Expression, right: Expression) -> None:
    kinds = {_kind(left), _kind(right)} - {""}
    if "nil" in kinds and op.kind not in ("=", "!="):
        raise QueryError("invalid query: nil can be compared by = and != only", op.position)
    if len(kinds - {"nil"}) > 1:
        raise QueryError(f"invalid query: {' and '.join(sorted(kinds))} cannot be compared", op.position)
    if op.kind in ("<", "<=", ">", ">=") and kinds & {"bool", "status", "kind"}:
        raise QueryError(f"invalid query: {op.text} does not order {kinds.pop()}", op.position)
    if op.kind in ("=~", "!~") and _kind(left) not in ("", "text"):
        raise QueryError("invalid query: a pattern is for text", op.position)


def _check_truth(op: Token, side: Expression) -> None:
    if _kind(side) not in ("", "bool"):
        raise QueryError(f"invalid query: {op.text} needs conditions on both sides", op.position)
