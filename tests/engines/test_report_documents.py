"""`sidecar report` by the installed program over two weeks of documents in real engines, beside what was put into them;
the pages of it and of an embedded store in a real browser."""

from __future__ import annotations

import json
import os
import subprocess
import uuid
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sklearn.metrics import f1_score, precision_score, recall_score, roc_auc_score
from support.delivery import delivered
from support.engines import free_port, sidecar_command
from support.engines.browser import axe_problems, run_chromium
from support.report_traffic import CLASSES, END, EVIL, SPLIT, START, WEEK, Call, Weeks, entries, quantile, stored, weeks
from support.search_client import ask

pytestmark = [pytest.mark.engine, pytest.mark.slow]


@dataclass(frozen=True, slots=True)
class Documents:
    """An engine with two weeks of documents, and the report of the second."""

    url: str
    environ: dict[str, str]
    weeks: Weeks
    found: dict[str, Any]

    def model(self, version: str) -> dict[str, Any]:
        (one,) = [m for m in self.found["models"] if (m["model"], m["version"]) == ("churn", version)]
        return dict(one)


def run(environ: dict[str, str], *arguments: object, code: int = 0) -> subprocess.CompletedProcess[bytes]:
    command = [sidecar_command(), *map(str, arguments)]
    env = {"PATH": "/usr/bin:/bin", **environ}
    done = subprocess.run(command, capture_output=True, timeout=300, check=False, env=env)
    assert done.returncode == code, (done.returncode, done.stdout[-2000:], done.stderr.decode()[-2000:])
    assert b"Traceback" not in done.stderr
    return done


@pytest.fixture(scope="module", params=["opensearch_url", "elasticsearch_url", "elasticsearch8_url"])
def documents(request: pytest.FixtureRequest) -> Documents:
    url = request.getfixturevalue(request.param)
    name = uuid.uuid4().hex
    happened = weeks(name)
    delivered(url, entries(happened.in_order()))
    environ = {
        "SIDECAR_OUTCOMES__ELASTICSEARCH__LOGS": f"logs-generic.otel-{name}",
        "SIDECAR_OUTCOMES__ELASTICSEARCH__INDEX": f"figures-{name}",
        "SIDECAR_LOOKUP__ELASTICSEARCH__TRACES": f"traces-generic.otel-{name}",
    }
    for end in (SPLIT, END):
        # Windows have whole hours: of the hour's last second they are of the hour that ends.
        run(environ, "outcomes", "--elasticsearch", url, "--at", end - 1)
    ask(f"{url}/_refresh")
    asked = ("report", "--elasticsearch", url, "--end", END, "--format", "json")
    return Documents(url, environ, happened, json.loads(run(environ, *asked).stdout))


def of_version(calls: list[Call], version: str) -> list[Call]:
    return [call for call in calls if call.version == version]


