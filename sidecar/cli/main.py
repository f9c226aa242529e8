"""The command line. Exit codes: 0 done, 1 something failed (said on stderr), 2 wrong usage or configuration."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any, ClassVar

import click

from sidecar import __version__
from sidecar.cli.shared import config_option as _config_option
from sidecar.cli.shared import reported as _reported
from sidecar.cli.shared import settings as _settings


class _Commands(click.Group):
    """Commands of which some are imported only when they are asked for: `--version` and the start of an instrumented
    program wait for nothing else."""

    elsewhere: ClassVar = {
        "instrument": "sidecar.cli.instrument",
        "agent": "sidecar.cli.instrument",
        "setup": "sidecar.cli.setup",
        "labels": "sidecar.cli.labels",
    }

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *self.elsewhere})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in self.elsewhere and cmd_name not in self.commands:
            self.add_command(getattr(importlib.import_module(self.elsewhere[cmd_name]), cmd_name))
        return super().get_command(ctx, cmd_name)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="sidecar")
def main() -> None:
    """Telemetry sidecar for model containers: OTLP and JSON logs in, metrics out, spans and logs delivered."""


@main.command()
@_config_option
@_reported
def run(config_file: Path | None) -> None:
    """Run the sidecar until SIGTERM or SIGINT."""
    from sidecar import app

    app.run(_settings(config_file))


@main.command()
@click.option("--tee", is_flag=True, help="Write what is read to standard output, unchanged.")
@click.option("--url", default="http://127.0.0.1:4318", show_default=True, help="The sidecar's HTTP ingest.")
@click.option("--token-file", type=click.Path(path_type=Path, exists=True), help="File with the bearer token.")
@click.option(
    "--ca-file", type=click.Path(exists=True), help="PEM file with the authority of the ingest's certificate."
)
@click.option("--buffer-mb", default=16, show_default=True, help="Lines kept in memory while the sidecar is away.")
@click.option("--wait", default=10.0, show_default=True, help="Seconds to send what is left at the end of the input.")
@_reported
def logs(tee: bool, url: str, token_file: Path | None, ca_file: str | None, buffer_mb: int, wait: float) -> None:
    """Send the lines of standard input to a running sidecar.

    For programs that only write to their output: `model 2>&1 | sidecar logs --tee`. Ends with the input. Exit code 1
    if lines could not be sent, which never holds the program up.
    """
    from sidecar.send import pipe

    token = token_file.read_text().split()[0] if token_file is not None else None
    sender = pipe.Sender(pipe.poster(url, token, ca_file), buffer_mb << 20)
    ended = pipe.run(sys.stdin.buffer, sys.stdout.buffer if tee else None, sender, wait)
    if ended.dropped or ended.refused:
        click.echo(f"sidecar: {ended.dropped} lines could not be sent to {url}, {ended.refused} were refused", err=True)
        sys.exit(1)


@main.command()
@click.option("--once", is_flag=True, help="End after showing what was seen; exit code 1 if anything is missing.")
@_reported
def demo(once: bool) -> None:
    """An example model server with the sidecar beside it, on loopback."""
    from sidecar import demo as show

    show.run(once)


@main.command()
@_config_option
@_reported
def check(config_file: Path | None) -> None:
    """Say what would keep the sidecar from working.

    Looks at the decoder, the directories, the credentials, the ports and the far sides. Changes nothing. Exit code 1 if
    anything failed; warnings are for you to judge.
    """
    from sidecar import preflight

    results = preflight.check(_settings(config_file))
    for result in results:
        click.echo(f"{result.state:<8} {result.what}: {result.detail}")
    if any(r.state == "failed" for r in results):
        sys.exit(1)


@main.group(name="config")
def config_group() -> None:
    """Show and describe the configuration."""


@config_group.command(name="show")
@_config_option
@_reported
def config_show(config_file: Path | None) -> None:
    """The configuration in force, secrets masked, as YAML."""
    from sidecar import reference

    click.echo(reference.as_yaml(_settings(config_file)), nl=False)


@config_group.command(name="schema")
@_reported
def config_schema() -> None:
    """The JSON Schema of the configuration file."""
    from sidecar import reference

    click.echo(json.dumps(reference.schema(), indent=2, sort_keys=True))


@config_group.command(name="docs")
@_reported
def config_docs() -> None:
    """Every setting, environment variable, command and metric of the program, as Markdown."""
    from sidecar import reference

    click.echo(reference.markdown(main), nl=False)


@main.group()
def journal() -> None:
    """Look into the journal, deliver it, handle dead letters."""


@journal.command(name="stat")
@_config_option
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@_reported
def journal_stat(config_file: Path | None, as_json: bool) -> None:
    """The ledger and the number of dead letters. Works beside a running sidecar."""
    from sidecar import maintenance

    stat = maintenance.stat(_settings(config_file))
    if as_json:
        click.echo(json.dumps(stat, indent=2))
        return
    for line in maintenance.as_text(stat):
        click.echo(line)


@journal.command(name="drain")
@_config_option
@click.option("--timeout", default=300.0, show_default=True, help="Seconds after which to give up; exit code 1.")
@_reported
def journal_drain(config_file: Path | None, timeout: float) -> None:
    """Deliver everything that is waiting, without receiving. The sidecar of this directory must be stopped."""
    from sidecar import maintenance

    total = 0
    bar: Any = None

    def progress(waiting: int) -> None:
        nonlocal total, bar
        if bar is None:
            total = waiting
            bar = click.progressbar(length=total, label="delivering", file=sys.stderr)
            bar.__enter__()
        bar.update(max(0, total - waiting - bar.pos))

    left = maintenance.drain(_settings(config_file), timeout, progress)
    if bar is not None:
        bar.__exit__(None, None, None)
    if left:
        click.echo(f"sidecar: {left} items are still waiting after {timeout:g} s; see `sidecar journal stat`", err=True)
        sys.exit(1)
    click.echo(f"{total} items were waiting, all are delivered")


@journal.group(name="dead-letters")
def dead_letters() -> None:
    """Documents that a far side refused for good."""


@dead_letters.command(name="list")
@_config_option
@click.option("--sink", help="Only this sink's.")
@click.option("--limit", default=100, show_default=True, help="At most this many, oldest first.")
@click.option("--show", is_flag=True, help="With the documents.")
@_reported
def dead_letters_list(config_file: Path | None, sink: str | None, limit: int, show: bool) -> None:
    """Time, sink, index, document id and the far side's reason. Works beside a running sidecar."""
    from sidecar import maintenance

    for line in maintenance.list_dead_letters(_settings(config_file), sink, limit, show):
        click.echo(line)


