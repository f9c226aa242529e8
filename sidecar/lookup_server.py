"""`sidecar lookup`: the look-up APIs over Elasticsearch or OpenSearch, and nothing else. Keeps no state, so that there
may be any number of it."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping
from typing import Any

import structlog
from pydantic import ValidationError

from sidecar import __version__
from sidecar.config.settings import Settings
from sidecar.deliver.common.http_client import HttpClient
from sidecar.deliver.elasticsearch.trace_options import TraceElasticsearchOptions
from sidecar.deliver.elasticsearch.trace_store import ElasticsearchTraces
from sidecar.errors import ConfigError
from sidecar.health import ComponentHealth, Health
from sidecar.lookup.routes import lookup_routers
from sidecar.receive.credentials import Credentials
from sidecar.serve import exposition
from sidecar.serve.pages.sources import PageSources
from sidecar.serve.serve_port import Scrape, Sources, build_app
from sidecar.telemetry import Telemetry
from sidecar.web import WebServer

log = structlog.get_logger("sidecar.lookup")
_GRACE_SECONDS = 5.0


class LookupServer:
    """One running look-up service."""

    def __init__(self, settings: Settings) -> None:
        """Raises `ConfigError` without an address to look into."""
        options = settings.lookup.elasticsearch
        if not options.hosts:
            raise ConfigError(
                ["lookup.elasticsearch.hosts is not set; expected an address: --elasticsearch https://es:9200"]
            )
        http = HttpClient(options.hosts, options.tls, settings.lookup.timeout, settings.lookup.max_concurrency)
        self._traces = ElasticsearchTraces(options, http)
        self._hosts = options.hosts
        telemetry = Telemetry()
        telemetry.watch("sidecar_build_info", lambda: [(1, {"version": __version__, "decoder": "", "python": ""})])
        shown = exposition.Exposition()
        health = Health()
        health.watch("lookup", lambda: ComponentHealth("ok"))
        admission = Credentials(auth=settings.serve.auth, section="serve")
        sources = Sources(
            health,
            lambda accept, _: Scrape(*shown.answer(list(exposition.from_client(telemetry.collect())), accept)),
            self.status,
            admission.check if admission.asks_token else None,
            PageSources(self.status, traces=self._traces, lookup=settings.lookup)
            if settings.serve.page.enabled
            else None,
            settings.serve.access(os.environ),
        )
        app = build_app(sources, lambda: lookup_routers(self._traces, settings.lookup))
        self.serve = WebServer("serve", app, settings.serve.host, settings.serve.port)

    def status(self) -> Mapping[str, Any]:
        """What this is."""
        return {"version": __version__, "elasticsearch": list(self._hosts)}

    async def start(self) -> None:
        """Raises `ConfigError` if the address cannot be had."""
        await self.serve.start()
        log.info("started", version=__version__, serve_port=self.serve.port)

    async def stop(self) -> None:
        """Answers in flight are waited for a moment."""
        await self.serve.stop(_GRACE_SECONDS)
        self._traces.close()
        log.info("stopped")


def with_hosts(settings: Settings, hosts: str) -> Settings:
    """The settings with the addresses of another cluster. Raises `ConfigError`."""
    try:
        checked = TraceElasticsearchOptions.model_validate({"hosts": hosts}).hosts
    except ValidationError as error:
        raise ConfigError(
            [f"--elasticsearch: {e['msg'].removeprefix('Value error, ')}" for e in error.errors()]
        ) from None
    elasticsearch = settings.lookup.elasticsearch.model_copy(update={"hosts": checked})
    return settings.model_copy(update={"lookup": settings.lookup.model_copy(update={"elasticsearch": elasticsearch})})


def run(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT."""
    asyncio.run(_run(settings))


async def _run(settings: Settings) -> None:
    server = LookupServer(settings)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await server.start()
    await stop.wait()
    await server.stop()
