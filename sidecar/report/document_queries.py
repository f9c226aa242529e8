"""What a report asks of documents, in the query language of Elasticsearch and OpenSearch. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sidecar.decode.api import UNKNOWN_SERVICE
from sidecar.decode.predictions.attribute_names import EVENT, STAGES, aliases
from sidecar.decode.predictions.experiment_names import ASSIGNMENTS, CONVERSION_EVENTS, EXPOSURE_EVENTS, NAMED_BY
from sidecar.decode.predictions.prediction_rows import ANSWERING
from sidecar.deliver.elasticsearch.trace_queries import SERVICE
from sidecar.derive.registry import DeriveOptions
from sidecar.outcomes.prediction_documents import any_of, either, label_marks
from sidecar.report.period import Period

Query = dict[str, Any]
MAX_SERVICES = 1_000
PERCENTS = (50, 95, 99)
_DIGITS = 3
"""Of a percentile that are exact."""


def within(period: Period) -> Query:
    """Documents after the begin of a period, up to its end."""
    ends = {"gt": int(period.start * 1000), "lte": int(period.end * 1000), "format": "epoch_millis"}
    return {"range": {"@timestamp": ends}}


def records_query(derive: DeriveOptions, period: Period) -> Query:
    """Records and spans that tell of predictions, exposures, conversions and labels; there may be others among them."""
    experiments, predictions = derive.section("experiments"), derive.section("predictions")
    events = (*EXPOSURE_EVENTS, *CONVERSION_EVENTS, *experiments.conversion_events)
    kinds: list[Query] = [
        {"terms": {"event_name": [EVENT, *events]}},
        *({"terms": {f"attributes.{name}": list(events)}} for name in NAMED_BY),
        *label_marks(),
        *({"bool": {"filter": [_exists(name) for name in pair]}} for pair in ASSIGNMENTS),
    ]
    if predictions.attributes:
        names = aliases(predictions.aliases)
        model = any_of(names["model"])
        telling = [name for concept in (*ANSWERING, "stage") for name in names[concept]]
        kinds.append({"bool": {"filter": [model, any_of(telling)]}})
        kinds.append({"bool": {"filter": [model, {"terms": {"name": list(STAGES)}}]}})
    return {"bool": {"filter": [within(period), either(kinds)]}}


def _exists(name: str) -> Query:
    return {"exists": {"field": f"attributes.{name}"}}


def services_search(period: Period) -> Mapping[str, Any]:
    """Requests that services answered: how many, which failed, which were sampled, and how long they took."""
    percentiles = {"field": "duration", "percents": PERCENTS, "hdr": {"number_of_significant_value_digits": _DIGITS}}
    each = {
        "failed": {"filter": {"term": {"status.code": "Error"}}},
        "sampled": {"filter": {"wildcard": {"trace_state": "*ot=*th:*"}}},
        "durations": {"percentiles": percentiles},
    }
    services = {"field": SERVICE, "size": MAX_SERVICES, "missing": UNKNOWN_SERVICE}
    return {
        "size": 0,
        "track_total_hits": False,
        "query": {"bool": {"filter": [within(period), {"term": {"kind": "Server"}}]}},
        "aggs": {"services": {"terms": services, "aggs": each}},
    }


def first_search(period: Period) -> Mapping[str, Any]:
    """The earliest document."""
    return {
        "size": 0,
        "track_total_hits": False,
        "query": within(period),
        "aggs": {"first": {"min": {"field": "@timestamp"}}},
    }
