"""The page and the JSON of a report."""

from __future__ import annotations

import json
from html.parser import HTMLParser

import pytest
from support.report_data import EVIL
from support.report_sources import PERIOD, FakeSource, histogram, joined, predictions

from sidecar.report.as_json import as_json
from sidecar.report.building import build
from sidecar.report.contents import Report
from sidecar.report.figure_source import About, Alerts, FiringAlert
from sidecar.report.page import as_html, write_change, write_lasting
from sidecar.serve.pages.metric_families import Metrics, Series


class Elements(HTMLParser):
    """Tags, and the addresses that a browser would load."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.loaded: list[str] = []
        self.handlers: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.loaded += [value or "" for name, value in attrs if name in ("src", "data", "srcset")]
        self.loaded += [value or "" for name, value in attrs if name == "href" and tag == "link"]
        self.handlers += [name for name, _ in attrs if name.startswith("on") or name == "style"]


def hostile() -> Report:
    """Every name in it would be a script."""
    own = {"model": EVIL, "version": EVIL}
    of_feature = {**own, "feature": EVIL}
    experiment = {"experiment": EVIL, "variant": EVIL}
    now = {
        "model_predictions": predictions(100, 3, EVIL, EVIL),
        "model_predictions_by_class": [Series({**own, "service": "shop", "class": EVIL}, 97)],
        "model_outcomes": joined({(EVIL, EVIL): 20, (EVIL, "b"): 5}, EVIL, EVIL),
        "model_labels": [Series({**own, "result": EVIL}, 25)],
        "model_feature_observations": [Series({**of_feature, "bin": EVIL}, 4)],
        "model_feature_reference_ratio": [Series({**of_feature, "bin": EVIL}, 1.0)],
        "data_drift_score": [Series({**of_feature, "method": EVIL}, float("inf"))],
        "data_quality_failures": [Series({**of_feature, "rule": EVIL}, 4)],
        "ab_test_exposures": [Series(experiment, 50)],
        "gen_ai_client_token_usage": [Series({"gen_ai_request_model": EVIL, "gen_ai_token_type": EVIL}, 3, sum=9)],
        "ml_cost": [Series({"service": EVIL}, 3.5)],
        "calls": [Series({"service_name": EVIL, "status_code": "x"}, 5)],
        "durations": [Series({"service_name": EVIL}, 5, histogram((5, 5, 5, 5)))],
    }
    alerts = Alerts(60, [FiringAlert({"alertname": EVIL, "severity": EVIL, "a": EVIL}, [PERIOD.end])])
    return build(
        FakeSource(Metrics(now), found=alerts, source=About(EVIL, "", EVIL, notes=(EVIL,), missing=(EVIL,))),
        PERIOD,
        1.0,
    )


def test_no_name_becomes_an_element_and_nothing_is_loaded() -> None:
    page = as_html(hostile())
    found = Elements()
    found.feed(page)
    assert "script" not in found.tags
    assert "img" not in found.tags
    assert found.loaded == ["data:,"]
    assert found.handlers == []
    assert EVIL not in page
    assert page.count("&lt;script&gt;") > 15
    assert 'http-equiv="Content-Security-Policy" content="default-src &#39;none&#39;' in page


def test_json_has_the_same_figures_and_no_infinities() -> None:
    found = json.loads(as_json(hostile()), parse_constant=pytest.fail)
    (model,) = found["models"]
    assert (found["schema"], model["model"], model["predictions"]) == (1, EVIL, 100)
    assert model["outcomes"]["accuracy"]["value"] == 0.8
    assert model["features"][0]["scores"][0]["score"] is None
    assert found["incidents"][0]["name"] == EVIL


def test_no_figure_is_said_and_no_zero_shown_where_there_are_no_data() -> None:
    page = as_html(build(FakeSource(Metrics({"model_predictions": predictions(5)})), PERIOD, 1.0))
    for words in (
        "no labels of classes came",
        "no call reported its time",
        "not compared",
        "there is nothing about the 7 d before",
    ):
        assert words in page, words


def test_nothing_is_called_before_where_nothing_is_compared() -> None:
    """Not "before: none" either, which reads as if there had been nothing."""
    values = {"model_predictions": predictions(5), "model_predictions_by_class": predictions(5)}
    pages = [as_html(build(FakeSource(Metrics(values), *earlier), PERIOD, 1.0)) for earlier in ((), (Metrics(values),))]
    bodies = [page.partition("Summary")[2].partition("<footer")[0] for page in pages]
    assert ["before" in body for body in bodies] == [False, True]


def test_an_estimate_without_labels_is_named_so() -> None:
    of_model = {"model": "churn", "version": "7", "window": "24h"}
    ends = {"": 0.8, "_lower": 0.75, "_upper": 0.85, "_samples": 400}
    gauges = {f"model_accuracy_estimated{end}": [Series(of_model, value)] for end, value in ends.items()}
    report = build(FakeSource(Metrics({"model_predictions": predictions(5), **gauges})), PERIOD, 1.0)
    assert "Accuracy estimated without labels, last 24h, of 400 rows with a score: <b>80 %" in as_html(report)
    (model,) = json.loads(as_json(report))["models"]
    assert model["estimated"] == {
        "window": "24h",
        "rows": 400,
        "accuracy": {"value": 0.8, "lower": 0.75, "upper": 0.85},
    }


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(30, "1 min"), (300, "5 min"), (7200, "2 h"), (86_400, "1 d"), (7 * 86_400, "7 d"), (9000, "2.5 h")],
)
def test_times_are_written_as_people_say_them(seconds: float, text: str) -> None:
    assert write_lasting(seconds) == text


@pytest.mark.parametrize(
    ("now", "before", "text"),
    [(112, 100, "+12 %"), (50, 100, "−50 %"), (100.1, 100, "±0 %"), (500, 100, "× 5"), (1, None, ""), (1, 0, "")],
)
def test_changes_are_shares(now: float, before: float | None, text: str) -> None:
    assert write_change(now, before) == text
