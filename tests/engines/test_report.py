"""`sidecar report` by the installed program over two weeks that a real Prometheus has, beside what was put into them;
and over a sidecar that it scrapes. The page in a real browser."""

from __future__ import annotations

import base64
import json
import os
import ssl
import subprocess
import urllib.request
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from playwright.sync_api import Page
from sklearn.metrics import f1_score, precision_score, recall_score
from support import page_data
from support import report_data as data
from support.api_server import Gate, served
from support.certificates import authority
from support.engines import SidecarProcess, free_port, run_prometheus, sidecar_command, sidecar_process, wait_for
from support.engines.browser import axe_problems, run_chromium
from support.load import figures, total, waiting
from support.promql import query
from support.report_data import EVIL, Fleet

from sidecar.deliver.common.http import Reply
from sidecar.serve.pages.metric_families import Histogram

CHURN = {"model": "churn", "version": "7"}
TWO_WEEKS = ["--web.enable-remote-write-receiver", "--storage.tsdb.retention.time=90d"]


@dataclass(frozen=True, slots=True)
class Weeks:
    """A Prometheus with two weeks of a fleet, and what is in them."""

    url: str
    fleet: Fleet
    page: Path
    """The report of the second one."""
    found: dict[str, Any]
    """The same as JSON."""

    def model(self, name: str, version: str) -> dict[str, Any]:
        (one,) = [m for m in self.found["models"] if (m["model"], m["version"]) == (name, version)]
        return dict(one)


def report(*arguments: object, code: int = 0, **env: str) -> subprocess.CompletedProcess[bytes]:
    command = [sidecar_command(), "report", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, timeout=300, check=False, env={**os.environ, **env})
    assert done.returncode == code, (done.returncode, done.stdout[-2000:], done.stderr.decode()[-2000:])
    assert b"Traceback" not in done.stderr
    return done


@pytest.fixture(scope="module")
def weeks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Weeks]:
    folder = tmp_path_factory.mktemp("weeks")
    with run_prometheus("{}", TWO_WEEKS) as server:
        fleet = data.filled(server.url)
        asked = ("--prometheus", server.url, "--end", data.END)
        report(*asked, "--out", folder / "report.html")
        found = json.loads(report(*asked, "--format", "json").stdout)
        yield Weeks(server.url, fleet, folder / "report.html", found)


def test_counts_are_exact_over_pods_that_came_and_went(weeks: Weeks) -> None:
    for name, version in (("churn", "7"), ("fraud", "4")):
        shown, own = weeks.model(name, version), {"model": name, "version": version}
        counted = weeks.fleet.of(1, "model_predictions_total", **own)
        failed = weeks.fleet.of(1, "model_predictions_total", **own, status="error")
        assert counted > 500
        if name == "churn":
            assert shown["predictions"] == counted
            assert shown["errors"]["value"] == failed / counted
            assert shown["before"]["predictions"] == weeks.fleet.of(0, "model_predictions_total", **own)
            assert sum(point["predictions"] for point in shown["history"]) == counted
            assert len(shown["history"]) == 28
        classes = {one["class"]: one["predictions"] for one in shown["classes"]}
        names = [
            dict(key)["class"]
            for key in weeks.fleet.weeks[1]
            if dict(key).get("class") and own.items() <= dict(key).items()
        ]
        assert classes == {
            one: weeks.fleet.of(1, "model_predictions_by_class_total", **own, **{"class": one}) for one in set(names)
        }


def test_a_counter_that_was_reset_is_nearly_right(weeks: Weeks) -> None:
    """The sample before the reset is the last that is known."""
    shown = weeks.model("fraud", "3")
    counted = weeks.fleet.of(1, "model_predictions_total", model="fraud", version="3")
    assert shown["predictions"] == pytest.approx(counted, rel=0.05)


