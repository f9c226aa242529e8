"""`sidecar labels`: what turned out to be true of predictions, from files to a running sidecar."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TextIO

import click

from sidecar.cli.shared import reported
from sidecar.decode.logs.timestamps import parse_date, parse_time
from sidecar.decode.predictions.label_names import ALIASES
from sidecar.decode.predictions.label_record import Names
from sidecar.decode.predictions.label_rows import Row
from sidecar.send import label_import
from sidecar.send.http_sender import Poster
from sidecar.send.label_import import Defaults, Sender, Source, Stopped, Tally

PLAIN_EVERY_SECONDS = 5.0
TERMINAL_EVERY_SECONDS = 0.1


@click.group()
def labels() -> None:
    """Labels: what turned out to be true of predictions."""


@labels.command(name="import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@click.option("--url", default="http://127.0.0.1:4318", show_default=True, help="The sidecar's HTTP ingest.")
@click.option("--token-file", type=click.Path(path_type=Path, exists=True), help="File with the bearer token.")
@click.option("--token", help="The bearer token itself; others can see it in the list of processes.")
@click.option(
    "--ca-file", type=click.Path(exists=True), help="PEM file with the authority of the ingest's certificate."
)
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
    type=click.IntRange(1, label_import.MAX_BATCH),
    help="Records sent at once.",
)
@click.option("--skip", default=0, show_default=True, type=click.IntRange(0), help="Records to leave out at the start.")
@click.option("--id-field", help="Column or member with the id of the prediction.  [default: the names that are known]")
@click.option("--truth-field", help="Column or member with the truth.  [default: the names that are known]")
@click.option("--model", default="", help="Model of labels that name none.")
@click.option("--model-version", default="", help="Version of the model, for labels that name none.")
@click.option("--time", "time_", help="Time of labels that have none.  [default: when the file was changed last]")
@click.option("--refused", type=click.Path(path_type=Path), help="File for refused records.  [default: FILE.refused]")
@click.option("--stop-on-refused", is_flag=True, help="End at the first record that is no label.")
@click.option(
    "--patience", default=300.0, show_default=True, help="Seconds to go on trying while the sidecar takes nothing."
)
@reported
def import_(
    file: str,
    url: str,
    token_file: Path | None,
    token: str | None,
    ca_file: str | None,
    format_: str,
    batch: int,
    skip: int,
    id_field: str | None,
    truth_field: str | None,
    model: str,
    model_version: str,
    time_: str | None,
    refused: Path | None,
    stop_on_refused: bool,
    patience: float,
) -> None:
    """Send the labels of FILE (`-`: standard input; gzip is opened) to a running sidecar.

    CSV with a header, JSON, or JSON lines. Records that are no labels are written to FILE.refused with the reason.
    What stops before the end says how to go on. Exit code 1 if it did, or if a record was refused.
    """
    if token is None and token_file is not None:
        token = token_file.read_text().split()[0]
    tally, refusals = Tally(), Refusals(refused or _beside(file), append=skip > 0)
    poster = Poster(url, token, ca_file)
    post = partial(poster.post, label_import.PATH, content_type=label_import.CONTENT_TYPE)
    with label_import.opened(file, sys.stdin.buffer) as source:
        progress = Progress(sys.stderr, source, tally)
        work = partial(
            label_import.run,
            label_import.rows_of(source, _format(format_, source), _names(id_field, truth_field)),
            Sender(post, patience, progress.say),
            Defaults(_time(time_, source), model, model_version),
            tally,
            batch=batch,
            skip=skip,
            refuse=None if stop_on_refused else refusals.write,
            show=progress.show,
        )
        why = _stopped_by(work)
        progress.end()
    refusals.close()
    poster.close()
    click.echo(f"{tally.records - skip} records: {tally.accepted} accepted, {tally.refused} refused")
    if tally.refused:
        click.echo(f"sidecar: refused records, with the reasons, are in {refusals.path}", err=True)
    if why:
        click.echo(f"sidecar: {why}", err=True)
        click.echo(f"sidecar: stopped after record {tally.records}; go on with --skip {tally.records}", err=True)
    if why or tally.refused:
        sys.exit(1)


def _stopped_by(work: Callable[[], None]) -> str:
    """Why it stopped before its end; empty if it did not. SIGTERM and SIGINT stop it."""
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


def _format(given: str, source: Source) -> label_import.Format:
    chosen: label_import.Format = label_import.format_of(source) if given == "auto" else given  # type: ignore[assignment]
    return chosen


def _beside(file: str) -> Path:
    return Path("labels.refused" if file == "-" else f"{file}.refused")


class Refusals:
    """Refused records as JSON lines in a file for its owner only, which is made when there is one."""

    def __init__(self, path: Path, append: bool) -> None:
        self.path, self._append = path, append
        self._file: TextIO | None = None

    def write(self, row: Row) -> None:
        if self._file is None:
            flags = os.O_WRONLY | os.O_CREAT | (os.O_APPEND if self._append else os.O_TRUNC)
            self._file = os.fdopen(os.open(self.path, flags, 0o600), "w", encoding="utf-8", buffering=1)
        line = {"place": row.place, "reason": row.refusal, "record": row.text}
        self._file.write(json.dumps(line, ensure_ascii=False) + "\n")

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def _names(id_field: str | None, truth_field: str | None) -> Names:
    chosen = {"id": id_field, "truth": truth_field}
    return {concept: (name,) if (name := chosen.get(concept)) else names for concept, names in ALIASES.items()}


def _time(given: str | None, source: Source) -> int:
    if given is None:
        return source.time
    found = parse_time(given) or parse_date(given)
    if found is None:
        raise click.BadParameter(f"{given!r} is no time (ISO 8601, or seconds since 1970)", param_hint="--time")
    return found


class Progress:
    """How far an import is: one line that changes on a terminal, a line now and then elsewhere."""

    def __init__(self, out: TextIO, source: Source, tally: Tally, clock: Callable[[], float] = time.monotonic) -> None:
        self._out, self._source, self._tally, self._clock = out, source, tally, clock
        self._live = out.isatty()
        self._every = TERMINAL_EVERY_SECONDS if self._live else PLAIN_EVERY_SECONDS
        self._began = clock()
        self._due = self._began
        self._said = ""

    def show(self) -> None:
        """Say how far it is, if it is time to."""
        self._said = ""
        if self._clock() >= self._due:
            self._due = self._clock() + self._every
            self._write(self.line())

    def say(self, what: str) -> None:
        """What is waited for; where lines stay, once until it goes on."""
        reason = what.partition(";")[0]
        if self._live or reason != self._said:
            self._said = reason
            self._write(f"{self._tally.records} records; {what}")

    def end(self) -> None:
        """Leave the line as it is at the end."""
        if self._live:
            self._write(self.line() + "\n")

    def line(self) -> str:
        tally, seconds = self._tally, max(self._clock() - self._began, 1e-3)
        rate = (tally.accepted + tally.refused) / seconds
        parts = [f"{tally.records} records", f"{tally.accepted} accepted", f"{tally.refused} refused", f"{rate:.0f}/s"]
        if self._source.size:
            parts.append(f"{100 * self._source.position() / self._source.size:.0f} %")
        return ", ".join(parts)

    def _write(self, line: str) -> None:
        self._out.write(f"\r\x1b[K{line}" if self._live else f"{line}\n")
        self._out.flush()
