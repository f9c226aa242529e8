"""`sidecar run`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import ModuleType

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
    program().run(settings(config_file))


def program() -> ModuleType:
    """`sidecar.app`. structlog would load `rich` where somebody has installed it, for a console that this program does
    not write to: 66 modules, 3.6 MiB."""
    hidden = {"rich"} - set(sys.modules)
    # The import system takes None for a module that does not exist.
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
    try:
        from sidecar import app
    finally:
        for name in hidden:
            del sys.modules[name]
    return app
