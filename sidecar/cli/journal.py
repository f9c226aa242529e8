"""`sidecar journal`: the ledger, delivery of what waits, dead letters."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from sidecar.cli.progress_line import Countdown, bar
from sidecar.cli.shared import AGE, DURATION, config_option, settings

_sink = click.option("--sink", help="Only this sink's.")


@click.group("journal")
def command() -> None:
    """Read the journal, deliver it, handle dead letters."""


@command.command()
@config_option
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def status(config_file: Path | None, as_json: bool) -> None:
    """The ledger and the number of dead letters. Works beside a running sidecar."""
    from sidecar import maintenance

    found = maintenance.journal_status(settings(config_file))
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    for line in maintenance.as_text(found):
        click.echo(line)


@command.command()
@config_option
@click.option(
    "--timeout", default=300.0, show_default="5m", type=DURATION, help="Time after which to give up; exit code 1."
)
def drain(config_file: Path | None, timeout: float) -> None:
    """Deliver everything that is waiting, without receiving. The sidecar of this directory must be stopped."""
    from sidecar import maintenance

    countdown = Countdown("delivering")
    try:
        left = maintenance.drain(settings(config_file), timeout, countdown.show)
    finally:
        countdown.close()
    if left:
        click.echo(
            f"sidecar: {left} items are still waiting after {timeout:g} s; see `sidecar journal status`", err=True
        )
        sys.exit(1)
    click.echo(f"{countdown.total} items were waiting, all are delivered")


@command.group(name="dead-letters")
def dead_letters() -> None:
    """Documents that a destination rejected for good."""


@dead_letters.command(name="list")
@config_option
@_sink
@click.option("--limit", default=100, show_default=True, help="At most this many, oldest first.")
@click.option("--show", is_flag=True, help="With the documents.")
def list_(config_file: Path | None, sink: str | None, limit: int, show: bool) -> None:
    """Time, sink, index, document id and the destination's reason. Works beside a running sidecar."""
    from sidecar import maintenance

    for line in maintenance.list_dead_letters(settings(config_file), sink, limit, show):
        click.echo(line)


@dead_letters.command()
@config_option
@click.argument("number", type=int)
def show(config_file: Path | None, number: int) -> None:
    """One of them, by its number in the list, with its document. Works beside a running sidecar."""
    from sidecar import maintenance

    click.echo(maintenance.show_dead_letter(settings(config_file), number))


@dead_letters.command()
@config_option
@_sink
@click.option("--output", type=click.File("w", encoding="utf-8", lazy=True), default="-", help="File; else stdout.")
def export(config_file: Path | None, sink: str | None, output: Any) -> None:
    """All of them as JSON, one a line, with documents and reasons. They stay. Works beside a running sidecar."""
    from sidecar import maintenance

    for line in maintenance.export_dead_letters(settings(config_file), sink):
        click.echo(line, file=output)


@dead_letters.command()
@config_option
@click.option("--older-than", "age", type=AGE, required=True, help="Such as `7d`; older ones are deleted.")
@click.option("--keep", default=2**31, type=click.IntRange(0), help="And of the others the oldest past this many.")
def expire(config_file: Path | None, age: float, keep: int) -> None:
    """Delete old ones, as the sidecar does by `journal.dead_letters.max_age`. Works beside a running one."""
    from sidecar import maintenance

    click.echo(f"{maintenance.expire_dead_letters(settings(config_file), age, keep)} deleted")


@dead_letters.command()
@config_option
@_sink
def replay(config_file: Path | None, sink: str | None) -> None:
    """Send them again, after the mapping was fixed; what is accepted leaves the dead letters. Works beside a running
    sidecar. Exit code 1 if any was rejected again."""
    from sidecar import maintenance

    replayed, rejected = maintenance.replay_dead_letters(
        settings(config_file), sink, lambda count: bar(count, "replaying")
    )
    click.echo(f"{replayed} replayed, {rejected} rejected")
    if rejected:
        sys.exit(1)
