"""`sidecar report`."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sidecar.cli.shared import DURATION, client_access
from sidecar.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from sidecar.deliver.common.http import Send
    from sidecar.report.contents import Report
    from sidecar.report.figure_source import Source
    from sidecar.report.period import Period


@click.command("report")
@click.option("--prometheus", metavar="URL", help="Address of Prometheus, base path included.")
@click.option("--sidecar", metavar="URL", help="Instead: address of one sidecar's metrics; since its counters began.")
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
@click.option("--token-file", type=click.Path(path_type=Path), help="File with a bearer token for the source.")
@click.option("--username", help="User of basic authentication, where there is no token.")
@click.option("--password-file", type=click.Path(path_type=Path), help="File with that user's password.")
@click.option("--ca-file", type=click.Path(path_type=Path), help="PEM file with the authority of its certificate.")
@click.option("--mlflow-token-file", type=click.Path(path_type=Path), help="File with a bearer token for MLflow.")
@click.option("--mlflow-ca-file", type=click.Path(path_type=Path), help="PEM file with the authority of MLflow's.")
@click.option("--timeout", type=DURATION, default="2m", show_default=True, help="For each request.")
def command(
    prometheus: str | None,
    sidecar: str | None,
    seconds: float,
    end: str | None,
    models: tuple[str, ...],
    namespace: str,
    format_: str,
    out: str | None,
    mlflow: str | None,
    mlflow_experiment: str,
    token_file: Path | None,
    username: str | None,
    password_file: Path | None,
    ca_file: Path | None,
    mlflow_token_file: Path | None,
    mlflow_ca_file: Path | None,
    timeout: float,
) -> None:
    """How models did over a period, and what changed since the period before: one HTML page, or JSON.

    From Prometheus, over all pods; see docs/how-to/report.md. Exit code 1 if it cannot be read or has nothing about
    models, 2 for wrong options.
    """
    from sidecar.deliver.common.connection import Connection
    from sidecar.report import building

    address = _source_address(prometheus, sidecar, models, namespace)
    chosen = _period(seconds, end, prometheus is not None)
    if out is None:
        out = "-" if mlflow is None else ""
    if out not in ("-", "") and not Path(out).parent.is_dir():
        raise ConfigError([f"--out: no folder {Path(out).parent}; expected one that exists"])
    server = client_access(
        address, token=token_file, username=username, password=password_file, ca=ca_file, timeout=timeout
    )
    tracking = None
    if mlflow is not None:
        tracking = client_access(
            _address("--mlflow", mlflow), token=mlflow_token_file, ca=mlflow_ca_file, timeout=timeout, prefix="mlflow-"
        )
    with Connection(server) as connection:
        source = _source(connection.send, address, prometheus is not None, models, namespace)
        report = building.build(source, chosen, time.time(), prometheus is not None)
    if out:
        _write(report, format_, out, chosen)
    if tracking is not None:
        with Connection(tracking) as connection:
            _log(report, connection.send, tracking.hosts[0], mlflow_experiment)


def _source_address(prometheus: str | None, sidecar: str | None, models: tuple[str, ...], namespace: str) -> str:
    if (prometheus is None) == (sidecar is None):
        raise ConfigError(["incomplete source: expected --prometheus or --sidecar, one of them"])
    if prometheus is not None:
        return _address("--prometheus", prometheus)
    if models or namespace:
        raise ConfigError(["--model and --namespace need --prometheus"])
    assert sidecar is not None
    return _address("--sidecar", sidecar)


def _address(option: str, url: str) -> str:
    from sidecar.deliver.common.addresses import check_url

    try:
        check_url(url)
    except ValueError as error:
        raise ConfigError([f"{option}: {error}"]) from error
    return url.rstrip("/")


def _period(seconds: float, end: str | None, has_history: bool) -> Period:
    from sidecar.decode.logs.timestamps import parse_date, parse_time
    from sidecar.report.period import period

    now = time.time()
    if end is not None and not has_history:
        raise ConfigError(["--end needs --prometheus: a sidecar has no history"])
    found = None if end is None else parse_time(end) or parse_date(end)
    if end is not None and found is None:
        raise ConfigError([f"--end: invalid time: {end!r}; expected ISO 8601 or seconds since 1970"])
    try:
        return period(seconds, now if found is None else found / 1e9, now)
    except ValueError as error:
        raise ConfigError([str(error)]) from error


def _source(send: Send, address: str, is_prometheus: bool, models: tuple[str, ...], namespace: str) -> Source:
    from sidecar.report.exposition_source import ExpositionSource
    from sidecar.report.expressions import Selection
    from sidecar.report.prometheus import Prometheus
    from sidecar.report.prometheus_source import PrometheusSource

    if not is_prometheus:
        return ExpositionSource(send, address)
    return PrometheusSource(Prometheus(send, address), Selection(models, namespace))


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


def _log(report: Report, send: Send, address: str, experiment: str) -> None:
    from sidecar.report.mlflow_run import Tracking
    from sidecar.report.page import as_html

    run, uploaded = Tracking(send, address).log(report, as_html(report), experiment)
    click.echo(f"MLflow: run {run} of {experiment}", err=True)
    if not uploaded:
        click.echo("MLflow: the page was not uploaded, since this server is no proxy of its artifacts", err=True)
