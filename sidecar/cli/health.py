"""`sidecar health`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from sidecar.cli.shared import DURATION
from sidecar.errors import ConfigError


@click.command("health")
@click.option("--targets", "file", type=click.Path(path_type=Path), help="YAML file of services.  [default: localhost]")
@click.option("--only", multiple=True, help="Only the service of this name; may be given several times.")
@click.option("--timeout", type=DURATION, default="5s", show_default=True, help="For each service.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def command(file: Path | None, only: tuple[str, ...], timeout: float, as_json: bool) -> None:
    """Whether every service of the stack answers, and how quickly. Exit code 1 if one does not.

    Model, sidecar, Elasticsearch, Logstash, Kibana, Prometheus, Alertmanager, Grafana and MLflow on their usual ports
    of this host, or those of a file; see docs/how-to/health.md.
    """
    from sidecar import service_health

    targets = list(service_health.LOCAL) if file is None else service_health.targets(file)
    names = [target.name for target in targets]
    if unknown := [name for name in only if name not in names]:
        raise ConfigError(
            [f"--only: no service is named {name}; expected one of {', '.join(names)}" for name in unknown]
        )
    if timeout <= 0:
        raise ConfigError([f"--timeout: invalid duration: {timeout:g}s; expected more than 0"])
    found = service_health.check([t for t in targets if not only or t.name in only], timeout)
    for line in [service_health.as_json(found)] if as_json else service_health.as_table(found):
        click.echo(line)
    if not all(health.up for health in found):
        sys.exit(1)
