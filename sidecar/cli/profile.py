"""`sidecar profile`: references of drift, from training data."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sidecar.cli.progress_line import bar

if TYPE_CHECKING:
    from sidecar.derive.drift.reference import Reference

_PATH = click.Path(path_type=Path, exists=True, dir_okay=False)
_OUT = click.Path(path_type=Path, dir_okay=False)


class _Profile(click.Group):
    """A group whose first word may be a file: then it is profiled."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and args[0] not in self.commands:
            args = ["data", *args]
        return super().resolve_command(ctx, args)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        options = {"-h", "--help"}
        if args and args[0] not in self.commands and args[0].startswith("-") and args[0] not in options:
            args = ["data", *args]
        return super().parse_args(ctx, args)


@click.group("profile", cls=_Profile)
def command() -> None:
    """References that live values are compared with (derive.drift.reference).

    `sidecar profile DATA --out reference.json` is `sidecar profile data DATA --out reference.json`.
    """


@command.command(name="data")
@click.argument("data", type=_PATH)
@click.option("--out", type=_OUT, help="File for the reference.  [default: standard output]")
@click.option(
    "--format",
    "format_",
    type=click.Choice(["csv", "ndjson", "parquet", "arrow"]),
    help="Format of DATA.  [default: by the file's ending]",
)
@click.option("--model", default="", help="Model that the reference is for.  [default: any]")
@click.option("--model-version", default="", help="Version of the model.  [default: any]")
@click.option("--prediction", help="Column with what the model predicted.")
@click.option("--score", help="Column with the probability of what it predicted.")
@click.option("--label", help="Column with the truth; it is not compared.")
@click.option("--exclude", multiple=True, help="Column to leave out; may be given more than once.")
@click.option(
    "--type", "types", multiple=True, help="COLUMN=number or COLUMN=category, where what is found is not what is meant."
)
@click.option("--like", type=_PATH, help="Reference whose cells to use, so that both can be merged exactly.")
def data_(
    data: Path,
    out: Path | None,
    format_: Any,
    model: str,
    model_version: str,
    prediction: str | None,
    score: str | None,
    label: str | None,
    exclude: tuple[str, ...],
    types: tuple[str, ...],
    like: Path | None,
) -> None:
    """Make a reference of the rows in DATA: CSV with a header, JSON lines, Parquet or Arrow (with pyarrow).

    The file is read twice and never held in memory.
    """
    from sidecar.derive.drift.reference import load
    from sidecar.profile.profiling import Wanted, profile
    from sidecar.profile.row_files import opened
    from sidecar.profile.showing import remarks

    table = opened(data, format_)
    given = {"prediction": prediction, "score": score, "label": label}
    named = [column for column in given.values() if column]
    if len(set(named)) < len(named):
        raise click.UsageError("--prediction, --score and --label are different columns")
    wanted = Wanted(
        model,
        model_version,
        {column: role for role, column in given.items() if column},  # type: ignore[misc]
        dict(map(_type, types)),
        frozenset(exclude),
        load(like) if like else None,
    )
    with bar(2 * table.size, "profiling") as progress:
        reference = profile(table, wanted, progress.update)
    _write(reference, out)
    for remark in remarks(reference):
        click.echo(remark, err=True)


@command.command(name="merge")
@click.argument("references", nargs=-1, required=True, type=_PATH)
@click.option("--out", type=_OUT, help="File for the reference.  [default: standard output]")
def merge_(references: tuple[Path, ...], out: Path | None) -> None:
    """Make one reference of several: exact where their cells are the same (`--like`)."""
    from sidecar.derive.drift.reference import load
    from sidecar.profile.merging import merge

    merged = load(references[0])
    for path in references[1:]:
        merged = merge(merged, load(path))
    _write(merged, out)


@command.command(name="show")
@click.argument("reference", type=_PATH)
def show_(reference: Path) -> None:
    """Show how the columns of a reference are distributed."""
    from sidecar.derive.drift.reference import load
    from sidecar.profile.showing import shown

    for line in shown(load(reference)):
        click.echo(line)


@command.command(name="diff")
@click.argument("first", type=_PATH)
@click.argument("second", type=_PATH)
def diff_(first: Path, second: Path) -> None:
    """Show how far the columns of SECOND are from those of FIRST. Exit code 1 if any has drifted.

    Drifted is a column with a score above its method's threshold (the defaults of derive.drift.thresholds) and above
    what chance gives with so many rows, which it does for any column in one of a hundred comparisons; and one that has
    another type, or values in only one of the two.
    """
    from sidecar.derive.drift.reference import load
    from sidecar.profile.merging import differences
    from sidecar.profile.showing import compared

    found = list(differences(load(first), load(second)))
    for line in compared(found):
        click.echo(line)
    if any(one.drifted for one in found):
        sys.exit(1)


def _type(given: str) -> Any:
    column, _, kind = given.rpartition("=")
    if not column or kind not in ("number", "category"):
        raise click.BadParameter(f"invalid type: {given!r}; expected COLUMN=number or COLUMN=category")
    return column, kind


def _write(reference: Reference, out: Path | None) -> None:
    """Whole or not at all: a running sidecar may be watching the file."""
    if out is None:
        click.echo(reference.dump(), nl=False)
        return
    from sidecar.whole_file import write_whole

    write_whole(out, reference.dump().encode())
    click.echo(f"{reference.rows} rows, {len(reference.columns)} columns, {out.stat().st_size} bytes: {out}", err=True)
