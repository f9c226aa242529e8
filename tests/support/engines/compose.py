"""Docker's own compose, built by Go: it reads compose.yaml as `docker compose` does."""

from __future__ import annotations

from pathlib import Path

from support.engines.cache import command, entry, need
from support.engines.toolchains import GO_BUILD_SECONDS

VERSION = "v2.40.3"


def docker_compose() -> Path:
    """The program; about five minutes the first time. Its module refuses `go install`: it is a tool of an empty one."""

    def make(directory: Path) -> None:
        go = need("go", "docker compose")
        environ = {"CGO_ENABLED": "0", "GOFLAGS": "-trimpath"}
        source = directory / "src"
        source.mkdir()
        module = "github.com/docker/compose/v2/cmd"
        command([go, "mod", "init", "compose"], "go mod init", 60, environ, cwd=source)
        command([go, "get", "-tool", f"{module}@{VERSION}"], "get docker compose", 900, environ, cwd=source)
        command(
            [go, "build", "-o", directory / "docker-compose", module],
            "docker compose",
            GO_BUILD_SECONDS,
            environ,
            cwd=source,
        )

    return entry(f"docker-compose-{VERSION}", make) / "docker-compose"
