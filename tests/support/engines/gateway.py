"""The Collector of a gateway: with the load-balancing exporter and tail sampling, which the peer of the bench lacks."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from support.engines.cache import command, content_key, entry, need
from support.engines.toolchains import GO_BUILD_SECONDS

MANIFEST = Path(__file__).with_name("gateway-manifest.yaml")
VERSION = "0.160.0"
"""The newest release of which all parts are served as Go modules."""
_BUILDER = f"go.opentelemetry.io/collector/cmd/builder@v{VERSION}"


def gateway_binary() -> Path:
    """OpenTelemetry Collector with the parts of `gateway-manifest.yaml`. The first build takes minutes."""

    def make(directory: Path) -> None:
        go = need("go", "the gateway's Collector")
        sources, tools = directory / "otelcol-build", directory / "tools"
        plain = {"CGO_ENABLED": "0"}
        command([go, "install", _BUILDER], f"go install {_BUILDER}", 600, {**plain, "GOBIN": str(tools)}, directory)
        shutil.copyfile(MANIFEST, directory / "manifest.yaml")
        # As in bench/peer/build.sh: the builder writes the sources, the compiler fetches what it needs.
        only_write = ["--config=manifest.yaml", "--skip-compilation", "--skip-get-modules"]
        command([tools / "builder", *only_write], "write the gateway's sources", 120, plain, directory)
        modules = re.findall(r"gomod: (\S+ v\S+)", MANIFEST.read_text("utf-8"))
        required = "".join(f"\t{line}\n" for line in [*modules, f"go.opentelemetry.io/collector/otelcol v{VERSION}"])
        (sources / "go.mod").write_text(f"module tests/otelcol\n\ngo 1.25.0\n\nrequire (\n{required})\n")
        build = [go, "build", "-trimpath", "-ldflags=-s -w", "-o", directory / "otelcol", "."]
        command(build, "build the gateway's Collector", GO_BUILD_SECONDS, {**plain, "GOFLAGS": "-mod=mod"}, sources)
        shutil.rmtree(sources)
        shutil.rmtree(tools)

    return entry(f"gateway-{content_key(MANIFEST)}", make) / "otelcol"
