"""The files under monitoring/: made files are those of their sources, and every metric that they name exists."""

from __future__ import annotations

import re

import pytest
import yaml
from support import monitoring_source as source

from sidecar.config import loader
from sidecar.derive.red import RedOptions
from sidecar.drills.catalog import DRILLS
from sidecar.drills.drill import Drill
from sidecar.provision.grafana import FOLDER_UID

ALERTS = source.alerts()
KNOWN = (
    source.shown_by_the_sidecar()
    | source.recorded().keys()
    | {n for names in source.exporters().values() for n in names}
)

WITHOUT_DRILL = {
    "FleetDriftDetected": "what no pod finds by itself takes several pods; a drill sends to one",
}
"""Alerts that `sidecar drill` cannot make fire, and why."""
HOW_TO = (source.ROOT / "docs" / "how-to" / "drills.md").read_text("utf-8")


class TestFiles:
    def test_they_are_those_that_build_makes(self) -> None:
        made = source.made()
        differ = [str(p) for p, text in made.items() if (source.ROOT / p).read_text("utf-8") != text]
        assert differ == [], "python monitoring/build.py"
        assert source.build().stale(made) == [], "python monitoring/build.py"

    def test_every_threshold_is_used(self) -> None:
        thresholds = source.build().text.thresholds()
        sources = "".join(p.read_text("utf-8") for p in sorted((source.MONITORING / "source").rglob("*.yaml")))
        assert set(thresholds.named_in(sources)) == thresholds.values.keys()
        assert thresholds.values.keys() - thresholds.comments.keys() == set()

    def test_a_threshold_of_a_service_becomes_a_rule(self) -> None:
        text = (source.MONITORING / "thresholds.yaml").read_text("utf-8")
        changed = text.replace("latency_p95_overrides: {}", "latency_p95_overrides: {batch: 2.5}")
        thresholds = source.build().text.Thresholds(changed)
        files = source.build().rules.files([], thresholds)
        (red,) = [yaml.safe_load(body) for path, body in files.items() if path.name == "recording-red.yml"]
        assert red["groups"][-1]["rules"] == [
            {
                "record": "service:latency_p95_threshold_seconds",
                "expr": "vector(2.5)",
                "labels": {"service_name": "batch"},
            }
        ]

    def test_a_threshold_that_is_none_is_refused(self) -> None:
        text = (source.MONITORING / "thresholds.yaml").read_text("utf-8")
        with pytest.raises(ValueError, match=r"cpu_ratio: 'much'"):
            source.build().text.Thresholds(text.replace("cpu_ratio: 0.80", "cpu_ratio: much"))


class TestMetrics:
    @pytest.mark.parametrize("alert", ALERTS, ids=lambda a: a.name)
    def test_those_of_an_alert_exist(self, alert: source.Any) -> None:
        named = source.metrics_named(alert.expr)
        assert named
        assert named - KNOWN == set()

    def test_those_of_recording_rules_exist(self) -> None:
        missing = {name: source.metrics_named(expr) - KNOWN for name, expr in source.recorded().items()}
        assert {name: found for name, found in missing.items() if found} == {}

    def test_every_metric_of_an_exporter_is_used(self) -> None:
        texts = "\n".join(p.read_text("utf-8") for p in source.MONITORING.rglob("*.y*ml") if p.name != "exporters.yaml")
        texts += "\n".join(expr for _, _, expr in source.panels())
        names = {name for found in source.exporters().values() for name in found}
        assert {name for name in names if not re.search(rf"\b{re.escape(name)}\b", texts)} == set()

    def test_names_that_dashboards_ask_for_are_there(self) -> None:
        assert {name for name in source.LEGACY if name not in KNOWN} == set()

    def test_apdex_is_asked_at_bounds_of_buckets(self) -> None:
        values = source.build().text.thresholds().values
        assert {values["apdex_satisfied"], values["apdex_tolerated"]} <= set(RedOptions().buckets)

    def test_the_business_rules_are_a_configuration(self) -> None:
        path = source.MONITORING / "sidecar" / "business-rules.yaml"
        rules = loader.load({}, path).derive.section("rules")
        assert {rule.name for rule in rules} == set(source.exporters()["business-rules"])


class TestAlerts:
    def test_names_differ(self) -> None:
        assert len({alert.name for alert in ALERTS}) == len(ALERTS)

    @pytest.mark.parametrize("alert", ALERTS, ids=lambda a: a.name)
    def test_an_alert_says_what_is_needed(self, alert: source.Any) -> None:
        assert {"severity", "team", "category", "condition"} <= alert.labels.keys()
        assert {"summary", "description", "runbook_url", "dashboard_url"} == alert.annotations.keys()
        page = source.ROOT / "docs" / "runbooks" / f"{alert.name}.md"
        assert alert.annotations["runbook_url"].endswith(f"/{alert.name}.md")
        assert page.exists()
        assert len(alert.meaning) > 40
        assert alert.check
        assert alert.fix

    def test_an_expression_is_read_for_its_metrics(self) -> None:
        expr = 'sum by (a) (rate(x_total{b="c_total"}[5m])) / on (d) group_left () y:z:rate5m > 1e3 and w offset 1d'
        assert source.metrics_named(expr) == {"x_total", "y:z:rate5m", "w"}


