"""The arguments of an expectation, read one by one. What is not understood is refused: a rule that means something else
than its author thinks is worse than none."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, cast

import numpy as np

from sidecar.decode.api import F64
from sidecar.decode.otlp.limits import MAX_FEATURE_CHARS
from sidecar.derive.quality.distinct import MAX_DISTINCT
from sidecar.derive.quality.row_rules import Bounds, TypeClass
from sidecar.derive.quality.values import Value

MAX_MEMBERS = MAX_DISTINCT
"""Of a set."""
MAX_PATTERNS = 20
_CUT = f"texts are cut at {MAX_FEATURE_CHARS} characters; expected shorter ones"
_IGNORED = {"batch_id", "catch_exceptions", "description", "include_config", "meta", "notes", "profiler_config"}
_IGNORED |= {"rendered_content", "result_format", "severity"}
"""Arguments that change what is reported, not what is expected."""
_WHOLE = ("int", "uint", "integer", "bigint", "smallint", "tinyint", "long", "short", "byte")
_FLOAT = ("float", "double", "real", "decimal", "numeric", "number", "half")
_TEXT = ("str", "string", "text", "varchar", "char", "unicode")
_BOOL = ("bool", "boolean")


class NotEvaluated(Exception):
    """It says why an expectation is not."""


class Arguments:
    """Of one expectation. What is never asked for is refused by `finish`."""

    def __init__(self, kwargs: Mapping[str, Any]) -> None:
        self._left = {name: value for name, value in kwargs.items() if value is not None and name not in _IGNORED}
        for name, value in self._left.items():
            if isinstance(value, dict) and "$PARAMETER" in value:
                raise NotEvaluated(f"{name} is a parameter of the run")

    def finish(self) -> None:
        """No argument is left."""
        left = [name for name, value in self._left.items() if value is not False]
        if left:
            raise NotEvaluated(f"argument {_shown(left[0])} is not supported")

    def column(self) -> str:
        """The name of the column."""
        found = self._left.pop("column", None)
        if not isinstance(found, str) or not found:
            raise NotEvaluated("no column")
        return found[:MAX_FEATURE_CHARS]

    def mostly(self) -> float:
        """The share of values that have to be as expected."""
        found = self._number("mostly")
        if found is None:
            return 1.0
        if not 0 <= found <= 1:
            raise NotEvaluated(f"invalid mostly: {found}; expected a share from 0 to 1")
        return found

    def flag(self, name: str, default: bool = False) -> bool:
        """True or false."""
        found = self._left.pop(name, default)
        if not isinstance(found, bool):
            raise NotEvaluated(f"invalid {name}: {_shown(found)}; expected true or false")
        return found

    def choice(self, name: str, among: tuple[str, ...]) -> str:
        """One of some words, the first where it is not given."""
        found = self._left.pop(name, among[0])
        if found not in among:
            raise NotEvaluated(f"invalid {name}: {_shown(found)}; expected {', '.join(among)}")
        return str(found)

    def bounds(self) -> Bounds:
        """`min_value` and `max_value`. Texts, which are times, are not taken."""
        low, high = self._number("min_value"), self._number("max_value")
        if low is not None and high is not None and low > high:
            raise NotEvaluated("min_value is greater than max_value")
        return Bounds(low, high, self.flag("strict_min"), self.flag("strict_max"))

    def exactly(self) -> Bounds:
        """`value` as both bounds."""
        found = self._number("value")
        if found is None:
            raise NotEvaluated("no value")
        return Bounds(found, found, False, False)

    def members(self) -> frozenset[Value]:
        """`value_set`; a bool is the number 0 or 1."""
        found = self._list("value_set", MAX_MEMBERS)
        for member in found:
            if member is not None and not isinstance(member, (str, int, float)):
                raise NotEvaluated(f"value_set has {_shown(member)}; expected numbers, texts and bools")
            if isinstance(member, str) and len(member) >= MAX_FEATURE_CHARS:
                raise NotEvaluated(f"value_set has a text of {len(member)} characters; {_CUT}")
        return frozenset(_plain(member) for member in found if member is not None)

    def patterns(self) -> list[str]:
        """`regex`, or `regex_list`."""
        found = [self._left.pop("regex")] if "regex" in self._left else self._list("regex_list", MAX_PATTERNS)
        if not found or not all(isinstance(pattern, str) for pattern in found):
            raise NotEvaluated("invalid regex; expected a text")
        return cast(list[str], found)

    def types(self) -> frozenset[TypeClass]:
        """`type_`, or `type_list`."""
        found = [self._left.pop("type_")] if "type_" in self._left else self._list("type_list", MAX_MEMBERS)
        return frozenset(map(_type_class, found))

    def names(self, name: str) -> frozenset[str]:
        """A list of names of columns."""
        found = self._list(name, MAX_MEMBERS)
        if not all(isinstance(one, str) for one in found):
            raise NotEvaluated(f"invalid {name}; expected names of columns")
        return frozenset(one[:MAX_FEATURE_CHARS] for one in found)

    def quantiles(self) -> tuple[list[float], list[tuple[float, float]]]:
        """`quantile_ranges`: the quantiles, and the range of each."""
        found = self._left.pop("quantile_ranges", None)
        try:
            shares = [float(share) for share in found["quantiles"]]
            ranges = [
                (-math.inf if low is None else float(low), math.inf if high is None else float(high))
                for low, high in found["value_ranges"]
            ]
        except (KeyError, TypeError, ValueError, OverflowError):
            raise NotEvaluated("invalid quantile_ranges; expected lists `quantiles` and `value_ranges`") from None
        if not shares or len(shares) != len(ranges) or len(shares) > MAX_MEMBERS:
            raise NotEvaluated("invalid quantile_ranges; expected a range for each quantile")
        if not all(0 <= share <= 1 for share in shares):
            raise NotEvaluated("invalid quantile_ranges; expected quantiles from 0 to 1")
        return shares, ranges

    def quantile_method(self) -> str:
        """`allow_relative_error`: how quantiles between two values are computed."""
        if self._left.get("allow_relative_error") is False:
            del self._left["allow_relative_error"]
        return self.choice("allow_relative_error", ("nearest", "linear", "lower", "higher", "midpoint"))

    def _number(self, name: str) -> float | None:
        found = self._left.pop(name, None)
        if found is None:
            return None
        if isinstance(found, bool) or not isinstance(found, (int, float)):
            raise NotEvaluated(f"invalid {name}: {_shown(found)}; expected a number")
        try:
            number = float(found)
        except OverflowError:
            raise NotEvaluated(f"{name} is larger than a double") from None
        if math.isnan(number):
            raise NotEvaluated(f"invalid {name}: NaN; expected a number")
        return number

    def _list(self, name: str, longest: int) -> list[Any]:
        found = self._left.pop(name, None)
        if not isinstance(found, list):
            raise NotEvaluated(f"invalid {name}: {_shown(found)}; expected a list")
        if len(found) > longest:
            raise NotEvaluated(f"{name} has {len(found)} members, at most {longest} are held against")
        return found


def numbers_of(members: Iterable[Value]) -> F64:
    """Those of a set that are numbers, ascending."""
    return np.array(sorted(member for member in members if not isinstance(member, str)), np.float64)


def texts_of(members: Iterable[Value]) -> frozenset[str]:
    """Those that are texts."""
    return frozenset(member for member in members if isinstance(member, str))


def _plain(member: Any) -> Value:
    try:
        return member if isinstance(member, str) else float(member)
    except OverflowError:
        raise NotEvaluated("value_set has a number larger than a double") from None


def _type_class(name: Any) -> TypeClass:
    lowered = str(name).lower().removesuffix("type").rstrip("_")
    bare = lowered.rstrip("0123456789")
    classes: tuple[tuple[TypeClass, tuple[str, ...]], ...] = (
        ("whole", _WHOLE),
        ("number", _FLOAT),
        ("text", _TEXT),
        ("bool", _BOOL),
    )
    for found, names in classes:
        if bare in names:
            return found
    raise NotEvaluated(f"type {_shown(name)} cannot be recognized by the values that arrive")


def _shown(value: Any) -> str:
    return repr(value)[:60]
