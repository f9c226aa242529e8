"""`sidecar check`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from sidecar.cli.shared import config_option, settings


@click.command("check")
@config_option
def command(config_file: Path | None) -> None:
    """Check what would keep the sidecar from working.

    Checks the decoder, the directories, the credentials, the ports and the destinations. Changes nothing. Exit code 1
    if anything failed; warnings are for you to judge.
    """
    from sidecar import preflight

    results = preflight.check(settings(config_file))
    for result in results:
        click.echo(f"{result.state:<8} {result.what}: {result.detail}")
    if any(r.state == "failed" for r in results):
        sys.exit(1)
