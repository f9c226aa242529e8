"""`sidecar config`: the configuration in force, and the reference of all there is to configure."""

from __future__ import annotations

import json
from pathlib import Path

import click

from sidecar.cli.shared import config_option, settings


@click.group("config")
def command() -> None:
    """Show and describe the configuration."""


@command.command()
@config_option
def show(config_file: Path | None) -> None:
    """The configuration in force, secrets masked, as YAML."""
    from sidecar import generated_reference

    click.echo(generated_reference.as_yaml(settings(config_file)), nl=False)


@command.command()
def schema() -> None:
    """The JSON Schema of the configuration file."""
    from sidecar import generated_reference

    click.echo(json.dumps(generated_reference.schema(), indent=2, sort_keys=True))


@command.command()
def docs() -> None:
    """Every setting, environment variable, command and metric of the program, as Markdown."""
    from sidecar import generated_reference
    from sidecar.cli.renamed_commands import renamed_names

    program = click.get_current_context().find_root().command
    click.echo(
        generated_reference.markdown(program, renamed_names(generated_reference.commands(program, "sidecar"))), nl=False
    )
