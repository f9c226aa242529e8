"""The real Jaeger 1.76, both of it: v1 (`all-in-one`) and v2 (`jaeger`, built from the Collector), built with Go into
the cache of the engine tests (some ten minutes, once)."""

from __future__ import annotations

from pathlib import Path

from support.engines import cache

VERSION = "v1.76.0"
_MODULES = {
    "all-in-one": "github.com/jaegertracing/jaeger/cmd/all-in-one",
    "jaeger": "github.com/jaegertracing/jaeger/cmd/jaeger",
}
_SARAMA = "github.com/Shopify/sarama"


def binaries() -> Path:
    """The folder with `all-in-one` and `jaeger`. Raises `EngineUnavailable`."""

    def make(directory: Path) -> None:
        go = cache.need("go", "Jaeger")
        for arguments in (
            ["mod", "init", "x"],
            ["mod", "edit", f"-replace={_SARAMA}={_SARAMA}@v1.33.0"],
            ["get", "-tool", *(f"{module}@{VERSION}" for module in _MODULES.values())],
            *(["build", "-o", name, module] for name, module in _MODULES.items()),
        ):
            cache.command([go, *arguments], f"build Jaeger {VERSION}", 3600, cwd=directory)

    return cache.entry(f"jaeger-{VERSION}-v1-v2", make)