def test_outcomes_are_those_of_all_labelled_rows(weeks: Weeks) -> None:
    shown = weeks.model("churn", "7")
    for week, found in ((0, shown["before"]["outcomes"]), (1, shown["outcomes"])):
        matrix: Counter[tuple[str, str]] = Counter()
        for key, n in weeks.fleet.weeks[week].items():
            labels = dict(key)
            if labels["__name__"] == "model_outcomes_total" and labels["model"] == "churn":
                matrix[labels["predicted"], labels["actual"]] += round(n)
        predicted = [said for (said, _), n in matrix.items() for _ in range(n)]
        actual = [true for (_, true), n in matrix.items() for _ in range(n)]
        assert found["rows"] == len(actual) > 1_000
        assert found["accuracy"]["value"] == sum(n for (said, true), n in matrix.items() if said == true) / len(actual)
        averages = found["averages"]
        assert averages["precision"] == pytest.approx(precision_score(actual, predicted, average="weighted"))
        assert averages["recall"] == pytest.approx(recall_score(actual, predicted, average="weighted"))
        assert averages["f1"] == pytest.approx(f1_score(actual, predicted, average="weighted"))
    assert shown["window"] == {
        "window": "7d",
        "rows": 30_000,
        "figures": {"ROC AUC": 0.84, "calibration error": 0.061, "of perfect calibration": 0.012},
    }


def test_quantiles_are_those_of_all_calls(weeks: Weeks) -> None:
    shown = weeks.model("churn", "7")["latency"]
    bounds = [*(f"{bound:g}" for bound in data.BOUNDS), "+Inf"]
    name = "model_inference_latency_seconds_bucket"
    counts = tuple(weeks.fleet.of(1, name, **CHURN, le=bound) for bound in bounds)
    whole = Histogram(data.BOUNDS, counts)
    assert shown["calls"] == whole.count
    assert [shown[q] for q in ("p50", "p95", "p99")] == pytest.approx([whole.quantile(q) for q in (0.5, 0.95, 0.99)])


def test_the_feature_that_moved_comes_first_with_its_importance(weeks: Weeks) -> None:
    shown = weeks.model("churn", "7")
    first = shown["features"][0]
    assert (first["feature"], first["state"], first["importance"]) == (data.MOVED, "drifted", data.FEATURES[data.MOVED])
    assert (shown["features_drifted"], len(shown["features"])) == (1, len(data.FEATURES))
    rows = [data.rows_of(data.MOVED, number, True) for number in range(data.BINS)]
    assert [one["live"] for one in first["bins"]] == pytest.approx([n / sum(rows) for n in rows])
    assert [one["reference"] for one in first["bins"]] == [1 / data.BINS] * data.BINS


def test_changes_incidents_and_experiments(weeks: Weeks) -> None:
    changes = [
        (one["kind"], one["text"].split(":")[0].split("(")[0].strip()) for one in weeks.model("churn", "7")["changes"]
    ]
    assert changes == [
        ("worse", "Errors"),
        ("worse", "Latency p95"),
        ("worse", "Accuracy"),
        ("worse", f"Feature {data.MOVED} has drifted"),
    ]
    assert weeks.model("fraud", "4")["before"] is None
    critical, drift = weeks.found["incidents"]
    assert (critical["name"], critical["times"], critical["firing"]) == ("LatencyP95Critical", 2, False)
    spans = data.ALERTS["LatencyP95Critical", "critical"]
    assert critical["seconds"] == pytest.approx(
        sum(end - begin for begin, end in spans), abs=4 * weeks.found["alert_step"]
    )
    assert (drift["name"], drift["times"], drift["firing"]) == ("DriftDetected", 1, True)
    (experiment,) = weeks.found["experiments"]
    control, other = experiment["variants"]
    assert (control["variant"], control["exposures"], other["exposures"]) == ("current", 4_000, 4_100)
    assert other["conversion_rate"]["value"] == 520 / 4_100
    assert other["lifts"][0]["p_value"] == pytest.approx(0.008)
    assert {one["service"]: one["requests"] for one in weeks.found["services"]}["churn-api"] == weeks.fleet.of(
        1, "traces_span_metrics_calls_total", service_name="churn-api"
    )


