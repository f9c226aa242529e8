"""`sidecar demo`."""

from __future__ import annotations

import click


@click.command("demo")
@click.option("--once", is_flag=True, help="End after showing what was seen; exit code 1 if anything is missing.")
def command(once: bool) -> None:
    """An example model server with the sidecar beside it, on loopback."""
    from sidecar import demo

    demo.run(once)
