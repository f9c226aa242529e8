"""`sidecar lookup`."""

from __future__ import annotations

from pathlib import Path

import click

from sidecar.cli.shared import config_option, settings


@click.command("lookup")
@config_option
@click.option("--elasticsearch", metavar="URL", help="Address of a node; else lookup.elasticsearch.hosts.")
def command(config_file: Path | None, elasticsearch: str | None) -> None:
    """Serve look-ups of the traces in Elasticsearch or OpenSearch.

    For Grafana's data sources of type Jaeger (`http://HOST:9464`) and Tempo (`http://HOST:9464/tempo`). Keeps no state:
    run as many as you like. Ends at SIGTERM or SIGINT.
    """
    from sidecar import lookup_server

    loaded = settings(config_file)
    if elasticsearch is not None:
        loaded = lookup_server.with_hosts(loaded, elasticsearch)
    lookup_server.run(loaded)
