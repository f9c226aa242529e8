"""`sidecar logs`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from sidecar.cli.shared import DURATION, ingest_options

if TYPE_CHECKING:
    from sidecar.send.http_sender import Poster


@click.command("logs")
@click.option("--tee", is_flag=True, help="Write what is read to standard output, unchanged.")
@ingest_options
@click.option("--buffer-mb", default=16, show_default=True, help="MiB of lines that wait while the sidecar is away.")
@click.option(
    "--wait", default=10.0, show_default="10s", type=DURATION, help="Time to send what is left when the input ends."
)
def command(poster: Poster, tee: bool, buffer_mb: int, wait: float) -> None:
    """Send the lines of standard input to a running sidecar.

    For programs that only write to their output: `model 2>&1 | sidecar logs --tee`. Ends with the input. Exit code 1
    if lines could not be sent, which never holds the program up.
    """
    from sidecar.send import pipe

    queue = pipe.LineQueue(poster.to(pipe.PATH, pipe.CONTENT_TYPE), buffer_mb << 20)
    ended = pipe.run(sys.stdin.buffer, sys.stdout.buffer if tee else None, queue, wait)
    if ended.dropped or ended.rejected:
        counts = f"{ended.dropped} lines could not be sent to {poster.url}, {ended.rejected} were rejected"
        click.echo(f"sidecar: {counts}" + (f": {ended.reason}" if ended.reason else ""), err=True)
        sys.exit(1)
