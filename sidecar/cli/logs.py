"""`sidecar logs`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from sidecar.cli.shared import DURATION


@click.command("logs")
@click.option("--tee", is_flag=True, help="Write what is read to standard output, unchanged.")
@click.option("--url", default="http://127.0.0.1:4318", show_default=True, help="The sidecar's HTTP ingest.")
@click.option("--token-file", type=click.Path(path_type=Path, exists=True), help="File with the bearer token.")
@click.option(
    "--ca-file", type=click.Path(exists=True), help="PEM file with the authority of the ingest's certificate."
)
@click.option("--buffer-mb", default=16, show_default=True, help="Lines kept in memory while the sidecar is away.")
@click.option(
    "--wait", default=10.0, show_default="10s", type=DURATION, help="Time to send what is left when the input ends."
)
def command(tee: bool, url: str, token_file: Path | None, ca_file: str | None, buffer_mb: int, wait: float) -> None:
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
