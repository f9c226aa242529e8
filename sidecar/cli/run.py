"""`sidecar run`."""

from __future__ import annotations

import os
from pathlib import Path

import click

from sidecar.cli.shared import config_option, settings

GRPC_EXPERIMENTS = "-event_engine_listener"
"""grpcio reads it once, when it is imported. Its new listener passes each message on between threads of a pool; the one
before does not, and saves 10 to 25 % of what an otherwise empty server costs at a low rate (decision 010)."""


@click.command("run")
@config_option
def command(config_file: Path | None) -> None:
    """Run the sidecar until SIGTERM or SIGINT."""
    os.environ.setdefault("GRPC_EXPERIMENTS", GRPC_EXPERIMENTS)
    from sidecar import app

    app.run(settings(config_file))