def test_predictions_of_both_weeks(documents: Documents) -> None:
    shown = documents.model("7")
    for found, start, end in ((shown, SPLIT, END), (shown["before"], START, SPLIT)):
        calls = of_version(documents.weeks.calls_of("churn", start, end), "7")
        rows = sum(call.rows for call in calls)
        assert found["predictions"] == rows
        assert found["errors"]["value"] == sum(call.failed for call in calls) / rows
        assert found["latency"]["calls"] == len(calls)
        for name, q in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
            assert found["latency"][name] == pytest.approx(quantile([call.seconds for call in calls], q), rel=0.02)
        assert found["confidence_rows"] == sum(len(call.classes) for call in calls)
    calls = of_version(documents.weeks.calls_of("churn", SPLIT, END), "7")
    classes = Counter(name for call in calls for name in call.classes)
    assert {one["class"]: one["predictions"] for one in shown["classes"]} == classes
    steps = [
        of_version(documents.weeks.calls_of("churn", end - WEEK // 28, end), "7")
        for end in range(SPLIT + WEEK // 28, END + 1, WEEK // 28)
    ]
    assert [point["predictions"] for point in shown["history"]] == [sum(c.rows for c in own) or None for own in steps]
    assert documents.model("8")["before"] is None
    assert any(one["model"] == EVIL for one in documents.found["models"])
    changes = [change["text"].split(":")[0] for change in shown["changes"]]
    assert changes == ["Errors", "Latency p95", "Accuracy"]


def test_outcomes_are_those_of_the_job(documents: Documents) -> None:
    shown = documents.model("7")
    for found, start, end in ((shown["outcomes"], SPLIT, END), (shown["before"]["outcomes"], START, SPLIT)):
        rows = [row for row in documents.weeks.joined if start <= row.predicted_at < end > row.labelled_at]
        actual, predicted = [row.actual for row in rows], [row.predicted for row in rows]
        right = sum(a == p for a, p in zip(actual, predicted, strict=True))
        assert (found["rows"], found["correct"]) == (len(rows), right)
        averages = found["averages"]
        assert averages["precision"] == pytest.approx(precision_score(actual, predicted, average="weighted"))
        assert averages["recall"] == pytest.approx(recall_score(actual, predicted, average="weighted"))
        assert averages["f1"] == pytest.approx(f1_score(actual, predicted, average="weighted"))
    rows = [row for row in documents.weeks.joined if SPLIT <= row.predicted_at < END > row.labelled_at]
    scores = [row.score if row.predicted == CLASSES[0] else 1 - row.score for row in rows]
    auc = roc_auc_score([row.actual == CLASSES[0] for row in rows], scores)
    assert shown["window"]["window"] == "7d"
    assert shown["window"]["figures"]["ROC AUC"] == pytest.approx(auc, abs=0.005)


def test_services_and_variants(documents: Documents) -> None:
    for name in ("churn-api", "gateway"):
        (shown,) = [one for one in documents.found["services"] if one["service"] == name]
        own = documents.weeks.requests_of(name, SPLIT, END)
        assert shown["requests"] == len(own)
        assert shown["requests_before"] == len(documents.weeks.requests_of(name, START, SPLIT))
        assert shown["errors"]["value"] == sum(one.failed for one in own) / len(own)
        for percentile, q in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
            seconds = [one.ns / 1e9 for one in own]
            # Engines round the rank as they like: it may be the request beside.
            beside = [quantile(seconds, min(1, q + step / len(own))) for step in (-1, 1)]
            assert 0.999 * beside[0] <= shown[percentile] <= 1.001 * beside[1]
    (experiment,) = documents.found["experiments"]
    for one in experiment["variants"]:
        calls = [call for call in documents.weeks.calls if call.variant == one["variant"]]
        assert one["exposures"] == sum(call.rows for call in calls)
        assert one["requests"] == sum(call.time > SPLIT for call in calls)
        labelled = [row for row in documents.weeks.joined if row.variant == one["variant"]]
        right = sum(row.actual == row.predicted for row in labelled)
        assert one["accuracy"]["value"] == pytest.approx(right / len(labelled))


def test_what_is_not_there_is_named(documents: Documents) -> None:
    found = documents.found
    assert found["source_lacks"][0] == "drift by feature"
    assert "accuracy, precision, recall and AUC" not in found["source_lacks"]
    assert (found["source_begins"], found["incidents"]) == (None, None)
    assert documents.model("7")["features_drifted"] is None
    environ = {**documents.environ, "SIDECAR_OUTCOMES__ELASTICSEARCH__INDEX": "nobody-joined"}
    asked = ("report", "--elasticsearch", documents.url, "--end", END, "--format", "json", "--model", "churn")
    without = json.loads(run(environ, *asked).stdout)
    assert without["source_lacks"][0] == "accuracy, precision, recall and AUC"
    (note,) = without["notes"]
    assert note == "The job of labels (sidecar outcomes) has put no figures of this time into nobody-joined."
    assert {one["outcomes"]["accuracy"] is None for one in without["models"]} == {True}
    assert [one["service"] for one in without["services"]] == ["churn-api"]


def test_half_a_period_is_compared_with_nothing(documents: Documents) -> None:
    asked = ("report", "--elasticsearch", documents.url, "--end", SPLIT + 86_400, "--format", "json")
    found = json.loads(run(documents.environ, *asked, "--period", "14d").stdout)
    first = min(one.time for one in documents.weeks.received)
    assert found["source_begins"] == first
    assert not found["compared"]


def test_addresses_patterns_and_times_with_nothing(documents: Documents) -> None:
    def said(*arguments: object, **environ: str) -> str:
        asked = ("report", "--timeout", "1s", "--end", END, *arguments)
        return run({**documents.environ, **environ}, *asked, code=1).stderr.decode()

    port = free_port()
    assert "unreachable" in said("--elasticsearch", f"http://127.0.0.1:{port}")
    here = ("--elasticsearch", documents.url)
    none = {"SIDECAR_OUTCOMES__ELASTICSEARCH__LOGS": "none-*", "SIDECAR_LOOKUP__ELASTICSEARCH__TRACES": "no-*"}
    assert "matches none-* or no-*; expected those that sidecars deliver to" in said(*here, **none)
    assert "has nothing about models in this time" in said(*here, "--end", "2023-01-01")
    assert "has nothing about models in this time" in said(*here, "--model", "nobody")


@pytest.fixture(scope="module")
def pages(documents: Documents, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A page of each source."""
    folder = tmp_path_factory.mktemp("pages")
    store = stored(documents.weeks.in_order(), folder)
    half = tmp_path_factory.mktemp("half")
    stored([one for one in documents.weeks.in_order() if one.time > END - 3 * 86_400], half)
    asked = {
        "documents": ("--elasticsearch", documents.url),
        "store": ("--store", store),
        "half a store": ("--store", half),
    }
    for name, source in asked.items():
        run(documents.environ, "report", *source, "--end", END, "--out", folder / f"{name}.html")
    return {name: folder / f"{name}.html" for name in asked}


def test_pages_at_two_widths_dark_and_light(pages: dict[str, Path]) -> None:
    """Pictures go to `SIDECAR_TEST_SCREENSHOTS`, where it is set."""
    named = os.environ.get("SIDECAR_TEST_SCREENSHOTS")
    with run_chromium() as browser:
        page = browser.new_page()
        problems: list[str] = []
        page.on("console", lambda message: problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        for name, file in pages.items():
            for width, scheme in ((1280, "light"), (390, "dark")):
                page.set_viewport_size({"width": width, "height": 900})
                page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]  # a literal
                page.goto(file.as_uri())
                assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
                assert page.evaluate("window.harmed") is None
                assert axe_problems(page) == [], name
                assert page.get_by_text("Not in this source: ").count() == 1
                if named:
                    page.screenshot(path=Path(named) / f"report-{name}-{width}.png", full_page=True)
    assert problems == []
