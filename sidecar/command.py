"""What commands share: the option for the configuration, and how errors are told."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

import click

from sidecar import config
from sidecar.errors import ConfigError, SidecarError
from sidecar.settings import Settings
from sidecar.telemetry import configure_logging

P = ParamSpec("P")
T = TypeVar("T")

config_option = click.option(
    "--config", "config_file", type=click.Path(path_type=Path), help="YAML file; the environment overrides it."
)


def reported(function: Callable[P, T]) -> Callable[P, T]:
    """Errors of ours as one line each on stderr, never as a traceback."""

    @wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        except ConfigError as error:
            for problem in error.problems:
                click.echo(f"configuration: {problem}", err=True)
            sys.exit(2)
        except (SidecarError, OSError) as error:
            click.echo(f"sidecar: {error}", err=True)
            sys.exit(1)

    return wrapper


def settings(config_file: Path | None) -> Settings:
    """The configuration in force; from here on the program's own lines are JSON on stderr."""
    loaded = config.load(os.environ, config_file)
    configure_logging(loaded.telemetry.log_level)
    return loaded
