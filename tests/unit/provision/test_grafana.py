"""Dashboards into Grafana: plan, idempotence, what was changed by hand, and refusals."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from support.fake_grafana import FakeGrafana, served

from sidecar.cli.main import main
from sidecar.deliver.common.http import Reply, Unreached
from sidecar.errors import Permanent
from sidecar.provision import grafana


def run(fake: FakeGrafana, overwrite: bool = False) -> list[str]:
    steps = grafana.plan(fake, grafana.shipped(), overwrite)
    list(grafana.apply(fake, steps, "Models"))
    return [step.action for step in steps]


class TestPlan:
    def test_a_first_run_creates_folder_and_dashboards(self) -> None:
        fake = FakeGrafana()
        assert run(fake) == ["create"] * len(grafana.shipped())
        assert fake.folders == {"model-sidecar": "Models"}
        (save,) = fake.dashboards["sidecar-overview"]
        assert save["folderUid"] == "model-sidecar"
        assert save["dashboard"]["id"] is None
        assert save["dashboard"]["title"] == "Model services: overview"

    @pytest.mark.parametrize("wrapped", [True, False])
    def test_a_second_run_changes_nothing(self, wrapped: bool) -> None:
        fake = FakeGrafana(versions_as_object=wrapped)
        run(fake)
        fake.asked.clear()
        assert set(run(fake)) == {"keep"}
        assert not [asked for asked in fake.asked if asked.startswith("POST")]

    def test_another_version_of_ours_is_replaced(self) -> None:
        fake = FakeGrafana()
        run(fake)
        fake.dashboards["sidecar-overview"][-1]["message"] = "model-sidecar 0123456789abcdef"
        steps = grafana.plan(fake, grafana.shipped(), False)
        assert [s.dashboard.uid for s in steps if s.action == "update"] == ["sidecar-overview"]

    def test_what_was_changed_by_hand_stays_unless_it_is_asked_for(self) -> None:
        fake = FakeGrafana()
        run(fake)
        fake.change_by_hand("sidecar-pipeline")
        assert set(run(fake)) == {"keep"}
        steps = grafana.plan(fake, grafana.shipped(), True)
        assert [str(s) for s in steps if s.action == "update"] == [
            "update   dashboard sidecar-pipeline: Sidecars: pipeline (changed by hand; ours is put back)"
        ]
        run(fake, overwrite=True)
        assert set(run(fake)) == {"keep"}


class TestRefusals:
    @pytest.mark.parametrize(
        ("reply", "said"),
        [
            (Reply(401, b'{"message":"Invalid API key"}'), "Invalid API key .the credentials are refused"),
            (Reply(403, b'{"message":"no"}'), "needs the role Editor"),
            (Reply(422, b"<html>"), "HTTP 422: <html>"),
        ],
    )
    def test_a_refusal_says_what_to_do(self, reply: Reply, said: str) -> None:
        fake = FakeGrafana(failing={"POST /api/dashboards/db": reply})
        with pytest.raises(Permanent, match=said):
            run(fake)

    def test_a_busy_one_can_be_tried_again(self) -> None:
        with pytest.raises(Unreached):
            run(FakeGrafana(failing={"POST /api/folders": Reply(503, b"")}))

    @pytest.mark.parametrize("reply", [Reply(200, b"<html>"), Reply(200, b"[]"), Reply(200, b'{"ok":1}')])
    def test_something_else_at_the_address_is_found(self, reply: Reply) -> None:
        with pytest.raises(Permanent, match="Grafana"):
            grafana.version(FakeGrafana(failing={"GET /api/health": reply}))


class TestCommand:
    def test_plan_then_change_then_nothing(self, tmp_path: Path) -> None:
        (tmp_path / "token").write_text("secret\n")
        fake = FakeGrafana()
        with served(fake, authorization="Bearer secret") as url:
            arguments = ["setup", "grafana", "--url", url, "--token-file", str(tmp_path / "token")]
            dry = CliRunner().invoke(main, [*arguments, "--dry-run"])
            assert (dry.exit_code, fake.dashboards) == (0, {})
            assert "Grafana 12.0.0" in dry.output
            assert dry.output.endswith("dry run: nothing was changed\n")
            first, second = (CliRunner().invoke(main, arguments) for _ in range(2))
        assert first.output.endswith(f"{len(fake.dashboards)} changed\n")
        assert second.output.endswith("nothing to change\n")

    def test_wrong_credentials_are_an_error_of_one_line(self) -> None:
        with served(FakeGrafana(), authorization="Bearer secret") as url:
            done = CliRunner().invoke(main, ["setup", "grafana", "--url", url])
        assert done.exit_code == 1
        assert "the credentials are refused" in done.output
        assert len(done.output.splitlines()) == 1

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["--url", "grafana:3000"], "expected http://host:port or https://host:port"),
            (["--url", "http://127.0.0.1:1", "--username", "admin"], "incomplete credentials"),
        ],
    )
    def test_wrong_use_is_refused(self, arguments: list[str], said: str) -> None:
        done = CliRunner().invoke(main, ["setup", "grafana", *arguments])
        assert done.exit_code == 2
        assert said in done.output
