"""Predictions and labels from the documents that the Elasticsearch sink makes of log records, and the queries for them.

Read as `derive.outcomes` reads the records themselves, so that the figures are the same. What did not fit a mapping is
taken back from the attribute of conflicts.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from sidecar.decode.predictions.attribute_names import ALIASES, EVENT
from sidecar.decode.predictions.label_event import NAMES, is_label
from sidecar.decode.predictions.label_names import EVENT as LABEL
from sidecar.decode.predictions.label_names import NAMED_BY
from sidecar.decode.predictions.label_record import InvalidLabel, Label, read_label
from sidecar.decode.predictions.prediction_rows import ANSWERING, MEMBERS, PredictedRows, PredictionRowReader
from sidecar.lookup.document_traces import CONFLICTS, joined
from sidecar.outcomes.point_in_time import Hit

Query = dict[str, Any]

_ATTRIBUTES, BODY = "attributes.", "body.structured."
SOURCE: Mapping[str, Any] = {
    "includes": ["attributes", "event_name", "trace_id", "body.text", *(f"{BODY}{name}" for name in sorted(MEMBERS))],
    "excludes": ["attributes.ml.features.*", "attributes.features"],
}
"""What is read of a document: features, by far the most of it, are not."""
PREDICTION_SORT: Sequence[Any] = ({"@timestamp": {"order": "asc", "numeric_type": "date_nanos"}},)
LABEL_SORT: Sequence[Any] = (
    {"observed_timestamp": {"order": "asc", "numeric_type": "date_nanos", "unmapped_type": "date_nanos"}},
)
"""By the time at which they came: the first of two labels counts."""


def prediction_query(reader: PredictionRowReader, begin: int, end: int) -> dict[str, Any]:
    """Records that may be predictions of this time (Unix seconds, `end` included)."""
    answers = [name for concept in ANSWERING for name in ALIASES[concept]]
    named = [any_of(names) for names in (reader.ids, ALIASES["model"], answers)]
    kinds: list[Query] = [{"term": {"event_name": EVENT}}, {"bool": {"filter": named}}]
    return {"bool": {"filter": [_time("@timestamp", begin, end), either(kinds)]}}


def label_query(begin: int, end: int) -> dict[str, Any]:
    """Records that may be labels which came, or say that they are, of this time."""
    came = _time("observed_timestamp", begin, end)
    unknown = {"bool": {"must_not": {"exists": {"field": "observed_timestamp"}}}}
    since = {"bool": {"filter": [unknown, _time("@timestamp", begin, end)]}}
    return {"bool": {"filter": [either([came, since]), either(label_marks())]}}


def label_marks() -> list[Query]:
    """Each finds records that may be labels."""
    return [
        {"term": {"event_name": LABEL}},
        {"match_phrase": {"body.text": LABEL}},
        *({"term": {_ATTRIBUTES + name: LABEL}} for name in NAMED_BY),
    ]


def _time(field: str, begin: int, end: int) -> dict[str, Any]:
    return {"range": {field: {"gte": begin * 1000, "lte": end * 1000, "format": "epoch_millis"}}}


def any_of(names: Sequence[str]) -> Query:
    """Records with one of these attributes at least."""
    return either([{"exists": {"field": _ATTRIBUTES + name}} for name in (*names, CONFLICTS)])


def either(queries: Sequence[Mapping[str, Any]]) -> Query:
    """What one of them finds at least."""
    return {"bool": {"should": list(queries), "minimum_should_match": 1}}


def prediction_of(hit: Hit, reader: PredictionRowReader) -> PredictedRows | None:
    """The prediction of a document that PREDICTION_SORT has sorted; None where it is none."""
    document, attributes, members = read_document(hit)
    event = str(document.get("event_name") or "")
    if event == attributes.get("event.name") and not members:  # Only the document calls it so.
        event = ""
    if event != EVENT and is_label(event, text_of(document), attributes):
        return None
    found = reader.rows_of(event, attributes, members, str(document.get("trace_id") or ""), int(hit["sort"][0]))
    return found if found is not None and found.answers else None


def label_of(hit: Hit) -> Label | str | None:
    """The label of a document, or why it is not what it should be; None where it is none."""
    document, attributes, _ = read_document(hit)
    if not is_label(str(document.get("event_name") or ""), text_of(document), attributes):
        return None
    try:
        return read_label(attributes, written=False, names=NAMES)
    except InvalidLabel as invalid:
        return str(invalid)


def text_of(document: Mapping[str, Any]) -> str:
    """Its body, where that is a text; else empty."""
    body = document.get("body")
    text = body.get("text") if isinstance(body, Mapping) else None
    return text if isinstance(text, str) else ""


def read_document(
    hit: Hit, wanted: Collection[str] = MEMBERS
) -> tuple[Mapping[str, Any], Mapping[str, Any], Mapping[str, Any]]:
    """(document, its attributes, the members of its body that are `wanted`), with what was moved where it was."""
    document = hit["_source"]
    attributes = dict(_flat(joined(document.get("attributes"))))
    body = document.get("body")
    structured = body.get("structured") if isinstance(body, Mapping) else None
    members = {name: structured[name] for name in wanted if name in structured} if isinstance(structured, dict) else {}
    moved = _moved(attributes.pop(CONFLICTS, None))
    for path, value in moved.items():
        if path in ("attributes", "body.structured"):
            whole = attributes if path == "attributes" else members
            whole.update(_flat(value) if isinstance(value, Mapping) else ())
        elif path.startswith(_ATTRIBUTES):
            attributes[path.removeprefix(_ATTRIBUTES)] = value
        elif path.startswith(BODY):
            members[path.removeprefix(BODY)] = value
    return document, attributes, members


def _moved(text: Any) -> Mapping[str, Any]:
    try:
        found = json.loads(text) if isinstance(text, str) else {}
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _flat(attributes: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Attributes by their whole names, whether an index keeps them with dots or as objects."""
    for name, value in attributes.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value