class TestDrills:
    def test_every_alert_has_a_drill_or_is_known_to_have_none(self) -> None:
        assert {a.name for a in ALERTS if not a.drill} == WITHOUT_DRILL.keys()
        assert {(a.name, a.drill) for a in ALERTS if a.drill} == {(d.alert, d.name) for d in DRILLS}
        assert len({drill.name for drill in DRILLS}) == len(DRILLS)

    @pytest.mark.parametrize("drill", DRILLS, ids=lambda d: d.name)
    def test_it_does_something_and_is_in_the_how_to(self, drill: Drill) -> None:
        assert drill.telemetry or drill.before or drill.fault
        assert f"| `{drill.name}` | {drill.alert} |" in HOW_TO


class TestDashboards:
    def test_they_are_those_that_build_makes(self) -> None:
        made = source.made_dashboards()
        differ = [str(p) for p, text in made.items() if (source.ROOT / p).read_text("utf-8") != text]
        assert differ == [], "python monitoring/build_dashboards.py"
        folders = {(source.ROOT / path).parent for path in made}
        there = {file.relative_to(source.ROOT) for folder in folders for file in folder.iterdir()}
        assert there == made.keys()

    @pytest.mark.parametrize(("panel", "kind", "expr"), source.panels(), ids=lambda v: str(v)[:60])
    def test_metrics_of_a_panel_exist(self, panel: str, kind: str, expr: str) -> None:
        named = source.metrics_named(source.asked(expr))
        assert named
        assert named - KNOWN == set()

    @pytest.mark.parametrize("board", source.dashboards().values(), ids=lambda b: b["uid"])
    def test_panels_say_what_they_show_and_have_their_place(self, board: source.Any) -> None:
        cells: set[tuple[int, int]] = set()
        for panel in board["panels"]:
            place = panel["gridPos"]
            mine = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
            assert not mine & cells, panel["title"]
            cells |= mine
            if panel["type"] != "row":
                assert len(panel["description"]) > 5, panel["title"]
                assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
                assert panel["targets"], panel["title"]
        assert max(x for x, _ in cells) == 23
        assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])

    def test_alerts_lead_to_dashboards_and_panels_to_runbooks_that_are_there(self) -> None:
        assert {a.dashboard for a in ALERTS} <= source.dashboards().keys()
        links = {
            link["url"]
            for board in source.dashboards().values()
            for p in board["panels"]
            for link in p.get("links", ())
        }
        assert len(links) > 15
        assert {url for url in links if not (source.ROOT / url).exists()} == set()

    def test_the_table_of_panels_names_panels_that_there_are(self) -> None:
        page = (source.ROOT / "docs" / "reference" / "panels.md").read_text("utf-8")
        rows = [line.split("|") for line in page.splitlines() if line.startswith("| ")][2:]
        there = {f"{uid}: {p['title']}" for uid, board in source.dashboards().items() for p in board["panels"]}
        named = [name for row in rows for name in re.findall(r"`([^`]+)`", row[3])]
        assert len(rows) > 50
        assert all(re.search(r"`[^`]+`", row[3]) for row in rows)
        assert set(named) - there == set()

    def test_latency_has_exemplars(self) -> None:
        targets = [t for p in source.dashboards()["sidecar-application"]["panels"] for t in p.get("targets", ())]
        assert [t["expr"] for t in targets if t.get("exemplar")]

    def test_data_sources_are_named_once(self) -> None:
        folder = source.MONITORING / "grafana" / "provisioning"
        files = sorted((folder / "datasources").glob("*.yaml"))
        sources = [one for f in files for one in yaml.safe_load(f.read_text("utf-8"))["datasources"]]
        assert len({one["uid"] for one in sources}) == len(sources)
        assert [one["type"] for one in sources if one.get("isDefault")] == ["prometheus"]
        linked = set(re.findall(r"datasourceUid: (\S+)", "".join(f.read_text("utf-8") for f in files)))
        assert linked == {"sidecar-traces", "sidecar-logs", "sidecar-prometheus"} <= {one["uid"] for one in sources}
        (provider,) = yaml.safe_load((folder / "dashboards" / "model-sidecar.yaml").read_text("utf-8"))["providers"]
        assert provider["folderUid"] == FOLDER_UID
