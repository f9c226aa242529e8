"""`sidecar inject`: the sidecar put into pods, in manifests or by a webhook."""

from __future__ import annotations

import sys
from pathlib import Path

import click


@click.command("inject")
@click.option("--stdin", "from_stdin", is_flag=True, help="Read manifests from standard input, print them patched.")
@click.option("--serve", "as_webhook", is_flag=True, help="Serve the admission webhook until SIGTERM.")
@click.option(
    "--profile", type=click.Path(path_type=Path), help="YAML file with what is injected.  [default: built in]"
)
@click.option(
    "--plain", is_flag=True, help="A plain container instead of a native sidecar, for Kubernetes before 1.29."
)
@click.option("--cert-file", type=click.Path(path_type=Path), help="--serve: PEM file with the certificate chain.")
@click.option("--key-file", type=click.Path(path_type=Path), help="--serve: PEM file with its private key.")
@click.option("--host", default="0.0.0.0", show_default=True, help="--serve: address to listen on.")
@click.option("--port", default=8443, show_default=True, type=click.IntRange(0, 65535), help="--serve: port.")
def command(
    from_stdin: bool,
    as_webhook: bool,
    profile: Path | None,
    plain: bool,
    cert_file: Path | None,
    key_file: Path | None,
    host: str,
    port: int,
) -> None:
    """Put the sidecar into pods.

    `sidecar inject --stdin < deployment.yaml` prints the manifest with the sidecar in every Deployment, StatefulSet,
    DaemonSet, Job, CronJob and Pod that does not say `model-sidecar/inject: "false"`; what was done is on stderr. If
    one cannot be injected nothing is printed, and the exit code is 1. `sidecar inject --serve` does the same to new
    pods that the API server asks about; there only pods that ask for it are injected.
    """
    from sidecar.inject import profile as profiles

    if from_stdin == as_webhook:
        raise click.UsageError("give one of --stdin and --serve")
    loaded = profiles.load(profile)
    if plain:
        loaded = loaded.model_copy(update={"native": False})
    if from_stdin:
        from sidecar.inject import manifests

        patched = manifests.patch(sys.stdin.read(), loaded)
        for note in patched.notes:
            click.echo(f"sidecar: {note}", err=True)
        click.echo(patched.text, nl=False)
        return
    if cert_file is None or key_file is None:
        raise click.UsageError("--serve needs --cert-file and --key-file")
    from sidecar.inject import server
    from sidecar.telemetry import configure_logging

    configure_logging("info")
    server.run(loaded, server.Address(host, port, cert_file, key_file))
