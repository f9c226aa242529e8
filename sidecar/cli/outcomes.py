"""`sidecar outcomes`."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sidecar.cli.labels import label_names, time_of
from sidecar.cli.progress_line import ProgressLine
from sidecar.cli.shared import DURATION, config_option, reached, settings, with_hosts

if TYPE_CHECKING:
    from sidecar.outcomes.job import Finished

_FILE = click.Path(path_type=Path, dir_okay=False)
_RESULTS = ("joined", "duplicate", "orphan", "invalid")


@click.command("outcomes")
@config_option
@click.option("--elasticsearch", metavar="URL", help="Address of a node; else outcomes.elasticsearch.hosts.")
@click.option("--labels", type=_FILE, help="File with the labels; else those that are in the engine.")
@click.option(
    "--format",
    "format_",
    type=click.Choice(["auto", "csv", "json", "ndjson", "parquet"]),
    default="auto",
    show_default=True,
    help="Of that file. auto: by its ending, else by how it begins.",
)
@click.option("--id-field", help="Column or member with the id of the prediction.  [default: the names that are known]")
@click.option("--truth-field", help="Column or member with the truth.  [default: the names that are known]")
@click.option("--at", help="Time at which windows end: ISO 8601 or seconds since 1970.  [default: now]")
@click.option("--textfile", type=_FILE, help="File for the metrics, for node-exporter's textfile collector: NAME.prom.")
@click.option(
    "--timeout",
    default=300.0,
    show_default="5m",
    type=DURATION,
    help="Time to go on trying while the engine or a receiver of metrics does not answer.",
)
def command(
    config_file: Path | None,
    elasticsearch: str | None,
    labels: Path | None,
    format_: Any,
    id_field: str | None,
    truth_field: str | None,
    at: str | None,
    textfile: Path | None,
    timeout: float,
) -> None:
    """Join predictions and labels that are in Elasticsearch or OpenSearch.

    For labels that come when the pod of their prediction is gone. Windows, bounds and figures are those of
    derive.outcomes. They are put into an index, pushed (push.remote_write, push.otlp), and written to a file. A second
    run puts the same again.
    """
    from sidecar.outcomes.job import Progress, Run, run
    from sidecar.outcomes.label_sources import FileLabels

    loaded = settings(config_file)
    source = FileLabels(labels, format_, label_names(id_field, truth_field)) if labels else None
    work = Run(
        loaded.derive.section("outcomes"),
        with_hosts(loaded.outcomes.elasticsearch, elasticsearch, "--elasticsearch", "outcomes.elasticsearch"),
        loaded.push,
        int(time.time()) if at is None else time_of(at, "--at") // 10**9,
        timeout,
        source,
        textfile,
    )
    progress = Progress()
    line = ProgressLine(sys.stderr, lambda: f"{progress.documents} documents with predictions")
    progress.show = line.show
    with reached():
        finished = run(work, progress)
    line.end()
    _show(finished, work)
    if (labels and finished.joined.invalid.invalid) or any(finished.pushed.values()):
        sys.exit(1)


def _show(finished: Finished, work: Any) -> None:
    from sidecar.outcomes.results import lines, strangers

    joined = finished.joined
    if finished.no_index:
        click.echo(f"sidecar: no index matches {work.elasticsearch.logs}", err=True)
    for line in lines(joined, work.options, work.now):
        click.echo(line)
    for line in strangers(joined, work.options, work.now):
        click.echo(f"sidecar: {line}", err=True)
    results = dict.fromkeys(_RESULTS, 0)
    for (_, _, result), n in joined.labels.items():
        results[result] = results.get(result, 0) + n
    results["invalid"] += joined.invalid.invalid
    counts = ", ".join(f"{n} {name}" for name, n in results.items())
    click.echo(f"{sum(joined.rows.values())} predicted rows; labels: {counts}")
    for example in joined.invalid.examples:
        click.echo(f"sidecar: {example}", err=True)
    for model, version in sorted(joined.left_out):
        click.echo(f"sidecar: no figures of {model} {version}: more models than derive.outcomes.max_models", err=True)
    refused = sum(n for (_, _, result), n in joined.predictions.items() if result == "refused")
    if refused:
        click.echo(
            f"sidecar: {refused} predicted rows were refused: too many in a record, or too many classes", err=True
        )
    if work.elasticsearch.documents:
        click.echo(f"{finished.stored} documents in {work.elasticsearch.index}")
    for name, why in finished.pushed.items():
        click.echo(f"sidecar: not pushed by {name}: {why}" if why else f"pushed by {name}", err=bool(why))
