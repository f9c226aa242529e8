"""`sidecar drill`."""

from __future__ import annotations

import sys
import time
from contextlib import closing
from typing import TYPE_CHECKING

import click

from sidecar.cli.shared import DURATION, ingest_options
from sidecar.errors import ConfigError, Permanent

if TYPE_CHECKING:
    from sidecar.drills import Drill, Send, Time
    from sidecar.send.http_sender import Poster


@click.command("drill")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--all", "every", is_flag=True, help="Every drill.")
@click.option("--list", "listed", is_flag=True, help="Show the drills and end.")
@click.option("--verify", is_flag=True, help="Wait until each alert has fired, arrived and resolved.")
@click.option("--prometheus", default="http://127.0.0.1:9090", show_default=True, help="Address of Prometheus.")
@click.option("--alertmanager", default="http://127.0.0.1:9093", show_default=True, help="Address of Alertmanager.")
@click.option("--duration", type=DURATION, default="10m", show_default=True, help="How long to send without --verify.")
@click.option(
    "--timeout", type=DURATION, default="30m", show_default=True, help="Of --verify: to fire, and to resolve."
)
@ingest_options
def command(
    names: tuple[str, ...],
    every: bool,
    listed: bool,
    verify: bool,
    prometheus: str,
    alertmanager: str,
    duration: float,
    timeout: float,
    poster: Poster,
) -> None:
    """Make an alert fire by real telemetry, sent to a running sidecar for a service named sidecar-drill-NAME.

    With --verify, Prometheus and Alertmanager are asked until each alert has fired, was routed, and resolved after the
    telemetry has stopped. Exit code 1 if one did not.
    """
    from sidecar import drills

    if listed:
        for drill in drills.DRILLS:
            click.echo(f"{drill.name:<20} {drill.alert}: {drill.description}")
        return
    chosen = _chosen(names, every)
    clocks = drills.Time(time.monotonic, time.time_ns, time.sleep)
    with closing(poster):
        post = _post(poster)
        if not verify:
            drills.generate(chosen, post, duration, clocks)
            return
        if not _verified(chosen, post, prometheus, alertmanager, timeout, clocks):
            sys.exit(1)


def _chosen(names: tuple[str, ...], every: bool) -> list[Drill]:
    from sidecar import drills

    known = {drill.name: drill for drill in drills.DRILLS}
    if unknown := [name for name in names if name not in known]:
        raise ConfigError([f"no drill is named {name}; expected one of {', '.join(known)}" for name in unknown])
    if every == bool(names):
        raise ConfigError(["name the drills, or give --all; --list shows them"])
    return [drill for name, drill in known.items() if every or name in names]


def _post(poster: Poster) -> Send:
    """The ingest, with the credentials that were given or with wrong ones."""
    from sidecar.errors import Retryable

    def post(path: str, body: bytes, wrong_token: bool) -> int:
        way = poster.with_token("not-a-token-of-this-sidecar") if wrong_token else poster
        try:
            return way.to(path, "application/json")(body, "").status
        except Retryable as error:
            raise Permanent(f"the sidecar does not answer at {poster.url}: {error.reason}") from error

    return post


def _verified(
    chosen: list[Drill], post: Send, prometheus: str, alertmanager: str, timeout: float, clocks: Time
) -> bool:
    from sidecar import drills
    from sidecar.deliver.common.http import Unreached
    from sidecar.deliver.common.http_client import HttpClient
    from sidecar.drill_monitor import HttpMonitor
    from sidecar.options import ClientTls

    tls = ClientTls.model_validate({})
    with (
        closing(HttpClient([prometheus], tls, 10, 1)) as first,
        closing(HttpClient([alertmanager], tls, 10, 1)) as second,
    ):
        monitor = HttpMonitor(first, second)

        def report(line: str) -> None:
            click.echo(line, err=True)

        try:
            seen = drills.verify(chosen, post, monitor, timeout, clocks, report)
        except Unreached as error:
            raise Permanent(f"{error.reason}: {error.detail}") from error
    for one in seen:
        click.echo(str(one))
    return all(one.whole for one in seen)
