"""`sidecar expectations`: what of Great Expectations suites is evaluated."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

import click

_PATH = click.Path(path_type=Path, exists=True)


@click.command("expectations")
@click.argument("suites", type=_PATH, nargs=-1, required=True)
@click.option("--strict", is_flag=True, help="Exit code 1 if an expectation is not evaluated.")
def command(suites: tuple[Path, ...], strict: bool) -> None:
    """List the expectations of suites (derive.drift.suites), and why some are not evaluated.

    Of a directory all its *.json files.
    """
    from sidecar.derive.quality.suite import load
    from sidecar.derive.quality.suite_library import compiled
    from sidecar.errors import SidecarError

    left = 0
    for path in chain.from_iterable(map(_files, suites)):
        found = compiled(load(path))
        suite = found.suite
        model = f"model {suite.model} {suite.model_version}".rstrip() if suite.model else "any model"
        click.echo(f"{path}: suite {suite.name} for {model}")
        for one in found.evaluated:
            click.echo(f"  evaluated      {one.name} ({one.column or 'table'})")
        for expectation, why in found.not_evaluated:
            name = expectation.name or "entry without a type"
            click.echo(f"  not evaluated  {name} ({expectation.column or 'table'}): {why}")
        click.echo(f"  {len(found.evaluated)} evaluated, {len(found.not_evaluated)} not evaluated")
        left += len(found.not_evaluated)
    if strict and left:
        raise SidecarError(f"{left} expectations are not evaluated")


def _files(path: Path) -> list[Path]:
    from sidecar.derive.mounted_files import paths
    from sidecar.errors import SidecarError

    found = paths(path)
    if not found:
        raise SidecarError(f"no file *.json in {path}")
    return found
