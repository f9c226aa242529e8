"""`sidecar report`."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sidecar.cli.shared import DURATION, base_address, client_access, config_option, reached, settings
from sidecar.errors import ConfigError

if TYPE_CHECKING:
    from sidecar.deliver.common.connection import Server
    from sidecar.report.contents import Report
    from sidecar.report.period import Period
    from sidecar.report.sources import SourceType, Takes


def _source_options(function: Callable[..., None]) -> Callable[..., None]:
    """An option for each source; `places` of the function is what was given of them."""
    from sidecar.report.sources import SOURCES

    for source in reversed(SOURCES):
        function = click.option(source.option, metavar=source.place, help=source.help)(function)
    return function


@click.command("report")
@_source_options
@click.option("--period", "seconds", type=DURATION, default="7d", show_default=True, help="How long, up to --end.")
@click.option("--end", help="ISO 8601 or seconds since 1970.  [default: now]")
@click.option("--model", "models", multiple=True, help="Only this model; may be given several times.")
@click.option("--namespace", default="", help="Only series with this label `namespace`.")
@click.option(
    "--format",
    "format_",
    type=click.Choice(["html", "json"]),
    default="html",
    show_default=True,
    help="A page, or its figures.",
)
@click.option(
    "--out",
    help="File, or directory: a file named by the end's date.  [default: standard output, unless --mlflow is given]",
)
@click.option("--mlflow", metavar="URL", help="Log the figures and the page to this tracking server, too.")
@click.option("--mlflow-experiment", default="model-sidecar", show_default=True, help="Made where it is missing.")
@config_option
@click.option("--token-file", type=click.Path(path_type=Path), help="File with a bearer token for the source.")
@click.option("--username", help="User of basic authentication, where there is no token.")
@click.option("--password-file", type=click.Path(path_type=Path), help="File with that user's password.")
@click.option("--ca-file", type=click.Path(path_type=Path), help="PEM file with the authority of its certificate.")
@click.option("--mlflow-token-file", type=click.Path(path_type=Path), help="File with a bearer token for MLflow.")
@click.option("--mlflow-ca-file", type=click.Path(path_type=Path), help="PEM file with the authority of MLflow's.")
@click.option("--timeout", type=DURATION, default="2m", show_default=True, help="For each request.")
def command(
    seconds: float,
    end: str | None,
    models: tuple[str, ...],
    namespace: str,
    format_: str,
    out: str | None,
    mlflow: str | None,
    mlflow_experiment: str,
    config_file: Path | None,
    token_file: Path | None,
    username: str | None,
    password_file: Path | None,
    ca_file: Path | None,
    mlflow_token_file: Path | None,
    mlflow_ca_file: Path | None,
    timeout: float,
    **places: str | None,
) -> None:
    """How models did over a period, and what changed since the period before: one HTML page, or JSON.

    From one source: Prometheus, over all pods, or one of the others; see docs/how-to/report.md for what each has. Exit
    code 1 if it cannot be read or has nothing about models, 2 for wrong options.
    """
    from sidecar.report import building
    from sidecar.report.sources import Asked

    source, place = _chosen(places)
    _check_taken(
        source,
        {
            "end": end,
            "model": models,
            "namespace": namespace,
            "config": config_file,
            "credentials": token_file or username or password_file or ca_file,
        },
    )
    chosen = _period(seconds, end)
    if out is None:
        out = "-" if mlflow is None else ""
    if out not in ("-", "") and not Path(out).parent.is_dir():
        raise ConfigError([f"--out: no folder {Path(out).parent}; expected one that exists"])
    server = client_access(
        place, token=token_file, username=username, password=password_file, ca=ca_file, timeout=timeout
    )
    tracking = None
    if mlflow is not None:
        tracking = client_access(
            base_address("--mlflow", mlflow),
            token=mlflow_token_file,
            ca=mlflow_ca_file,
            timeout=timeout,
            prefix="mlflow-",
        )
    asked = Asked(place, chosen, models, namespace, server, lambda: settings(config_file))
    with reached(), source.opened(asked) as opened:
        report = building.build(opened, chosen, time.time())
    if out:
        _write(report, format_, out, chosen)
    if tracking is not None:
        _log(report, tracking, mlflow_experiment)


def _chosen(places: Mapping[str, str | None]) -> tuple[SourceType, str]:
    """The source, and where it is."""
    from sidecar.report.sources import SOURCES

    given = [(source, place) for source in SOURCES if (place := places[source.name]) is not None]
    if len(given) != 1:
        *others, last = (source.option for source in SOURCES)
        found = "incomplete" if not given else "ambiguous"
        raise ConfigError([f"{found} source: expected {', '.join(others)} or {last}, one of them"])
    ((source, place),) = given
    return source, base_address(source.option, place) if source.place == "URL" else place


def _check_taken(source: SourceType, given: Mapping[Takes, Any]) -> None:
    """Raises `ConfigError` for options that the source does not understand."""
    wrong = [name for name, value in given.items() if value and name not in source.takes]
    if wrong:
        raise ConfigError([f"{_FLAGS[name]}: not with {source.option}" for name in wrong])


_FLAGS: Mapping[Takes, str] = {
    "end": "--end",
    "model": "--model",
    "namespace": "--namespace",
    "config": "--config",
    "credentials": "credentials and --ca-file",
}


def _period(seconds: float, end: str | None) -> Period:
    from sidecar.decode.logs.timestamps import parse_date, parse_time
    from sidecar.report.period import period

    now = time.time()
    found = None if end is None else parse_time(end) or parse_date(end)
    if end is not None and found is None:
        raise ConfigError([f"--end: invalid time: {end!r}; expected ISO 8601 or seconds since 1970"])
    try:
        return period(seconds, now if found is None else found / 1e9, now)
    except ValueError as error:
        raise ConfigError([str(error)]) from error


def _write(report: Report, format_: str, out: str, chosen: Period) -> None:
    from sidecar.report.as_json import as_json
    from sidecar.report.page import as_html
    from sidecar.whole_file import write_whole

    writers: dict[str, Callable[[Report], str]] = {"html": as_html, "json": as_json}
    text = writers[format_](report).encode("utf-8", "replace")
    if out == "-":
        sys.stdout.buffer.write(text)
        sys.stdout.buffer.flush()
        return
    file = Path(out)
    if file.is_dir():
        file /= time.strftime(f"report-%Y-%m-%dT%H%M.{format_}", time.gmtime(chosen.end))
    write_whole(file, text)
    click.echo(f"{file}: {len(report.models)} models, {len(text)} bytes", err=True)


def _log(report: Report, tracking: Server, experiment: str) -> None:
    from sidecar.deliver.common.connection import Connection
    from sidecar.report.mlflow_run import Tracking
    from sidecar.report.page import as_html

    with Connection(tracking) as connection:
        logged = Tracking(connection.send, tracking.hosts[0])
        run, uploaded = logged.log(report, as_html(report), experiment)
    click.echo(f"MLflow: run {run} of {experiment}", err=True)
    if not uploaded:
        click.echo("MLflow: the page was not uploaded, since this server is no proxy of its artifacts", err=True)