def test_only_one_model_and_another_end(weeks: Weeks) -> None:
    asked = ("--prometheus", f"{weeks.url}/", "--format", "json", "--end", data.END - data.WEEK, "--model", "churn")
    found = json.loads(report(*asked).stdout)
    (one,) = found["models"]
    assert one["predictions"] == weeks.fleet.of(0, "model_predictions_total", **CHURN)
    assert (found["compared"], one["before"], one["changes"]) == (False, None, [])


@pytest.mark.parametrize(
    "arguments", [("--end", "2023-01-01"), ("--model", "no.such|model", "--end", data.END)], ids=["end", "model"]
)
def test_nothing_to_report(weeks: Weeks, arguments: tuple[str, ...]) -> None:
    done = report("--prometheus", weeks.url, *arguments, code=1)
    assert "has nothing about models in this time" in done.stderr.decode()
    assert done.stdout == b""


def test_addresses_where_no_prometheus_is(weeks: Weeks) -> None:
    port = free_port()
    closed = report("--prometheus", f"http://127.0.0.1:{port}", code=1).stderr.decode()
    assert f"Prometheus at http://127.0.0.1:{port} gives no answer: unreachable" in closed
    assert "does not answer as Prometheus does" in report("--prometheus", f"{weeks.url}/graph", code=1).stderr.decode()
    assert "does not answer as a sidecar does" in report("--sidecar", f"{weeks.url}/graph", code=1).stderr.decode()


def test_credentials_and_certificates_of_a_prometheus(tmp_path: Path) -> None:
    """`secret` is the password; the hash is bcrypt's."""
    pair = authority(tmp_path).issue("prometheus")
    web = {
        "tls_server_config": {"cert_file": str(pair.cert), "key_file": str(pair.key)},
        "basic_auth_users": {"reporter": "$2b$04$lWb3JjMVE2jeLzXRkqk5n.PiPA53FP6hdD2shZQkLVYhSG1rbMxo6"},
    }
    (tmp_path / "web.yml").write_text(yaml.safe_dump(web))
    (tmp_path / "password").write_text("secret\n")
    tls = ("--ca-file", tmp_path / "ca.pem")
    user = ("--username", "reporter", "--password-file", tmp_path / "password")
    credentials = base64.b64encode(b"reporter:secret").decode()
    trust = ssl.create_default_context(cafile=tmp_path / "ca.pem")

    def ready(address: str) -> bool:
        request = urllib.request.Request(address, headers={"Authorization": f"Basic {credentials}"})
        with urllib.request.urlopen(request, timeout=60, context=trust) as answer:
            return int(answer.status) == 200

    flags = [f"--web.config.file={tmp_path / 'web.yml'}"]
    with run_prometheus("{}", flags, scheme="https", ready=ready) as server:
        assert "gives no answer: tls" in report("--prometheus", server.url, code=1).stderr.decode()
        assert "refuses the credentials (HTTP 401)" in report("--prometheus", server.url, *tls, code=1).stderr.decode()
        found = report("--prometheus", server.url, *tls, *user, code=1).stderr.decode()
        assert "has nothing about models in this time" in found


