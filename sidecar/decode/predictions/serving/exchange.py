"""Where in a log record the request and the response of a model are, and what stands beside them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from sidecar.decode.documents.text import label, number
from sidecar.decode.otlp.message import Value
from sidecar.decode.predictions.attribute_names import ALIASES
from sidecar.decode.predictions.failures import all_errors, is_empty, is_error
from sidecar.decode.predictions.serving.call import Answers, Asked, Call, Part, no_columns

Members = Mapping[str, Value]

REQUEST = ("request", "request_body", "input", "payload")
RESPONSE = ("response", "response_body", "output", "result")
"""Members in which loggers put a request's or response's body. Without one it stands among the record's own members."""
IDS = ("ml.prediction.id", "prediction_id", "inferenceId", "eventId", "correlationid", "request_id")
SERVICE = "service.name"
_NONE: Members = {}


@dataclass(frozen=True, slots=True)
class Record:
    """One accepted log record."""

    event: str
    time: int
    """Unix ns."""
    attributes: Members
    body: Value = None
    resource: Members = field(default_factory=dict)
    place: int = 0
    """Among the accepted records of the payload."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """A record opened."""

    own: Members
    """The record's attributes and the members of its body."""
    asked: Value
    """The request's body, or what may be one; None where this record has none."""
    answered: Value
    """The same of the response."""
    record: Record
    apart: bool = False
    """`answered` is the body of a response and nothing else."""
    broken: bool = False
    """There is a response, and nothing in it, or a page for a browser."""
    model: str = ""
    id: str = ""
    exchange: str = ""


def members(value: Value) -> Members:
    """A map's members; none of anything else."""
    return value if isinstance(value, dict) else _NONE


def opened(record: Record) -> Exchange:
    """A record of an ordinary logger."""
    body = members(record.body)
    own = {**body, **record.attributes}
    asked, answered = _wrapped(own, REQUEST), _wrapped(own, RESPONSE)
    broken = answered is None and any(name in own and _is_broken(own[name]) for name in RESPONSE)
    return Exchange(own, asked or own, answered or own, record, apart=answered is not None, broken=broken)


def _is_broken(response: Value) -> bool:
    return is_empty(response) or is_error(response) or (isinstance(response, list) and all_errors(response))


def _wrapped(own: Members, names: tuple[str, ...]) -> dict[str, Value] | None:
    for name in names:
        found = own.get(name)
        if isinstance(found, dict) and found:
            return found
    return None


def first(found: Members, names: tuple[str, ...]) -> str:
    """The first of these members that has a text, number or bool, as text; empty where none has."""
    for name in names:
        if name in found:
            value = found[name]
            if isinstance(value, str | int | float) and value != "":
                return label(value)
    return ""


def call(
    protocol: str,
    exchange: Exchange,
    asked: Asked | None,
    answers: Answers | None,
    failed: bool = False,
) -> Call | None:
    """The call that these halves make; None where there is neither. Model, version and id are those that the record
    names, else the response, else the request, else the resource."""
    if asked is None and answers is None and not failed:
        return None
    if failed:
        answers = Answers(answers.rows) if answers else None
    part: Part = "request" if answers is None and not failed else "response" if asked is None else "both"
    places = _places(exchange)
    return Call(
        protocol,
        part,
        service=first(exchange.record.resource, (SERVICE,)),
        model=model_of(exchange) or first(exchange.record.resource, (SERVICE,)),
        version=_found(places, ALIASES["version"]),
        id=exchange.id or _found(places, IDS) or (asked.id if asked else ""),
        exchange=exchange.exchange,
        time=exchange.record.time,
        rows=_rows(asked, answers, failed),
        failed=failed,
        classes=answers.classes if answers else {},
        values=answers.values if answers else (),
        scores=answers.scores if answers else (),
        table=asked.table if asked else no_columns,
        seconds=seconds(exchange.own),
    )


def _rows(asked: Asked | None, answers: Answers | None, failed: bool) -> int:
    """Rows that were answered; of a call that failed those that were asked for."""
    counts = asked.rows if asked else 0, answers.rows if answers else 0
    return max(counts) if failed else counts[1] or counts[0]


def model_of(exchange: Exchange) -> str:
    """The model that the record, or else its resource, names; empty where neither does."""
    return exchange.model or _found((*_places(exchange), exchange.record.resource), ALIASES["model"])


def _places(exchange: Exchange) -> tuple[Members, ...]:
    bodies = (exchange.answered, exchange.asked)
    return exchange.own, *(members(body) for body in bodies if body is not exchange.own)


def _found(places: tuple[Members, ...], names: tuple[str, ...]) -> str:
    return next((text for place in places if (text := first(place, names))), "")


def seconds(own: Members) -> float | None:
    """How long it took, if given under a name that says the unit."""
    for concept, scale in (("seconds", 1.0), ("milliseconds", 1e-3)):
        for name in ALIASES[concept]:
            if name in own and 0 <= (found := number(own[name]) * scale) < math.inf:
                return found
    return None


def has_failed(exchange: Exchange, asked: Asked | None, answers: Answers | None) -> bool:
    """Whether the response beside a request, or that of an event of its own, is an error whatever its status was: it
    says so, or has an answer for no row, or an error for each."""
    found = exchange.answered
    says_so = exchange.apart and any(all_errors(members(found).get(name)) for name in ("predictions", "outputs"))
    if answers is None:
        says_so = says_so or exchange.broken or (exchange.apart and (is_error(found) or is_empty(found)))
        return asked is not None and says_so
    return says_so or (exchange.apart and answers.rows == 0 and (asked is None or asked.rows > 0))
