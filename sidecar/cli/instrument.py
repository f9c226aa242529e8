"""`sidecar instrument`: a model's process under zero-code instrumentation, and the bundle for its container."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from sidecar.cli.shared import environment
from sidecar.errors import SidecarError
from sidecar.instrument import app_check
from sidecar.instrument import bundle as bundles

ENDPOINT = "http://127.0.0.1:4318"
ENVIRONMENT = {
    "OTEL_EXPORTER_OTLP_ENDPOINT": ENDPOINT,
    "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
    "OTEL_TRACES_EXPORTER": "otlp",
    "OTEL_METRICS_EXPORTER": "otlp",
    "OTEL_LOGS_EXPORTER": "otlp",
    "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE": "64",
    "OTEL_BLRP_SCHEDULE_DELAY": "500",
    "OTEL_BSP_SCHEDULE_DELAY": "500",
    "OTEL_SEMCONV_STABILITY_OPT_IN": "http",
}
"""Defaults of the process's environment."""
SAMPLER = "sidecar_ratio"
"""The instrumentation's sampler; the SDK's own do not write its adjusted count into a span."""


class _Instrument(click.Group):
    """A command that starts any program, and has commands of its own: one of those is meant where its name is the first
    word. `instrument -- bundle` starts a program of that name."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        child = self.commands.get(args[0]) if args else None
        if child is not None:
            return child.make_context(f"{info_name} {args[0]}", args[1:], parent, **extra)
        return super().make_context(info_name, args, parent, **extra)


@click.group("instrument", cls=_Instrument, invoke_without_command=True, subcommand_metavar="")
@click.option("--endpoint", help=f"The sidecar's OTLP/HTTP address.  [default: {ENDPOINT}]")
@click.option("--service", help="service.name of the process.  [default: by the command]")
@click.option("--model", help="Name of the model.  [default: by MLflow, the model's file or its class]")
@click.option("--model-version", help="Version of the model.")
@click.option("--capture", type=click.Choice(["features", "predictions", "none"]), help="What events hold.")
@click.option(
    "--sample",
    type=click.FloatRange(0, 1),
    help="Share of the traces to keep. Spans carry it, so that their metrics are scaled; predictions are not sampled.",
)
@click.option(
    "--check", is_flag=True, help="List what COMMAND lacks, and run nothing. Exit code 1 if it lacks anything."
)
@click.option("--bundle", type=click.Path(path_type=Path), help="Use this bundle instead of installed packages.")
@click.argument("words", metavar="COMMAND...", nargs=-1, required=True, type=click.UNPROCESSED)
def command(
    endpoint: str | None,
    service: str | None,
    model: str | None,
    model_version: str | None,
    capture: str | None,
    sample: float | None,
    bundle: Path | None,
    check: bool,
    words: Sequence[str],
) -> None:
    """Run COMMAND with its predictions, requests and spans sent to the sidecar: `sidecar instrument -- python app.py`.

    Sets environment variables and replaces itself by COMMAND. Variables that are set already stay; options win over
    them. Nothing of the app is changed.
    """
    given = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        "OTEL_SERVICE_NAME": service,
        "SIDECAR_MODEL_NAME": model,
        "SIDECAR_MODEL_VERSION": model_version,
        "SIDECAR_CAPTURE": capture,
        "OTEL_TRACES_SAMPLER": None if sample is None else SAMPLER,
        "OTEL_TRACES_SAMPLER_ARG": None if sample is None else repr(sample),
    }
    if check:
        sys.exit(_check(words))
    startup = bundle.absolute() if bundle else bundles.package_folder() / "startup"
    if not (startup / "sitecustomize.py").exists():
        raise bundles.BundleError(
            f"invalid bundle: {startup} has no sitecustomize.py; make one with `sidecar instrument bundle {startup}`"
        )
    environ = prepared(environment(), startup, words, {k: v for k, v in given.items() if v is not None})
    os.execve(_program(words, environ), list(words), environ)


def _program(command: Sequence[str], environ: Mapping[str, str]) -> str:
    program = shutil.which(command[0], path=environ.get("PATH"))
    if program is None:
        raise SidecarError(f"invalid command: {command[0]}; expected a program on PATH")
    return program


def _check(command: Sequence[str]) -> int:
    """The exit code of `--check`."""
    python = app_check.python_of(Path(_program(command, os.environ)))
    names = app_check.missing(app_check.distributions(python))
    if not names:
        click.echo(f"{python}: nothing is missing")
        return 0
    click.echo(f"{python}: not installed: {', '.join(names)}")
    if bundles.DISTRIBUTION in names:
        click.echo(
            "model-sidecar-instrumentation comes with the source of model-sidecar: pip install ./instrumentation"
        )
    click.echo("pip install " + " ".join(name for name in names if name != bundles.DISTRIBUTION))
    return 1


def prepared(
    environ: Mapping[str, str], startup: Path, command: Sequence[str], given: Mapping[str, str]
) -> dict[str, str]:
    """The environment for `command`: `given`, then what is in `environ`, then the defaults; `startup` first on
    PYTHONPATH."""
    path = [p for p in environ.get("PYTHONPATH", "").split(os.pathsep) if p and p != str(startup)]
    made = {**ENVIRONMENT, **environ, **given, "PYTHONPATH": os.pathsep.join([str(startup), *path])}
    if "service.name=" not in made.get("OTEL_RESOURCE_ATTRIBUTES", ""):
        made.setdefault("OTEL_SERVICE_NAME", service_of(command))
    return made


def service_of(command: Sequence[str]) -> str:
    """A name for what runs: `app` of `python app.py`, `server` of `python -m uvicorn server:app`, else the program."""
    words = [word for word in command[1:] if not word.startswith("-")]
    target = next((word for word in words if ":" in word and "/" not in word and not word[0].isdigit()), None)
    if target is not None:
        return target.partition(":")[0]
    if Path(command[0]).name.startswith("python") and words:
        return Path(words[0]).name.removesuffix(".py")
    return Path(command[0]).name


@command.command(name="bundle")
@click.argument("directory", type=click.Path(path_type=Path))
@click.option(
    "--python",
    "versions",
    multiple=True,
    default=bundles.VERSIONS,
    show_default=True,
    help="Oldest Python of a set of packages; may be given several times.",
)
def make_bundle(directory: Path, versions: tuple[str, ...]) -> None:
    """Write to DIRECTORY all that instruments a Python model server, for PYTHONPATH.

    Nothing in it is compiled. A container with PYTHONPATH=DIRECTORY sends its telemetry to the sidecar on 127.0.0.1; an
    image's own sitecustomize still runs. Needs pip and the package index.
    """

    def show(version: str) -> None:
        click.echo(f"packages for Python {version}", err=True)

    for line in bundles.make(directory.absolute(), tuple(versions), show):
        click.echo(line)
    click.echo(f"PYTHONPATH={directory.absolute()}")
