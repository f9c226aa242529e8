"""A reference: what the features, predictions and scores of a model looked like when it was made, as a small JSON file.

A numeric column has about a hundred cells of equal share: `edges` are the upper bounds of all but the last, which has
none. Some of the edges are also ends of the twenty or so bins that counters, PSI and the like are made from. A value
that is frequent has a cell of its own. A column of categories has the most frequent values and how many were others.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from sidecar.derive import mounted_files
from sidecar.derive.mounted_files import InvalidFile, parse_json

FORMAT: Literal["model-sidecar-reference"] = "model-sidecar-reference"
VERSION: Literal[1] = 1
MAX_FILE_BYTES = 32 << 20
MAX_COLUMNS = 10_000
MAX_EDGES = 150
MAX_VALUES = 50
"""Values of a column of categories that are known by name."""
MAX_SHOWN = 3
_EXPECTED = "expected a file of `sidecar profile`"

Role = Literal["feature", "prediction", "score", "label"]
ROLES: tuple[Role, ...] = ("feature", "prediction", "score", "label")
Count = Annotated[int, Field(ge=0)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Column(_Model):
    name: str = Field(min_length=1, max_length=64)
    role: Role = "feature"
    count: Count
    """Rows with a valid value."""
    missing: Count = 0
    invalid: Count = 0
    """Rows with a value of another type, or an infinite one."""

    @property
    def rows(self) -> int:
        return self.count + self.missing + self.invalid


class NumberColumn(_Column):
    """What numbers looked like."""

    type: Literal["number"] = "number"
    mean: Finite = 0.0
    std: Annotated[Finite, Field(ge=0)] = 0.0
    """Of the population (ddof 0)."""
    min: Finite = 0.0
    max: Finite = 0.0
    second: tuple[Finite, Finite] | None = None
    """The least value of the rows without the least one, and the greatest of those without the greatest. None where
    fewer than two rows have a value, and in files of former versions."""
    edges: tuple[Finite, ...] = Field(max_length=MAX_EDGES)
    counts: tuple[Count, ...]
    """Of each cell."""
    bins: tuple[Count, ...] = ()
    """Which of the edges end a bin, ascending; the last bin has no upper end."""
    sums: tuple[Finite, ...]
    """Of the values of each bin."""
    tails: tuple[Finite, Finite] = (0.0, 0.0)
    """Sums of the values of the first and of the last cell."""
    labelled: tuple[Count, ...] | None = None
    """Of a score: rows of each cell whose prediction and label are known. None where there are no labels."""
    correct: tuple[Count, ...] | None = None
    """Those of them whose prediction is the label."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if any(a >= b for a, b in pairwise(self.edges)):
            raise ValueError("edges must be ascending")
        if len(self.counts) != len(self.edges) + 1 or sum(self.counts) != self.count:
            raise ValueError("counts must be one more than edges, and add up to count")
        if any(a >= b for a, b in pairwise(self.bins)) or (self.bins and self.bins[-1] >= len(self.edges)):
            raise ValueError("bins must be ascending places of edges")
        if len(self.sums) != len(self.bins) + 1:
            raise ValueError("sums must be one more than bins")
        if self.min > self.max:
            raise ValueError("min must be at most max")
        if self.second is not None and not self.min <= min(self.second) <= max(self.second) <= self.max:
            raise ValueError("second must be from min to max")
        self._check_labelled()
        return self

    def _check_labelled(self) -> None:
        if (self.labelled is None) != (self.correct is None):
            raise ValueError("labelled and correct belong together")
        labelled, correct = self.labelled or (), self.correct or ()
        if labelled and len(labelled) != len(self.counts):
            raise ValueError("labelled must be as many as counts")
        if len(labelled) != len(correct) or any(a > b for a, b in zip(correct, labelled, strict=False)):
            raise ValueError("correct must be as many as labelled, and at most these")


class CategoryColumn(_Column):
    """Which values there were."""

    type: Literal["category"] = "category"
    values: dict[Annotated[str, Field(max_length=64)], Count] = Field(max_length=MAX_VALUES)
    """The most frequent ones, with how often they were there."""
    rest: Count = 0
    """Rows with another value."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if sum(self.values.values()) + self.rest != self.count:
            raise ValueError("values and rest must add up to count")
        return self


Column = Annotated[NumberColumn | CategoryColumn, Field(discriminator="type")]


class Reference(_Model):
    """The columns of one model."""

    format: Literal["model-sidecar-reference"] = FORMAT
    version: Literal[1] = VERSION
    model: str = Field(default="", max_length=1024)
    """Empty: of any model."""
    model_version: str = Field(default="", max_length=1024)
    """Empty: of any version of the model."""
    rows: Count
    columns: tuple[Column, ...] = Field(max_length=MAX_COLUMNS)

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        keys = [(column.role, column.name if column.role == "feature" else "") for column in self.columns]
        if len(set(keys)) != len(keys):
            raise ValueError("columns must have distinct names, and each other role at most one column")
        return self

    def dump(self) -> str:
        """As JSON text, always the same for the same reference."""
        return "".join(dumped(self, self.columns))

    def digest(self) -> str:
        """Eight hexadecimal digits that tell references apart."""
        return digest(self, self.columns)

    def column(self, name: str, role: Role = "feature") -> NumberColumn | CategoryColumn | None:
        """The column of this role (and name, for a feature)."""
        return next((c for c in self.columns if c.role == role and (c.name == name or role != "feature")), None)


def dumped(head: Reference, columns: Iterable[Column]) -> Iterator[str]:
    """The JSON text of a reference in pieces, with these columns instead of those of `head`. Column by column: all of
    them as objects at once would leave more memory behind than the state of their models takes."""
    yield _json(head.model_dump(mode="json", exclude={"columns"})).removesuffix("}") + ',"columns":['
    for place, column in enumerate(columns):
        yield "," * (place > 0) + _json(column.model_dump(mode="json"))
    yield "]}\n"


def digest(head: Reference, columns: Iterable[Column]) -> str:
    """Eight hexadecimal digits that tell references apart, of one with these columns instead of those of `head`."""
    found = hashlib.sha256()
    for piece in dumped(head, columns):
        found.update(piece.encode())
    return found.hexdigest()[:8]


def _json(found: dict[str, Any]) -> str:
    return json.dumps(found, separators=(",", ":"), ensure_ascii=False)


def load(path: Path) -> Reference:
    """The reference in a file. Raises InvalidFile."""
    return mounted_files.load(path, "reference", MAX_FILE_BYTES, parse)


def parse(data: bytes) -> Reference:
    """The reference that JSON text holds. Raises InvalidFile."""
    found = parse_json(data, _EXPECTED)
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise InvalidFile(f"its format is not {FORMAT}; {_EXPECTED}")
    if found.get("version") != VERSION:
        shown = str(found.get("version"))[:20]
        raise InvalidFile(f"version {shown} of the format; expected {VERSION}: make it again with this program")
    try:
        return Reference.model_validate(found)
    except ValidationError as error:
        places = [f"{_place(found, e['loc'])}: {e['msg']}" for e in error.errors()[:MAX_SHOWN]]
        raise InvalidFile("; ".join(places)) from None


def _place(found: Any, path: tuple[int | str, ...]) -> str:
    """The path of an error, a column by its name."""
    if len(path) > 1 and path[0] == "columns" and isinstance(path[1], int):
        column = found["columns"][path[1]]
        name = column.get("name") if isinstance(column, dict) else None
        return ".".join([f"columns[{str(name or path[1])[:64]}]", *map(str, path[3:])])
    return ".".join(map(str, path)) or "reference"