@dead_letters.command(name="show")
@_config_option
@click.argument("number", type=int)
@_reported
def dead_letters_show(config_file: Path | None, number: int) -> None:
    """One of them, by its number in the list, with its document. Works beside a running sidecar."""
    from sidecar import maintenance

    click.echo(maintenance.show_dead_letter(_settings(config_file), number))


@dead_letters.command(name="export")
@_config_option
@click.option("--sink", help="Only this sink's.")
@click.option("--output", type=click.File("w", encoding="utf-8", lazy=True), default="-", help="File; else stdout.")
@_reported
def dead_letters_export(config_file: Path | None, sink: str | None, output: Any) -> None:
    """All of them as JSON, one a line, with documents and reasons. They stay. Works beside a running sidecar."""
    from sidecar import maintenance

    for line in maintenance.export_dead_letters(_settings(config_file), sink):
        click.echo(line, file=output)


@dead_letters.command(name="expire")
@_config_option
@click.option("--older-than", "days", type=click.FloatRange(0), required=True, help="Days; older ones are deleted.")
@click.option("--keep", default=2**31, type=click.IntRange(0), help="And of the others the oldest past this many.")
@_reported
def dead_letters_expire(config_file: Path | None, days: float, keep: int) -> None:
    """Delete old ones, as the sidecar does by `journal.dead_letters.max_age`. Works beside a running one."""
    from sidecar import maintenance

    click.echo(f"{maintenance.expire_dead_letters(_settings(config_file), days, keep)} deleted")


@dead_letters.command(name="replay")
@_config_option
@click.option("--sink", help="Only this sink's.")
@_reported
def dead_letters_replay(config_file: Path | None, sink: str | None) -> None:
    """Send them again, after the mapping was mended; what is taken leaves the dead letters. Works beside a running
    sidecar. Exit code 1 if any was refused again."""
    from sidecar import maintenance

    def progress(count: int) -> Any:
        return click.progressbar(length=count, label="replaying", file=sys.stderr)

    taken, refused = maintenance.replay_dead_letters(_settings(config_file), sink, progress)
    click.echo(f"{taken} taken, {refused} refused again")
    if refused:
        sys.exit(1)


if __name__ == "__main__":
    main()
