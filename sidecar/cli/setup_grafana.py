"""`sidecar setup grafana`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sidecar.errors import ConfigError, Permanent

if TYPE_CHECKING:
    from sidecar.options import ClientAuth, ClientTls


@click.command("grafana")
@click.option("--url", required=True, help="Address of Grafana, base path included.")
@click.option("--token-file", type=click.Path(path_type=Path), help="File with the token of a service account.")
@click.option("--username", help="User of basic authentication, where there is no token.")
@click.option("--password-file", type=click.Path(path_type=Path), help="File with that user's password.")
@click.option(
    "--ca-file", type=click.Path(path_type=Path), help="PEM file with the authority of Grafana's certificate."
)
@click.option("--folder", default="Model sidecar", show_default=True, help="Title of the folder, where it is made.")
@click.option("--dry-run", is_flag=True, help="Show the plan and change nothing.")
@click.option("--overwrite", is_flag=True, help="Replace dashboards that were changed by hand.")
def command(
    url: str,
    token_file: Path | None,
    username: str | None,
    password_file: Path | None,
    ca_file: Path | None,
    folder: str,
    dry_run: bool,
    overwrite: bool,
) -> None:
    """Dashboards, by Grafana's API.

    Shows the plan, then carries it out. A dashboard that was changed by hand since is left as it is. A second run
    changes nothing. Data sources are for Grafana's provisioning: see docs/how-to/grafana.md.
    """
    from sidecar.deliver.common.auth import Authorization
    from sidecar.deliver.common.http import Reply, Unreached
    from sidecar.deliver.common.http_client import HttpClient
    from sidecar.provision import grafana

    auth, tls = _access(token_file, username, password_file, ca_file)
    headers: Mapping[str, str] = {"accept": "application/json", **Authorization(auth).headers()}
    http = HttpClient([_address(url)], tls, 30, 1)

    def ask(method: str, target: str, body: bytes | None) -> Reply:
        return http.request(method, target, body, {**headers, "content-type": "application/json"} if body else headers)

    try:
        click.echo(f"Grafana {grafana.version(ask)}")
        steps = grafana.plan(ask, grafana.shipped(), overwrite)
        for step in steps:
            click.echo(str(step))
        if dry_run:
            click.echo("dry run: nothing was changed")
            return
        done = sum(1 for _ in grafana.apply(ask, steps, folder))
        click.echo(f"{done} changed" if done else "nothing to change")
    except Unreached as error:
        raise Permanent(f"{error.reason}: {error.detail}") from error
    finally:
        http.close()


def _address(url: str) -> str:
    if not url.startswith(("http://", "https://")):
        raise ConfigError([f"--url: invalid address: {url}; expected http:// or https://"])
    return url.rstrip("/")


def _access(
    token: Path | None, username: str | None, password: Path | None, ca: Path | None
) -> tuple[ClientAuth, ClientTls]:
    from pydantic import ValidationError

    from sidecar.options import ClientAuth, ClientTls

    try:
        auth = ClientAuth.model_validate({"token_file": token, "username": username, "password_file": password})
        return auth, ClientTls.model_validate({"ca_file": ca})
    except ValidationError as error:
        raise ConfigError([e["msg"].removeprefix("Value error, ") for e in error.errors()]) from error
