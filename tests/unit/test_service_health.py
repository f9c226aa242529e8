"""The health of a stack: what counts as up for each kind, files of targets, table and JSON."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from sidecar import service_health
from sidecar.cli.main import main
from sidecar.deliver.common.http import Reply, Unreached
from sidecar.errors import ConfigError, Permanent
from sidecar.service_health import Target, check

ROOT = Path(__file__).resolve().parents[2]


def target(kind: str, **more: object) -> Target:
    return Target.model_validate({"name": kind, "kind": kind, "url": "http://h", **more})


class Answers:
    """Replies without a network."""

    def __init__(self, reply: Reply | Exception) -> None:
        self.reply = reply
        self.asked: list[str] = []

    def __call__(self, target: Target, path: str, timeout: float) -> Reply:
        self.asked.append(target.url + path)
        if isinstance(self.reply, Exception):
            raise self.reply
        return self.reply


class TestCheck:
    @pytest.mark.parametrize(
        ("kind", "path", "well", "ill", "said"),
        [
            ("http", "", b"", None, ""),
            ("model", "/health", b"ok", None, ""),
            ("sidecar", "/readyz", b"", None, ""),
            ("elasticsearch", "/_cluster/health", b'{"status":"yellow"}', b'{"status":"red"}', "the cluster is red"),
            ("logstash", "/", b'{"status":"green"}', b'{"status":"red"}', "the node is red"),
            (
                "kibana",
                "/api/status",
                b'{"status":{"overall":{"level":"available"}}}',
                b'{"status":{"overall":{"level":"critical"}}}',
                "the status is critical",
            ),
            ("kibana", "/api/status", b'{"status":{"overall":{"state":"green"}}}', b"{}", "not that of kibana"),
            ("prometheus", "/-/ready", b"", None, ""),
            ("alertmanager", "/-/ready", b"OK", None, ""),
            ("grafana", "/api/health", b'{"database":"ok"}', b'{"database":"failing"}', "the database is failing"),
            ("grafana", "/api/health", b'{"database":"ok"}', b"<html>", "not that of grafana"),
            ("elasticsearch", "/_cluster/health", b'{"status":"green"}', b"[]", "not that of elasticsearch"),
            ("mlflow", "/health", b"OK", None, ""),
        ],
    )
    def test_what_each_kind_is_asked(self, kind: str, path: str, well: bytes, ill: bytes | None, said: str) -> None:
        answers = Answers(Reply(200, well))
        (health,) = check([target(kind)], 1, answers)
        assert (health.up, health.detail, answers.asked) == (True, "", [f"http://h{path}"])
        (health,) = check([target(kind)], 1, Answers(Reply(503, well)))
        assert (health.up, health.detail) == (False, "HTTP 503")
        if ill is not None:
            (health,) = check([target(kind)], 1, Answers(Reply(200, ill)))
            assert not health.up
            assert said in health.detail

    @pytest.mark.parametrize("error", [Unreached("timeout", "after 5 s"), Permanent("the secret cannot be read")])
    def test_no_answer_is_down_with_its_reason(self, error: Exception) -> None:
        (health,) = check([target("model")], 1, Answers(error))
        assert not health.up
        assert health.detail in ("timeout: after 5 s", "the secret cannot be read")

    def test_a_path_of_ones_own_is_asked_instead(self) -> None:
        answers = Answers(Reply(200))
        check([target("model", path="/v2/health/ready")], 1, answers)
        assert answers.asked == ["http://h/v2/health/ready"]

    @pytest.mark.parametrize(
        ("url", "asked"), [("http://h/p/", "http://h/p/health"), ("http://h/p", "http://h/p/health")]
    )
    def test_an_address_may_end_with_a_slash(self, url: str, asked: str) -> None:
        answers = Answers(Reply(200))
        check([target("model", url=url)], 1, answers)
        assert answers.asked == [asked]

    def test_all_are_asked_at_once_and_reported_in_order(self) -> None:
        meeting = threading.Barrier(8, timeout=20)

        def ask(target: Target, path: str, timeout: float) -> Reply:
            meeting.wait()
            return Reply(200 if target.name != "m3" else 500)

        found = check([target("model", name=f"m{n}") for n in range(8)], 1, ask)
        assert [h.name for h in found if not h.up] == ["m3"]
        assert [h.name for h in found] == [f"m{n}" for n in range(8)]

    def test_latency_is_that_of_the_clock(self) -> None:
        times = iter((10.0, 10.25))
        (health,) = check([target("model")], 1, Answers(Reply(200)), lambda: next(times))
        assert health.latency_seconds == 0.25


class TestFile:
    def test_the_shipped_one_names_every_kind_on_its_usual_port(self) -> None:
        found = service_health.targets(ROOT / "monitoring" / "health-targets.yaml")
        assert [(t.name, t.kind, t.url) for t in found] == [(t.name, t.kind, t.url) for t in service_health.LOCAL]

    @pytest.mark.parametrize(
        ("body", "said"),
        [
            ({}, "expected a list `targets`"),
            ([], "expected a list `targets`"),
            ({"targets": []}, "1 to 1000"),
            (
                {"targets": [{"name": "a", "url": "h:1"}]},
                r"targets\[0\]: url: invalid address: 'h:1'; expected http://",
            ),
            ({"targets": [{"name": "a", "url": "http://u:p@h"}]}, r"must not hold credentials: use the section auth"),
            ({"targets": [{"name": "a", "url": "http://h", "kind": "x"}]}, r"targets\[0\]: kind: Input should be"),
            ({"targets": [{"name": "a", "url": "http://h", "colour": 1}]}, r"targets\[0\]: colour"),
            ({"targets": [{"name": "a", "url": "http://h"}] * 2}, "two targets are named a"),
            ({"targets": [{"name": "a", "url": "http://h", "path": "x"}]}, r"targets\[0\]: path"),
            ({"targets": ["a"]}, r"targets\[0\]"),
            ({"targets": [{"name": "a", "url": "http://h", "auth": {"username": "u"}}]}, "incomplete credentials"),
        ],
    )
    def test_a_wrong_one_says_where(self, body: object, said: str, tmp_path: Path) -> None:
        file = tmp_path / "targets.yaml"
        file.write_text(yaml.safe_dump(body))
        with pytest.raises(ConfigError, match=said):
            service_health.targets(file)

    @pytest.mark.parametrize("text", [b"a: [", b"\xff", None])
    def test_one_that_cannot_be_read_is_an_error(self, text: bytes | None, tmp_path: Path) -> None:
        file = tmp_path / "targets.yaml"
        if text is not None:
            file.write_bytes(text)
        with pytest.raises(ConfigError, match="cannot be read"):
            service_health.targets(file)


class TestCommand:
    def run(self, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> tuple[int, str]:
        def ask(target: Target, path: str, timeout: float) -> Reply:
            return Reply(200 if target.kind in ("model", "sidecar") else 502, b"{}")

        monkeypatch.setattr(service_health.check, "__defaults__", (ask, lambda: 0.0))
        done = CliRunner().invoke(main, ["health", *arguments])
        return done.exit_code, done.output

    def test_table_and_exit_code(self, monkeypatch: pytest.MonkeyPatch) -> None:
        code, said = self.run(monkeypatch, "--only", "model", "--only", "grafana")
        assert code == 1
        assert said.splitlines() == [
            "up    model         0 ms  http://localhost:8000",
            "DOWN  grafana       0 ms  HTTP 502",
            "1 up, 1 down",
        ]
        assert self.run(monkeypatch, "--only", "model")[0] == 0

    def test_json(self, monkeypatch: pytest.MonkeyPatch) -> None:
        code, said = self.run(monkeypatch, "--json")
        body = json.loads(said)
        assert (code, body["up"]) == (1, False)
        assert {s["name"]: s["up"] for s in body["services"]}["sidecar"] is True
        assert len(body["services"]) == 9

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [(("--only", "x"), "no service is named x; expected one of model,"), (("--timeout", "0"), "more than 0")],
    )
    def test_wrong_use(self, arguments: tuple[str, ...], said: str, monkeypatch: pytest.MonkeyPatch) -> None:
        code, text = self.run(monkeypatch, *arguments)
        assert code == 2
        assert said in text
