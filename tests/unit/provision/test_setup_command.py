"""What `sidecar setup` says before it asks anybody."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from sidecar.cli.main import main


@pytest.mark.parametrize("command", ["elasticsearch", "check", "kibana"])
@pytest.mark.parametrize(
    ("url", "word"), [("es:9200", "expected http://host:port"), ("http://u:hidden@es:9200", "must not hold")]
)
def test_an_address_that_is_none_is_one_line_without_secrets(command: str, url: str, word: str) -> None:
    done = CliRunner().invoke(main, ["setup", command, "--url", url], env={"SIDECAR_CONFIG": ""})
    assert done.exit_code == 2
    assert done.output.startswith("configuration: --url: ")
    assert word in done.output
    assert len(done.output.splitlines()) == 1
    assert "hidden" not in done.output
