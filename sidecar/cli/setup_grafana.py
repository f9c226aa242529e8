"""`sidecar setup grafana`."""

from __future__ import annotations

from pathlib import Path

import click

from sidecar.cli.shared import base_address, client_access, reached


@click.command("grafana")
@click.option("--url", required=True, help="Address of Grafana, base path included.")
@click.option("--token-file", type=click.Path(path_type=Path), help="File with the token of a service account.")
@click.option("--username", help="User of basic authentication, where there is no token.")
@click.option("--password-file", type=click.Path(path_type=Path), help="File with that user's password.")
@click.option(
    "--ca-file", type=click.Path(path_type=Path), help="PEM file with the authority of Grafana's certificate."
)
@click.option("--folder", default="Model sidecar", show_default=True, help="Title of the folder, where it is made.")
@click.option("--dry-run", is_flag=True, help="Show the plan and change nothing.")
@click.option("--overwrite", is_flag=True, help="Replace dashboards that were changed by hand.")
def command(
    url: str,
    token_file: Path | None,
    username: str | None,
    password_file: Path | None,
    ca_file: Path | None,
    folder: str,
    dry_run: bool,
    overwrite: bool,
) -> None:
    """Dashboards, by Grafana's API.

    Shows the plan, then carries it out. A dashboard that was changed by hand since is left as it is. A second run
    changes nothing. Data sources are for Grafana's provisioning: see docs/how-to/grafana.md.
    """
    from sidecar.deliver.common.connection import Connection
    from sidecar.provision import grafana

    server = client_access(
        base_address("--url", url), token=token_file, username=username, password=password_file, ca=ca_file
    )
    with reached(), Connection(server) as connection:
        click.echo(f"Grafana {grafana.version(connection.ask)}")
        steps = grafana.plan(connection.ask, grafana.shipped(), overwrite)
        for step in steps:
            click.echo(str(step))
        if dry_run:
            click.echo("dry run: nothing was changed")
            return
        done = sum(1 for _ in grafana.apply(connection.ask, steps, folder))
        click.echo(f"{done} changed" if done else "nothing to change")
