"""`python -m support.engines warm [NAME...]`: fetch and build what the engine tests use. Two at a time. Exit code 1 if
something could not be had; every reason is printed."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed

from support.engines import browser, front, logrotate, lumberjack, monitoring, peer, toolchains
from support.engines.cache import EngineUnavailable, cache_dir
from support.engines.search import ELASTICSEARCH_8, ELASTICSEARCH_9, OPENSEARCH, Distribution


def _node(distribution: Distribution) -> Callable[[], object]:
    def fetch() -> object:
        toolchains.find_java(distribution.java, distribution.java_tried)
        return toolchains.maven_distribution(distribution.coordinates, distribution.sha256)

    return fetch


WARM: dict[str, Callable[[], object]] = {
    "collector": peer.collector_binary,
    "opensearch": _node(OPENSEARCH),
    "elasticsearch9": _node(ELASTICSEARCH_9),
    "elasticsearch8": _node(ELASTICSEARCH_8),
    "prometheus": monitoring.promtool,
    "alertmanager": monitoring.alertmanager,
    "amtool": monitoring.amtool,
    "node-exporter": monitoring.node_exporter,
    "haproxy": lambda: front.program("haproxy"),
    "nginx": lambda: front.program("nginx"),
    "logrotate": logrotate.logrotate,
    "chromium": browser.chromium,
    "axe-core": browser.axe_core,
    "payloads": peer.payload_dir,
    "nullsink": peer.nullsink_binary,
    "telemetrygen": toolchains.telemetrygen_binary,
    "tst-lj": lumberjack.tst_lj_binary,
    "lumbersink": lumberjack.lumbersink_binary,
    "lumbersource": lumberjack.lumbersource_binary,
}


def warm(names: list[str]) -> int:
    started = time.monotonic()
    failed = 0
    print(f"into {cache_dir()}: {', '.join(names)}", flush=True)
    with ThreadPoolExecutor(max_workers=2) as pool:
        jobs = {pool.submit(WARM[name]): name for name in names}
        for number, job in enumerate(as_completed(jobs), 1):
            try:
                job.result()
                result = "ok"
            except EngineUnavailable as error:
                failed += 1
                result = f"NOT HAD: {error}"
            print(f"[{number}/{len(names)}] {time.monotonic() - started:5.0f} s  {jobs[job]:15} {result}", flush=True)
    return 1 if failed else 0


def main(arguments: list[str]) -> int:
    if not arguments or arguments[0] != "warm" or set(arguments[1:]) - set(WARM):
        print(__doc__, f"\nNames: {', '.join(WARM)}", file=sys.stderr)
        return 2
    return warm(arguments[1:] or list(WARM))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