def test_a_run_of_mlflow_with_the_token_of_a_file(weeks: Weeks, tmp_path: Path) -> None:
    bodies: dict[str, bytes] = {}

    def answer(method: str, path: str, body: bytes, headers: Any) -> Reply:
        bodies[path.partition("?")[0]] = body
        run = {"info": {"run_id": "r1", "artifact_uri": "mlflow-artifacts:/3/r1/artifacts"}}
        return Reply(200, json.dumps({"experiment": {"experiment_id": "3"}, "run": run}).encode())

    (tmp_path / "token").write_text("t0ken\n")
    gate = Gate("/tracking", "Bearer t0ken", Reply(401, b"{}"), Reply(404, b"{}"))
    asked = ("--prometheus", weeks.url, "--end", data.END, "--model", "churn", "--out", tmp_path)
    with served(answer, gate) as url:
        refused = report(*asked, "--mlflow", url, code=1).stderr.decode()
        assert "refuses experiments/get-by-name (HTTP 401)" in refused
        said = report(*asked, "--mlflow", url, "--mlflow-token-file", tmp_path / "token").stderr.decode()
    assert "MLflow: run r1 of model-sidecar" in said
    logged = json.loads(bodies["/api/2.0/mlflow/runs/log-batch"])["metrics"]
    values = {one["key"]: one["value"] for one in logged}
    assert values["churn-api/churn/7/predictions"] == weeks.fleet.of(1, "model_predictions_total", **CHURN)
    page = bodies["/api/2.0/mlflow-artifacts/artifacts/3/r1/artifacts/report.html"]
    (written,) = tmp_path.glob("report-*.html")
    assert page.startswith(b"<!doctype html>")
    assert len(page) == pytest.approx(written.stat().st_size, abs=100)


def test_the_page_at_two_widths_dark_and_light(weeks: Weeks) -> None:
    """No name becomes a script, nothing is loaded, nothing is wider than the window, and axe-core finds nothing.
    Pictures go to `SIDECAR_TEST_SCREENSHOTS`, where it is set."""
    named = os.environ.get("SIDECAR_TEST_SCREENSHOTS")
    with run_chromium() as browser:
        page = browser.new_page()
        problems: list[str] = []
        requests: list[str] = []
        page.on("console", lambda message: problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        for width in (1280, 390):
            page.set_viewport_size({"width": width, "height": 900})
            for scheme in ("light", "dark"):
                page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]  # a literal
                _looks_right(page, weeks.page.as_uri())
                if named:
                    page.screenshot(path=Path(named) / f"report-{width}-{scheme}.png", full_page=True)
    assert problems == []
    assert {url for url in requests if not url.startswith("data:")} == {weeks.page.as_uri()}


def _looks_right(page: Page, url: str) -> None:
    page.goto(url)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    wider = "all => all.filter(c => c.scrollWidth > c.clientWidth + 1).map(c => c.innerText)"
    assert page.locator("td, th").evaluate_all(wider) == [], "no cell lies over the one beside it"
    assert page.evaluate("window.harmed") is None
    assert axe_problems(page) == []
    assert page.evaluate("getComputedStyle(document.querySelector('.card')).borderTopWidth") == "1px", (
        "style is in force"
    )
    assert page.get_by_role("article", name=EVIL).count() == 1
    heights = page.locator("article svg.chart rect.live").evaluate_all("all => all.map(r => +r.getAttribute('height'))")
    assert len(heights) == len(data.FEATURES) * data.BINS
    assert all(height > 0 for height in heights)


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[SidecarProcess, str]]:
    """A sidecar with a model, and the address of a Prometheus that has all of it."""
    folder = tmp_path_factory.mktemp("scraped")
    environ = {**page_data.environ(folder, "http://127.0.0.1:9"), "SIDECAR_DELIVER__ELASTICSEARCH__ENABLED": "false"}
    with sidecar_process(environ, folder) as sidecar:
        static = [{"targets": [sidecar.serve_url.removeprefix("http://")], "labels": {"service": "churn"}}]
        job = {"job_name": "model-sidecar", "honor_labels": True, "static_configs": static}
        # The first scrape shows series at 0: one that times out on a busy machine would have shown it to nobody.
        config = {"global": {"scrape_interval": "3s", "scrape_timeout": "3s"}, "scrape_configs": [job]}
        with run_prometheus(yaml.safe_dump(config)) as server:
            wait_for(lambda: bool(query(server.url, "sidecar_build_info")), 60, "a scrape")
            page_data.send_all(sidecar)

            def checked() -> bool:
                page_data.send_features(sidecar)
                return total(figures(sidecar.serve_url), "data_drift_detected", 'feature="age"') == 1

            wait_for(checked, 60, "drift to be checked", interval=0.5)
            sent = total(figures(sidecar.serve_url), "model_predictions_total")
            counted = f"sum(model_predictions_total) == {sent} and on () (sum(model_outcomes_total) == 60)"
            everything = f"{counted} and on () (sum(data_drift_detected) == 1)"
            wait_for(lambda: bool(query(server.url, everything)), 60, "Prometheus to have all of it", interval=0.5)
            yield sidecar, server.url


