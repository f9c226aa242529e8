"""How errors of commands are reported: one line each on stderr, never a traceback, and the exit code."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

from sidecar.errors import ConfigError, SidecarError


@contextmanager
def reported() -> Iterator[None]:
    """Every command runs in it: what is raised on purpose ends the program with 2 for configuration, else 1."""
    try:
        yield
    except ConfigError as error:
        for problem in error.problems:
            click.echo(f"configuration: {problem}", err=True)
        sys.exit(2)
    except BrokenPipeError:  # `| head` has read enough; click ends the program without a word.
        raise
    except (SidecarError, OSError) as error:
        click.echo(f"sidecar: {error}", err=True)
        sys.exit(1)
