"""Saved objects for Kibana 8 and 9 and for OpenSearch Dashboards, from `objects.yaml`.

Both take the forms that Kibana 7.9 wrote: OpenSearch Dashboards has them as its own, Kibana migrates them while it
imports. So one file serves both, with the `migrationVersion` of that time on every object.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

MIGRATIONS = {"index-pattern": "7.6.0", "search": "7.9.3", "visualization": "7.10.0", "dashboard": "7.9.3"}
GRID = 48
"""Columns of a dashboard."""

Object = dict[str, Any]


def ndjson(source: Path) -> str:
    """The import file: one object a line, in the order data views, searches, panels, dashboards."""
    return "".join(json.dumps(o, ensure_ascii=False, sort_keys=True) + "\n" for o in objects(source))


def objects(source: Path) -> Iterator[Object]:
    """Every saved object of the description."""
    said = yaml.safe_load(source.read_text("utf-8"))
    for view in said["data_views"]:
        yield _data_view(view)
    for search in said["searches"]:
        yield _search(search)
    kinds = {search["id"]: "search" for search in said["searches"]}
    for panel in said["panels"]:
        kinds[panel["id"]] = "visualization"
        yield _panel(panel)
    for dashboard in said["dashboards"]:
        yield _dashboard(dashboard, kinds)


def _object(kind: str, identity: str, attributes: Object, references: Sequence[Object] = ()) -> Object:
    return {
        "type": kind,
        "id": identity,
        "attributes": attributes,
        "references": list(references),
        "migrationVersion": {kind: MIGRATIONS[kind]},
    }


def _text(value: Any) -> str:
    """Saved objects hold much of themselves as JSON in text."""
    return json.dumps(value, ensure_ascii=False)


def _data_view(view: Mapping[str, Any]) -> Object:
    formats = {
        field: {"id": chosen["format"], "params": {k: v for k, v in chosen.items() if k != "format"}}
        for field, chosen in view["formats"].items()
    }
    attributes = {
        "title": view["title"],
        "timeFieldName": "@timestamp",
        "fields": "[]",
        "fieldFormatMap": _text(formats),
    }
    return _object("index-pattern", view["id"], attributes)


def _source(view: str, query: str) -> tuple[Object, Object]:
    """(what a search or panel asks, the reference to its data view)."""
    name = "kibanaSavedObjectMeta.searchSourceJSON.index"
    asked = {"query": {"language": "kuery", "query": query}, "filter": [], "indexRefName": name}
    return {"searchSourceJSON": _text(asked)}, {"name": name, "type": "index-pattern", "id": view}


def _search(search: Mapping[str, Any]) -> Object:
    meta, reference = _source(search["view"], search["query"])
    attributes = {
        "title": search["title"],
        "description": search["description"],
        "columns": search["columns"],
        "sort": [search.get("sort", ["@timestamp", "desc"])],
        "hits": 0,
        "version": 1,
        "kibanaSavedObjectMeta": meta,
    }
    return _object("search", search["id"], attributes, [reference])


def _panel(panel: Mapping[str, Any]) -> Object:
    if panel["type"] == "markdown":
        shown = {"fontSize": 12, "openLinksInNewTab": False, "markdown": panel["text"]}
        meta: Object = {"searchSourceJSON": _text({"query": {"language": "kuery", "query": ""}, "filter": []})}
        references: list[Object] = []
        aggregations: list[Object] = []
    else:
        meta, reference = _source(panel["view"], panel["query"])
        references = [reference]
        aggregations = _aggregations(panel)
        shown = _PARAMS[panel["type"]](panel, aggregations)
    chart = panel["type"]
    state = {"title": panel["title"], "type": chart, "params": shown, "aggs": aggregations}
    attributes = {
        "title": panel["title"],
        "description": panel.get("description", ""),
        "visState": _text(state),
        "uiStateJSON": "{}",
        "version": 1,
        "kibanaSavedObjectMeta": meta,
    }
    return _object("visualization", panel["id"], attributes, references)


def _aggregations(panel: Mapping[str, Any]) -> list[Object]:
    """Metrics first (the first one is what terms are ordered by), then the time axis, then the splits."""
    found: list[Object] = []

    def add(kind: str, schema: str, params: Object) -> None:
        found.append({"id": str(len(found) + 1), "enabled": True, "type": kind, "schema": schema, "params": params})

    for metric in panel["metrics"]:
        params = {k: v for k, v in metric.items() if k not in ("agg", "label")}
        add(metric["agg"], "metric", params | ({"customLabel": metric["label"]} if "label" in metric else {}))
    if panel["type"] in ("line", "histogram"):
        axis = {
            "field": "@timestamp",
            "useNormalizedEsInterval": True,
            "scaleMetricValues": False,
            "interval": "auto",
            "drop_partials": False,
            "min_doc_count": 1,
            "extended_bounds": {},
        }
        add("date_histogram", "segment", axis)
    schema = {"table": "bucket", "pie": "segment"}.get(panel["type"], "group")
    for split in panel.get("split", ()):
        terms = {
            "field": split["field"],
            "orderBy": "1",
            "order": "desc",
            "size": split.get("size", 10),
            "otherBucket": False,
            "otherBucketLabel": "Other",
            "missingBucket": False,
            "missingBucketLabel": "Missing",
            **({"customLabel": split["label"]} if "label" in split else {}),
        }
        add("terms", schema, terms)
    return found


def _axes(panel: Mapping[str, Any], aggregations: Sequence[Object]) -> Object:
    chart = panel["type"]
    stacked = chart == "histogram"
    return {
        "type": chart,
        "grid": {"categoryLines": False},
        "categoryAxes": [
            {
                "id": "CategoryAxis-1",
                "type": "category",
                "position": "bottom",
                "show": True,
                "style": {},
                "scale": {"type": "linear"},
                "labels": {"show": True, "filter": True, "truncate": 100},
                "title": {},
            }
        ],
        "valueAxes": [
            {
                "id": "ValueAxis-1",
                "name": "LeftAxis-1",
                "type": "value",
                "position": "left",
                "show": True,
                "style": {},
                "scale": {"type": "linear", "mode": "normal"},
                "labels": {"show": True, "rotate": 0, "filter": False, "truncate": 100},
                "title": {"text": panel.get("axis", "")},
            }
        ],
        "seriesParams": [
            {
                "show": True,
                "type": chart,
                "mode": "stacked" if stacked else "normal",
                "data": {"id": a["id"], "label": a["params"].get("customLabel", a["type"])},
                "valueAxis": "ValueAxis-1",
                "drawLinesBetweenPoints": True,
                "lineWidth": 2,
                "showCircles": True,
                "interpolate": "linear",
            }
            for a in aggregations
            if a["schema"] == "metric"
        ],
        "addTooltip": True,
        "addLegend": True,
        "legendPosition": "right",
        "times": [],
        "addTimeMarker": False,
        "labels": {},
        "thresholdLine": {"show": False, "value": 10, "width": 1, "style": "full", "color": "#E7664C"},
    }


def _table(panel: Mapping[str, Any], _aggregations: Sequence[Object]) -> Object:
    return {
        "perPage": 10,
        "showPartialRows": False,
        "showMetricsAtAllLevels": False,
        "showTotal": False,
        "totalFunc": "sum",
        "percentageCol": "",
        "sort": {"columnIndex": None, "direction": None},
    }


def _metric(panel: Mapping[str, Any], _aggregations: Sequence[Object]) -> Object:
    return {
        "addTooltip": True,
        "addLegend": False,
        "type": "metric",
        "metric": {
            "percentageMode": False,
            "useRanges": False,
            "colorSchema": "Green to Red",
            "metricColorMode": "None",
            "colorsRange": [{"from": 0, "to": 10000}],
            "labels": {"show": True},
            "invertColors": False,
            "style": {"bgFill": "#000", "bgColor": False, "labelColor": False, "subText": "", "fontSize": 36},
        },
    }


def _pie(panel: Mapping[str, Any], _aggregations: Sequence[Object]) -> Object:
    return {
        "type": "pie",
        "addTooltip": True,
        "addLegend": True,
        "legendPosition": "right",
        "isDonut": True,
        "labels": {"show": False, "values": True, "last_level": True, "truncate": 100},
    }


_PARAMS = {"line": _axes, "histogram": _axes, "table": _table, "metric": _metric, "pie": _pie}


def _dashboard(dashboard: Mapping[str, Any], kinds: Mapping[str, str]) -> Object:
    panels: list[Object] = []
    references: list[Object] = []
    top = 0
    for row in dashboard["rows"]:
        left = 0
        width = GRID // len(row["panels"])
        for shown in row["panels"]:
            number = str(len(panels) + 1)
            name = f"panel_{number}"
            place = {"x": left, "y": top, "w": width, "h": row["height"], "i": number}
            panels.append(
                {
                    "version": "7.9.3",
                    "gridData": place,
                    "panelIndex": number,
                    "embeddableConfig": {},
                    "panelRefName": name,
                }
            )
            references.append({"name": name, "type": kinds[shown], "id": shown})
            left += width
        top += row["height"]
    attributes = {
        "title": dashboard["title"],
        "description": dashboard["description"],
        "panelsJSON": _text(panels),
        "optionsJSON": _text({"hidePanelTitles": False, "useMargins": True}),
        "version": 1,
        "timeRestore": True,
        "timeFrom": dashboard.get("from", "now-24h"),
        "timeTo": "now",
        "refreshInterval": {"pause": True, "value": 0},
        "kibanaSavedObjectMeta": {
            "searchSourceJSON": _text({"query": {"language": "kuery", "query": ""}, "filter": []})
        },
    }
    return _object("dashboard", dashboard["id"], attributes, references)
