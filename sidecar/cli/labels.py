"""`sidecar labels`: what turned out to be true of predictions, from files to a running sidecar."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sidecar.cli.progress_line import ProgressLine
from sidecar.cli.renamed_commands import renamed_option
from sidecar.cli.shared import DURATION, ingest_options

if TYPE_CHECKING:
    from sidecar.decode.predictions.label_record import Names
    from sidecar.send.http_sender import Poster
    from sidecar.send.label_import import Format, Source, Tally

MAX_BATCH = 10_000


@click.group("labels")
def command() -> None:
    """Labels: what turned out to be true of predictions."""


@command.command(name="import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@ingest_options
@click.option(
    "--format",
    "format_",
    type=click.Choice(["auto", "csv", "json", "ndjson"]),
    default="auto",
    show_default=True,
    help="auto: by the file's ending, else by how it begins.",
)
@click.option(
    "--batch",
    default=1000,
    show_default=True,
    type=click.IntRange(1, MAX_BATCH),
    help="Records sent at once.",
)
@click.option("--skip", default=0, show_default=True, type=click.IntRange(0), help="Records to leave out at the start.")
@click.option("--id-field", help="Column or member with the id of the prediction.  [default: the names that are known]")
@click.option("--truth-field", help="Column or member with the truth.  [default: the names that are known]")
@click.option("--model", default="", help="Model of labels that name none.")
@click.option("--model-version", default="", help="Version of the model, for labels that name none.")
@click.option("--time", "time_", help="Time of labels that have none.  [default: when the file was changed last]")
@click.option("--rejects", type=click.Path(path_type=Path), help="File for rejected records.  [default: FILE.rejected]")
@click.option("--fail-fast", is_flag=True, help="End at the first record that is not a label.")
@click.option(
    "--timeout",
    default=300.0,
    show_default="5m",
    type=DURATION,
    help="Time to go on trying while the sidecar accepts nothing.",
)
@renamed_option("--refused", "--rejects", type=click.Path(path_type=Path))
@renamed_option("--stop-on-refused", "--fail-fast", is_flag=True)
@renamed_option("--patience", "--timeout", type=float)
def import_(
    poster: Poster,
    file: str,
    format_: str,
    batch: int,
    skip: int,
    id_field: str | None,
    truth_field: str | None,
    model: str,
    model_version: str,
    time_: str | None,
    rejects: Path | None,
    fail_fast: bool,
    timeout: float,
) -> None:
    """Send the labels of FILE (`-`: standard input; gzip is opened) to a running sidecar.

    CSV with a header, JSON, or JSON lines. Records that are not labels are written to FILE.rejected with the reason.
    What stops before the end says how to go on. Exit code 1 if it did, or if a record was rejected.
    """
    from sidecar.send import label_import
    from sidecar.send.http_sender import Sender

    tally, rejected = label_import.Tally(), label_import.Rejects(rejects or _default_rejects(file), append=skip > 0)
    post = poster.to(label_import.PATH, label_import.CONTENT_TYPE)
    with label_import.opened(file, sys.stdin.buffer) as source:
        progress = ProgressLine(sys.stderr, progress_text(source, tally))
        work = partial(
            label_import.run,
            label_import.rows_of(source, _format(format_, source), label_names(id_field, truth_field)),
            label_import.BatchSender(Sender(post, progress.wait), timeout),
            label_import.Defaults(source.time if time_ is None else time_of(time_, "--time"), model, model_version),
            tally,
            batch=batch,
            skip=skip,
            reject=None if fail_fast else rejected.write,
            show=progress.show,
        )
        why = _stopped_by(work)
        progress.end()
    rejected.close()
    poster.close()
    click.echo(f"{tally.records - skip} records: {tally.accepted} accepted, {tally.rejected} rejected")
    if tally.rejected:
        click.echo(f"sidecar: rejected records, with the reasons, are in {rejected.path}", err=True)
    if why:
        click.echo(f"sidecar: {why}", err=True)
        click.echo(f"sidecar: stopped after record {tally.records}; go on with --skip {tally.records}", err=True)
    if why or tally.rejected:
        sys.exit(1)


def _stopped_by(work: Callable[[], None]) -> str:
    """Why it stopped before its end; empty if it did not. SIGTERM and SIGINT stop it."""
    from sidecar.send.label_import import Stopped

    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        work()
    except Stopped as stopped:
        return str(stopped)
    except KeyboardInterrupt:
        return "interrupted"
    finally:
        signal.signal(signal.SIGTERM, before)
    return ""


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _format(given: str, source: Source) -> Format:
    from sidecar.send.label_import import format_of

    chosen: Format = format_of(source) if given == "auto" else given  # type: ignore[assignment]
    return chosen


def _default_rejects(file: str) -> Path:
    return Path("labels.rejected" if file == "-" else f"{file}.rejected")


def label_names(id_field: str | None, truth_field: str | None) -> Names:
    from sidecar.decode.predictions.label_names import ALIASES

    chosen = {"id": id_field, "truth": truth_field}
    return {concept: (name,) if (name := chosen.get(concept)) else names for concept, names in ALIASES.items()}


def time_of(given: str, option: str) -> int:
    """Unix ns of an option's value."""
    from sidecar.decode.logs.timestamps import parse_date, parse_time

    found = parse_time(given) or parse_date(given)
    if found is None:
        raise click.BadParameter(f"invalid time: {given!r}; expected ISO 8601 or seconds since 1970", param_hint=option)
    return found


def progress_text(source: Source, tally: Tally, clock: Callable[[], float] = time.monotonic) -> Callable[[], str]:
    """Gives how far an import is, with the rate since now."""
    began = clock()

    def text() -> str:
        rate = (tally.accepted + tally.rejected) / max(clock() - began, 1e-3)
        parts = [
            f"{tally.records} records",
            f"{tally.accepted} accepted",
            f"{tally.rejected} rejected",
            f"{rate:.0f}/s",
        ]
        if source.size:
            parts.append(f"{100 * source.position() / source.size:.0f} %")
        return ", ".join(parts)

    return text
