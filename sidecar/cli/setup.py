"""`sidecar setup`: what destinations need, put there by one command and checked by another."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sidecar.cli.renamed_commands import renamed_option
from sidecar.cli.shared import DURATION, config_option, reached, settings, with_hosts

if TYPE_CHECKING:
    from sidecar.deliver.common.connection import Connection
    from sidecar.deliver.elasticsearch.options import ElasticsearchOptions
    from sidecar.provision.search_engine import Engine

_url = click.option("--url", help="Address of a node.  [default: deliver.elasticsearch.hosts]")
_dry_run = click.option("--dry-run", is_flag=True, help="Show the plan and change nothing.")


@click.group("setup")
def command() -> None:
    """Set up Elasticsearch, OpenSearch, Kibana or OpenSearch Dashboards for what the sidecar delivers."""


@command.command()
@config_option
@_url
@_dry_run
@click.option("--overwrite", is_flag=True, help="Put ours back where you changed it: policies and @custom templates.")
@click.option("--keep-logs", type=click.IntRange(1, 36500), help="Days until logs are deleted.  [default: 30]")
@click.option("--keep-traces", type=click.IntRange(1, 36500), help="Days until spans are deleted.  [default: 14]")
@click.option("--roles", is_flag=True, help="Print roles with the least privilege, and change nothing.")
@click.option(
    "--create-api-key",
    "key_file",
    type=click.Path(path_type=Path),
    help="Write a new API key for delivery to this file.",
)
@click.option(
    "--api-key-expires", type=DURATION, help="Time until that API key expires, such as 90d.  [default: never]"
)
@renamed_option("--key-days", "--api-key-expires", lambda days: f"{days}d", type=click.IntRange(1, 36500))
def elasticsearch(
    config_file: Path | None,
    url: str | None,
    dry_run: bool,
    overwrite: bool,
    keep_logs: int | None,
    keep_traces: int | None,
    roles: bool,
    key_file: Path | None,
    api_key_expires: float | None,
) -> None:
    """Templates, lifecycle policies and an ingest pipeline, on Elasticsearch or OpenSearch.

    Shows the plan, then carries it out. What was not made by this command is left as it is. A second run changes
    nothing.
    """
    from sidecar.provision import plan, privileges
    from sidecar.provision.cluster_objects import wanted

    days = {name: chosen for name, chosen in (("logs", keep_logs), ("traces", keep_traces)) if chosen is not None}
    with _engine(config_file, url) as (connection, engine):
        if roles:
            for line in privileges.roles(engine):
                click.echo(line)
            return
        click.echo(str(engine))
        steps = plan.compare(connection.ask, wanted(engine, days), overwrite)
        for step in steps:
            click.echo(str(step))
        for line in plan.overriding(connection.ask, engine):
            click.echo(f"foreign  {line}")
        if dry_run:
            click.echo("dry run: nothing was changed")
            return
        done = sum(1 for _ in plan.apply(connection.ask, steps))
        click.echo(f"{done} changed" if done else "nothing to change")
        if done:
            click.echo("data streams that are there already take this on at their next rollover")
        if key_file is not None:
            _write_key(connection, engine, key_file, api_key_expires)


def _write_key(connection: Connection, engine: Engine, file: Path, expires: float | None) -> None:
    """The file is made first, for its owner only: a key that cannot be written must not be made."""
    from sidecar.provision import privileges

    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as target:
        try:
            target.write(privileges.create_api_key(connection.ask, engine, "model-sidecar", expires) + "\n")
        except BaseException:
            file.unlink()
            raise
    click.echo(f"API key written to {file}: set deliver.elasticsearch.auth.api_key_file to it")


@command.command(name="kibana")
@config_option
@click.option("--url", required=True, help="Address of Kibana or OpenSearch Dashboards, base path included.")
@click.option("--space", default="default", show_default=True, help="Space (Kibana) to put the objects into.")
@_dry_run
@click.option("--overwrite", is_flag=True, help="Replace objects that are there, with what you changed in them.")
def kibana_command(config_file: Path | None, url: str, space: str, dry_run: bool, overwrite: bool) -> None:
    """Data views, saved searches and dashboards. Uses the credentials and certificates of deliver.elasticsearch."""
    from sidecar.deliver.common.connection import Connection
    from sidecar.provision import kibana

    with reached(), Connection(_options(config_file, url)) as connection:
        click.echo(str(kibana.detect(connection.send)))
        objects = kibana.shipped()
        steps = kibana.plan(connection.send, objects, space, overwrite)
        for step in steps:
            click.echo(str(step))
        if dry_run:
            click.echo("dry run: nothing was changed")
            return
        if all(step.action == "keep" for step in steps):
            click.echo("nothing to change")
            return
        done = kibana.load(connection.send, objects, space, overwrite)
        click.echo(f"{sum(step.action != 'keep' for step in done)} changed")


@command.command()
@config_option
@_url
@click.option(
    "--within", default=60, show_default=True, type=click.IntRange(1), help="Minutes; a newer document counts."
)
def check(config_file: Path | None, url: str | None, within: int) -> None:
    """Whether templates and policies are there, writing is allowed, and documents arrive. Exit code 1 if not."""
    from sidecar.provision import verify

    failed = False
    with _engine(config_file, url) as (connection, engine):
        for result in verify.check(connection.ask, engine, within):
            click.echo(f"{result.state:<8} {result.what}: {result.detail}")
            failed = failed or result.state == "failed"
    if failed:
        sys.exit(1)


@contextmanager
def _engine(config_file: Path | None, url: str | None) -> Iterator[tuple[Connection, Engine]]:
    from sidecar.deliver.common.connection import Connection
    from sidecar.provision.search_engine import detect

    with reached(), Connection(_options(config_file, url)) as connection:
        yield connection, detect(connection.ask)


def _options(config_file: Path | None, url: str | None) -> ElasticsearchOptions:
    """The sink's options, with another address if one is given."""
    options: ElasticsearchOptions = settings(config_file).deliver.section("elasticsearch")
    return with_hosts(options, url, "--url", "deliver.elasticsearch")
