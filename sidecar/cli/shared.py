"""What commands share: the option for the configuration, and how errors are told."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import click

from sidecar.errors import ConfigError, SidecarError

if TYPE_CHECKING:
    from sidecar.config.settings import Settings

P = ParamSpec("P")
T = TypeVar("T")

_ENVIRON = "sidecar.environ"
"""Where the context of a command keeps the environment as it was given."""

config_option = click.option(
    "--config", "config_file", type=click.Path(path_type=Path), help="YAML file; the environment overrides it."
)


def reported(function: Callable[P, T]) -> Callable[P, T]:
    """Errors of ours as one line each on stderr, never as a traceback; and the environment without what is meant for
    others."""

    @wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
        _set_aside(click.get_current_context())
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


def _set_aside(context: click.Context) -> None:
    """`OTEL_*` variables are the pod's, and meant for the model. OpenTelemetry's SDK, which keeps the program's own
    metrics, would read them too: it ends at an invalid one, and keeps nothing with OTEL_SDK_DISABLED."""
    context.meta[_ENVIRON] = dict(os.environ)
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        del os.environ[name]


def settings(config_file: Path | None) -> Settings:
    """The configuration in force; from here on the program's own lines are JSON on stderr."""
    import structlog

    from sidecar.config import loader
    from sidecar.telemetry import configure_logging

    loaded = loader.load(click.get_current_context().meta[_ENVIRON], config_file)
    configure_logging(loaded.log.level)
    log = structlog.get_logger("sidecar.config.loader")
    for what in loaded.ignored:
        log.warning("standard_variable_ignored", variable=what)
    for option in loaded.renamed:
        log.warning(
            "option_renamed",
            old=option.old,
            new=option.new,
            origin=option.origin,
        )
    return loaded
