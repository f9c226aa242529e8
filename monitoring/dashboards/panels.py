"""Panels and dashboards as few words as possible, and what the Grafana Foundation SDK makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from grafana_foundation_sdk.builders import bargauge, prometheus, stat, table, timeseries
from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.models import common, dashboard
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

TAG = "model-sidecar"
SOURCE = dashboard.DataSourceRef(type_val="prometheus", uid="${datasource}")
WIDTH = 24

Kind = Literal["timeseries", "stat", "table", "bargauge"]


@dataclass(frozen=True, slots=True)
class Query:
    """An expression of PromQL and how its series are called."""

    expr: str
    legend: str = ""
    exemplars: bool = False
    """Traces behind single points; only where the expression reads a histogram's buckets."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel. `warn` and `alarm` are the alerts' thresholds; a value beyond them is coloured."""

    title: str
    description: str
    unit: str
    queries: Sequence[Query]
    kind: Kind = "timeseries"
    width: int = 8
    height: int = 8
    warn: float | None = None
    alarm: float | None = None
    low_is_bad: bool = False
    stacked: bool = False
    alert: str = ""
    """Alert whose runbook is linked."""


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under a heading."""

    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True, slots=True)
class Variable:
    """A choice of values of a label. `All` matches series without the label too."""

    name: str
    label: str
    query: str


@dataclass(frozen=True, slots=True)
class Board:
    """A dashboard."""

    uid: str
    title: str
    description: str
    rows: Sequence[Row]
    variables: Sequence[Variable] = field(default=())


NAMESPACE = Variable("namespace", "Namespace", "label_values(up, namespace)")
SERVICE = Variable("service", "Service", "label_values(traces_span_metrics_calls_total, service_name)")
SERVER = Variable(
    "service",
    "Service",
    'label_values(traces_span_metrics_calls_total{span_kind="SPAN_KIND_SERVER"}, service_name)',
)
"""For panels of requests: a service that only calls others has none."""
MODEL = Variable("model", "Model", "label_values(model_info, model)")
VERSION = Variable("version", "Version", 'label_values(model_info{model=~"$model"}, version)')


def rendered(board: Board, runbooks: str) -> dashboard.Dashboard:
    """As Grafana takes it. `runbooks`: base address of the runbook pages."""
    made = (
        builders.Dashboard(board.title)
        .uid(board.uid)
        .description(board.description)
        .tags([TAG])
        .editable()
        .tooltip(dashboard.DashboardCursorSync.CROSSHAIR)
        .refresh("30s")
        .time("now-3h", "now")
        .timezone("browser")
        .link(
            builders.DashboardLink("Model sidecar")
            .type(dashboard.DashboardLinkType.DASHBOARDS)
            .tags([TAG])
            .as_dropdown(True)
            .include_vars(True)
            .keep_time(True)
        )
        .annotation(_annotation("Alerts", 'ALERTS{alertstate="firing",severity=~"critical|warning"}', "red"))
        .annotation(_annotation("Versions", VERSION_CHANGES, "blue"))
        .with_variable(builders.DatasourceVariable("datasource").label("Data source").type("prometheus"))
    )
    for variable in board.variables:
        made = made.with_variable(_variable(variable))
    number = y = 0
    for row in board.rows:
        number += 1
        made = made.with_row(builders.Row(row.title).id(number).grid_pos(dashboard.GridPos(h=1, w=WIDTH, x=0, y=y)))
        y += 1
        x = height = 0
        for panel in row.panels:
            if x + panel.width > WIDTH:
                x, y, height = 0, y + height, 0
            number += 1
            place = dashboard.GridPos(h=panel.height, w=panel.width, x=x, y=y)
            made = made.with_panel(_panel(panel, runbooks).id(number).grid_pos(place))
            x, height = x + panel.width, max(height, panel.height)
        y += height
    return made.build()


VERSION_CHANGES = (
    "count by (service, model, version) (model_info) unless count by (service, model, version) (model_info offset 5m)"
)


def _annotation(name: str, expr: str, color: str) -> builders.AnnotationQuery:
    return (
        builders.AnnotationQuery().name(name).datasource(SOURCE).enable(True).hide(False).icon_color(color).expr(expr)
    )


def _variable(variable: Variable) -> builders.QueryVariable:
    return (
        builders.QueryVariable(variable.name)
        .label(variable.label)
        .query(variable.query)
        .datasource(SOURCE)
        .refresh(dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(dashboard.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(dashboard.VariableOption(selected=True, text="All", value="$__all"))
    )


def _panel(panel: Panel, runbooks: str) -> Any:
    made = _of_kind(panel)
    made = made.title(panel.title).description(panel.description).unit(panel.unit).datasource(SOURCE)
    made = made.thresholds(_thresholds(panel)).no_value("no data")
    if panel.alert:
        url = f"{runbooks.rstrip('/')}/{panel.alert}.md"
        made = made.links([builders.DashboardLink(f"Runbook {panel.alert}").url(url).target_blank(True)])
    for number, query in enumerate(panel.queries):
        made = made.with_target(_target(query, panel.kind, number))
    return made


def _of_kind(panel: Panel) -> Any:
    if panel.kind == "stat":
        return stat.Panel().reduce_options(common_builders.ReduceDataOptions().calcs(["lastNotNull"]))
    if panel.kind == "table":
        return table.Panel()
    if panel.kind == "bargauge":
        return bargauge.Panel().reduce_options(common_builders.ReduceDataOptions().calcs(["lastNotNull"]))
    made = timeseries.Panel().fill_opacity(10).show_points(common.VisibilityMode.NEVER)
    legend = common_builders.VizLegendOptions().display_mode(common.LegendDisplayMode.TABLE)
    made = made.legend(legend.placement(common.LegendPlacement.BOTTOM).calcs(["mean", "max", "lastNotNull"]))
    if panel.warn is not None or panel.alarm is not None:
        style = common_builders.GraphThresholdsStyleConfig().mode(common.GraphThresholdsStyleMode.DASHED)
        made = made.thresholds_style(style)
    if panel.stacked:
        made = made.stacking(common_builders.StackingConfig().mode(common.StackingMode.NORMAL))
    return made


def _thresholds(panel: Panel) -> builders.ThresholdsConfig:
    limits = [(panel.warn, "orange"), (panel.alarm, "red")]
    if panel.low_is_bad:
        # Colours go up from the worst.
        steps = [dashboard.Threshold(color="red" if panel.alarm is not None else "orange", value=None)]
        if panel.alarm is not None:
            after = "orange" if panel.warn is not None else "green"
            steps.append(dashboard.Threshold(color=after, value=panel.alarm))
        if panel.warn is not None:
            steps.append(dashboard.Threshold(color="green", value=panel.warn))
    else:
        steps = [dashboard.Threshold(color="green", value=None)]
        steps += [dashboard.Threshold(color=color, value=value) for value, color in limits if value is not None]
    return builders.ThresholdsConfig().mode(dashboard.ThresholdsMode.ABSOLUTE).steps(steps)


def _target(query: Query, kind: Kind, number: int) -> prometheus.Dataquery:
    made = (
        prometheus.Dataquery().expr(query.expr).legend_format(query.legend or "__auto").ref_id(chr(ord("A") + number))
    )
    if kind == "table":
        return made.instant().format(PromQueryFormat.TABLE)
    made = made.instant() if kind in ("stat", "bargauge") else made.range()
    return made.exemplar(query.exemplars)
