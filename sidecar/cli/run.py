"""`sidecar run`."""

from __future__ import annotations

from pathlib import Path

import click

from sidecar.cli.shared import config_option, settings


@click.command("run")
@config_option
def command(config_file: Path | None) -> None:
    """Run the sidecar until SIGTERM or SIGINT."""
    from sidecar import app

    app.run(settings(config_file))