def test_a_scraped_sidecar_and_the_sidecar_itself_say_the_same(scraped: tuple[SidecarProcess, str]) -> None:
    sidecar, prometheus = scraped
    own = figures(sidecar.serve_url)
    ways = (("--prometheus", prometheus, "--period", "1h"), ("--sidecar", sidecar.serve_url))
    for found in (json.loads(report(*way, "--format", "json").stdout) for way in ways):
        by_service = {one["service"]: one for one in found["models"] if one["model"] == "churn"}
        shop = by_service["shop"]
        assert shop["predictions"] == 120
        assert {one["class"]: one["predictions"] for one in shop["classes"]} == {"leaves": 102, "stays": 18}
        (quality,) = [one for one in by_service.values() if one["features"]]
        assert (quality["outcomes"]["rows"], quality["outcomes"]["accuracy"]["value"]) == (60, 0.7)
        assert quality["labels"] == {"joined": 60}
        age = quality["features"][0]
        assert (age["feature"], age["state"]) == ("age", "drifted")
        psi = next(one["score"] for one in age["scores"] if one["method"] == "psi")
        assert psi == pytest.approx(total(own, "data_drift_score", 'feature="age"', 'method="psi"'))
        assert {one["kind"]: one["total"] for one in found["tokens"]} == {"input": 1200, "output": 310}
        assert any(one["model"] == page_data.EVIL for one in found["models"])
        errors = {one["service"]: one["errors"]["value"] for one in found["services"]}
        assert errors["gateway"] == 1 / 40


def test_the_store_of_a_running_sidecar_has_what_it_counts(scraped: tuple[SidecarProcess, str]) -> None:
    """As far as it counts without a reference: the store keeps no values of features."""
    sidecar, _ = scraped
    wait_for(lambda: not waiting(sidecar.serve_url), 60, "everything to be in the store")
    attributes = {"SIDECAR_DERIVE__PREDICTIONS__ATTRIBUTES": "true"}
    store = json.loads(
        report("--store", sidecar.data_dir / "journal", "--period", "1h", "--format", "json", **attributes).stdout
    )
    own = json.loads(report("--sidecar", sidecar.serve_url, "--format", "json").stdout)
    keys = ("service", "model", "version")
    by_model = {tuple(one[key] for key in keys): one for one in own["models"]}
    assert {tuple(one[key] for key in keys) for one in store["models"]} == set(by_model)
    for one in store["models"]:
        other = by_model[tuple(one[key] for key in keys)]
        same = ("predictions", "errors", "classes", "outcomes", "labels", "confidence_median", "confidence_rows")
        assert {name: one[name] for name in same} == {name: other[name] for name in same}
        assert (one["features"], one["features_drifted"], one["quality"]) == ([], None, [])
    assert store["tokens"] == own["tokens"]
    counts = ("service", "requests", "errors")
    assert [{k: one[k] for k in counts} for one in store["services"]] == [
        {k: one[k] for k in counts} for one in own["services"]
    ]
    variants = ("variant", "exposures", "conversions", "conversion_rate", "accuracy", "lifts", "requests", "errors")
    shown = [[{k: v[k] for k in variants} for v in e["variants"]] for e in store["experiments"]]
    assert shown == [[{k: v[k] for k in variants} for v in e["variants"]] for e in own["experiments"]]
    assert shown
    assert store["source_lacks"][0] == "drift by feature"
    assert store["source_begins"] is not None
    refused = report("--store", sidecar.data_dir / "nowhere", code=1).stderr.decode()
    assert "no store; expected a folder with store.db" in refused
