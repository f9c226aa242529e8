"""Saved objects of Kibana as searches: what a panel would ask of an engine, so that tests can ask it.

Only what the shipped objects use: KQL of `field: value`, `field: *`, comparisons, `and`, `or`, `not` and parentheses;
aggregations count, avg, sum, max, percentiles, terms, date_histogram.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

FILE = Path(__file__).resolve().parents[2] / "elk" / "kibana" / "objects.ndjson"
_TOKEN = re.compile(r'\s*(?:(\()|(\))|(>=|<=|>|<|:)|"((?:[^"\\]|\\.)*)"|([^\s():<>"]+))')
_RANGE = {">=": "gte", "<=": "lte", ">": "gt", "<": "lt"}

Object = dict[str, Any]


def shipped() -> dict[tuple[str, str], Object]:
    """(type, id) -> saved object."""
    objects = [json.loads(line) for line in FILE.read_text("utf-8").splitlines()]
    return {(o["type"], o["id"]): o for o in objects}


def source(saved: Object) -> Object:
    """The search source of a search, visualization or dashboard."""
    return dict(json.loads(saved["attributes"]["kibanaSavedObjectMeta"]["searchSourceJSON"]))


def data_view(saved: Object) -> str:
    """Id of the data view that a search or visualization asks."""
    name = source(saved)["indexRefName"]
    (found,) = [r["id"] for r in saved["references"] if r["name"] == name and r["type"] == "index-pattern"]
    return str(found)


def index(saved: Object) -> str:
    """The index pattern that it asks."""
    return str(shipped()["index-pattern", data_view(saved)]["attributes"]["title"])


def kql(text: str) -> Object:
    """A KQL query as query DSL. Raises ValueError for what is none."""
    if not text.strip():
        return {"match_all": {}}
    tokens = list(_tokens(text))
    query, rest = _either(tokens)
    if rest:
        raise ValueError(f"{text!r}: left over {rest}")
    return query


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    at = 0
    while text[at:].strip():
        match = _TOKEN.match(text, at)
        if match is None:
            raise ValueError(f"{text!r} at {at}")
        at = match.end()
        opened, closed, operator, quoted, word = match.groups()
        if opened or closed:
            yield (opened or closed), ""
        elif operator:
            yield "op", operator
        elif quoted is not None:
            yield "text", re.sub(r"\\(.)", r"\1", quoted)
        else:
            yield ("word", word)


def _either(tokens: list[tuple[str, str]]) -> tuple[Object, list[tuple[str, str]]]:
    query, tokens = _both(tokens)
    found = [query]
    while tokens and tokens[0] == ("word", "or"):
        query, tokens = _both(tokens[1:])
        found.append(query)
    return (found[0] if len(found) == 1 else {"bool": {"should": found, "minimum_should_match": 1}}), tokens


def _both(tokens: list[tuple[str, str]]) -> tuple[Object, list[tuple[str, str]]]:
    query, tokens = _one(tokens)
    found = [query]
    while tokens and tokens[0] == ("word", "and"):
        query, tokens = _one(tokens[1:])
        found.append(query)
    return (found[0] if len(found) == 1 else {"bool": {"filter": found}}), tokens


def _one(tokens: list[tuple[str, str]]) -> tuple[Object, list[tuple[str, str]]]:
    if not tokens:
        raise ValueError("the query ends too soon")
    if tokens[0] == ("word", "not"):
        query, rest = _one(tokens[1:])
        return {"bool": {"must_not": [query]}}, rest
    if tokens[0][0] == "(":
        query, rest = _either(tokens[1:])
        if not rest or rest[0][0] != ")":
            raise ValueError("a parenthesis is not closed")
        return query, rest[1:]
    if len(tokens) < 3 or tokens[0][0] != "word" or tokens[1][0] != "op" or tokens[2][0] not in ("word", "text"):
        raise ValueError(f"no `field: value` at {tokens[:3]}")
    name, operator, (kind, value) = tokens[0][1], tokens[1][1], tokens[2]
    if operator != ":":
        return {"range": {name: {_RANGE[operator]: value}}}, tokens[3:]
    if kind == "word" and value == "*":
        return {"exists": {"field": name}}, tokens[3:]
    return {"match_phrase": {name: value}}, tokens[3:]


def fields_of_query(text: str) -> set[str]:
    """Names of fields in a KQL query."""
    tokens = list(_tokens(text))
    return {
        value
        for n, (kind, value) in enumerate(tokens)
        if kind == "word" and n + 1 < len(tokens) and tokens[n + 1][0] == "op"
    }


def visual(saved: Object) -> Object:
    """The state of a visualization."""
    return dict(json.loads(saved["attributes"]["visState"]))


def fields(saved: Object) -> set[str]:
    """Every field that an object names."""
    attributes = saved["attributes"]
    if saved["type"] == "index-pattern":
        return {attributes["timeFieldName"], *json.loads(attributes["fieldFormatMap"])}
    if saved["type"] == "dashboard":
        return set()
    named = fields_of_query(source(saved)["query"]["query"])
    if saved["type"] == "search":
        return named | set(attributes["columns"]) | {field for field, _ in attributes["sort"]}
    return named | {a["params"]["field"] for a in visual(saved)["aggs"] if "field" in a["params"]}


def search(saved: Object) -> Object:
    """The body of the `_search` that a saved search or a visualization stands for."""
    query = kql(source(saved)["query"]["query"])
    if saved["type"] == "search":
        sort = [{field: {"order": order}} for field, order in saved["attributes"]["sort"]]
        return {"size": 50, "query": query, "sort": sort}
    return {"size": 0, "track_total_hits": True, "query": query, "aggs": _nested(visual(saved)["aggs"])}


def _nested(aggs: list[Object]) -> Object:
    metrics = {a["id"]: _metric(a) for a in aggs if a["schema"] == "metric" and a["type"] != "count"}
    buckets = [a for a in aggs if a["schema"] != "metric"]
    body: Object = metrics
    for bucket in reversed(buckets):
        body = {bucket["id"]: {**_bucket(bucket, metrics), "aggs": body} if body else _bucket(bucket, metrics)}
    return body


def _metric(agg: Object) -> Object:
    params = agg["params"]
    if agg["type"] == "percentiles":
        return {"percentiles": {"field": params["field"], "percents": params["percents"]}}
    return {agg["type"]: {"field": params["field"]}}


def _bucket(agg: Object, metrics: Mapping[str, Any]) -> Object:
    params = agg["params"]
    if agg["type"] == "date_histogram":
        return {"date_histogram": {"field": params["field"], "fixed_interval": "1m", "min_doc_count": 1}}
    assert agg["type"] == "terms", agg["type"]
    order = params["orderBy"] if params["orderBy"] in metrics else "_count"
    return {"terms": {"field": params["field"], "size": params["size"], "order": {order: params["order"]}}}


def empty(saved: Object, answer: Object) -> str:
    """What of the panel would show nothing; the empty text where everything shows something."""
    if saved["type"] == "search":
        return "" if answer["hits"]["hits"] else "no hit"
    if not answer["hits"]["total"]["value"]:
        return "no hit"
    return _hollow(answer.get("aggregations", {}))


def _hollow(aggregations: Object) -> str:
    for name, found in aggregations.items():
        if "buckets" in found:
            if not found["buckets"]:
                return f"aggregation {name} has no bucket"
            inner = [_hollow({k: v for k, v in b.items() if isinstance(v, dict)}) for b in found["buckets"]]
            if all(inner):
                return inner[0]
        elif "values" in found:
            if all(value is None for value in found["values"].values()):
                return f"aggregation {name} has no value"
        elif "value" in found and found["value"] is None:
            return f"aggregation {name} has no value"
    return ""
