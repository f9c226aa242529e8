"""`sidecar drill`."""

from __future__ import annotations

import sys
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sidecar.cli.shared import DURATION, base_address, ingest_options
from sidecar.errors import ConfigError, Permanent

if TYPE_CHECKING:
    from sidecar.drills.alert_waits import Faults
    from sidecar.drills.drill import Drill
    from sidecar.drills.sending import Send, Time
    from sidecar.send.http_sender import Poster


@click.command("drill")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option(
    "--all",
    "every",
    is_flag=True,
    help="Every drill that changes nothing but its own service; with --faults every one.",
)
@click.option("--list", "listed", is_flag=True, help="Show the drills and end.")
@click.option("--verify", is_flag=True, help="Wait until each alert has fired, arrived at its receivers and resolved.")
@click.option("--prometheus", default="http://127.0.0.1:9090", show_default=True, help="Address of Prometheus.")
@click.option("--alertmanager", default="http://127.0.0.1:9093", show_default=True, help="Address of Alertmanager.")
@click.option(
    "--receivers",
    type=click.Path(path_type=Path),
    help="YAML file with the receivers that alerts shall have.  [default: those of the shipped Alertmanager]",
)
@click.option(
    "--faults",
    type=click.Path(path_type=Path),
    help="Program that breaks and repairs the stack, called with the drill's name and `begin` or `end`; without it, "
    "what is to be done is printed.",
)
@click.option("--duration", type=DURATION, default="10m", show_default=True, help="How long to send without --verify.")
@click.option(
    "--timeout",
    type=DURATION,
    help="Of --verify: to fire and arrive, and to resolve.  [default: what each needs by the shipped rules]",
)
@ingest_options
def command(
    names: tuple[str, ...],
    every: bool,
    listed: bool,
    verify: bool,
    prometheus: str,
    alertmanager: str,
    receivers: Path | None,
    faults: Path | None,
    duration: float,
    timeout: float | None,
    poster: Poster,
) -> None:
    """Make alerts fire, by real telemetry sent to a running sidecar for a service and model named sidecar-drill-NAME.

    With --verify, Prometheus and Alertmanager are asked until each alert has fired, has arrived at its receivers, and
    has resolved after the condition has ended. Exit code 1 if one did not. Drills that break something (a service is
    stopped, a full disk) run one by one after the others.
    """
    from sidecar.drills.sending import generate

    if listed:
        _show()
        return
    chosen = _chosen(names, every, faults is not None)
    stack = _Stack(
        base_address("--prometheus", prometheus), base_address("--alertmanager", alertmanager), receivers, faults
    )
    with closing(poster):
        if verify:
            if not stack.verified(chosen, _post(poster), timeout):
                sys.exit(1)
            return
        if by_hand := [drill.name for drill in chosen if drill.fault is not None]:
            raise ConfigError([f"{name} needs --verify: it is more than telemetry" for name in by_hand])
        generate(chosen, _post(poster), duration, _clocks())


def _show() -> None:
    from sidecar.drills.catalog import DRILLS

    for drill in DRILLS:
        click.echo(f"{drill.name:<20} {drill.alert}: {drill.description}")
        for what, text in (("needs", drill.needs), ("disturbs", drill.disturbs)):
            if text:
                click.echo(f"{'':<20}   {what}: {text}")


def _chosen(names: tuple[str, ...], every: bool, with_faults: bool) -> list[Drill]:
    from sidecar.drills.catalog import DRILLS

    known = {drill.name: drill for drill in DRILLS}
    if unknown := [name for name in names if name not in known]:
        raise ConfigError([f"no drill is named {name}; expected one of {', '.join(known)}" for name in unknown])
    if every == bool(names):
        raise ConfigError(["name the drills, or give --all; --list shows them"])
    if every:
        return [drill for drill in known.values() if drill.harmless or with_faults]
    return [drill for name, drill in known.items() if name in names]


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


def _clocks() -> Time:
    from sidecar.drills.sending import Time

    return Time(time.monotonic, time.time_ns, time.sleep)


def _say(line: str) -> None:
    click.echo(line, err=True)


@dataclass(frozen=True, slots=True)
class _Stack:
    """What alerts go through."""

    prometheus: str
    alertmanager: str
    receivers: Path | None
    program: Path | None

    def verified(self, chosen: list[Drill], post: Send, timeout: float | None) -> bool:
        """Whether all fired, arrived and resolved; prints what became of each."""
        from sidecar.deliver.common.http import Unreached
        from sidecar.deliver.common.http_client import HttpClient
        from sidecar.drills import alert_routes
        from sidecar.drills.alert_waits import World, verify
        from sidecar.drills.monitor import HttpMonitor
        from sidecar.options import ClientTls

        tls = ClientTls.model_validate({})
        expected = alert_routes.receivers(self.receivers)
        with (
            closing(HttpClient([self.prometheus], tls, 10, 1)) as first,
            closing(HttpClient([self.alertmanager], tls, 10, 1)) as second,
        ):
            world = World(post, HttpMonitor(first, second), self._faults(), expected, _clocks(), _say)
            try:
                seen = verify(chosen, world, timeout)
            except Unreached as error:
                raise Permanent(f"{error.reason}: {error.detail}") from error
        for one in seen:
            click.echo(str(one))
        return all(one.whole for one in seen)

    def _faults(self) -> Faults:
        from sidecar.drills.faults import ByHand, ByProgram

        return ByHand(_say) if self.program is None else ByProgram(self.program)
