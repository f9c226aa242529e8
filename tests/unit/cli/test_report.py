"""Options of `sidecar report`: what is wrong with them is said before anything is asked."""

from __future__ import annotations

import pytest

from sidecar.cli.report import command
from sidecar.errors import ConfigError

PROMETHEUS = ("--prometheus", "http://127.0.0.1:9")


@pytest.fixture(autouse=True)
def nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*asked: object) -> None:
        raise AssertionError("a request was made")

    monkeypatch.setattr("sidecar.deliver.common.connection.Connection.send", refuse)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "incomplete source: expected --prometheus, --elasticsearch, --store or --sidecar, one of them"),
        (
            (*PROMETHEUS, "--sidecar", "http://127.0.0.1:9464"),
            "ambiguous source: expected --prometheus, --elasticsearch, --store or",
        ),
        (("--prometheus", "localhost:9090"), "--prometheus: invalid address"),
        (("--prometheus", "http://me:secret@host"), "must not hold credentials"),
        (("--sidecar", "ftp://host"), "--sidecar: invalid address"),
        (("--sidecar", "http://host", "--model", "a"), "--model: not with --sidecar"),
        (("--sidecar", "http://host", "--end", "2024-01-01"), "--end: not with --sidecar"),
        (("--store", "/srv", "--namespace", "shop"), "--namespace: not with --store"),
        (("--elasticsearch", "localhost:9200"), "--elasticsearch: invalid address"),
        (("--store", "/srv", "--token-file", "t"), "credentials and --ca-file: not with --store"),
        ((*PROMETHEUS, "--config", "sidecar.yaml"), "--config: not with --prometheus"),
        ((*PROMETHEUS, "--end", "yesterday"), "--end: invalid time: 'yesterday'"),
        ((*PROMETHEUS, "--end", "2200-01-01"), "it lies in the future"),
        ((*PROMETHEUS, "--period", "10s"), "invalid period: 10 s; expected 1m to 400d"),
        ((*PROMETHEUS, "--mlflow", "file:///mlruns"), "--mlflow: invalid address"),
        ((*PROMETHEUS, "--username", "me"), "incomplete credentials"),
        ((*PROMETHEUS, "--token-file", "t", "--username", "me", "--password-file", "p"), "ambiguous credentials"),
        ((*PROMETHEUS, "--out", "/no/such/folder/report.html"), "--out: no folder /no/such/folder"),
    ],
)
def test_what_is_wrong_is_said(arguments: tuple[str, ...], words: str) -> None:
    with pytest.raises(ConfigError) as raised:
        command.main([*arguments], standalone_mode=False)
    assert any(words in problem for problem in raised.value.problems), raised.value.problems
