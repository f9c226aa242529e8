"""Docker's own compose over podman, whose network, mounts and processes are in namespaces: published ports are those of
a host that nobody else is on."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import quote

from support.engines.compose import docker_compose
from support.engines.containers import containers
from support.engines.networks import iptables
from support.namespaces import Namespaces

PROFILES = ("core", "metrics", "elk")
OVERRIDE = Path(__file__).with_name("override.yaml")
_CHECK_SECONDS = 2.0
_API = "/v4.0.0/libpod/containers"


class Stack:
    """A project of compose. `compose`, `api` and `namespaces` are how a test reaches it."""

    def __init__(self, folder: Path, socket_path: Path, namespaces: Namespaces) -> None:
        self.folder = folder
        """Of compose.yaml and what `make stack-env` makes."""
        self.namespaces = namespaces
        self._socket = socket_path

    def compose(self, *arguments: str, timeout: float = 600) -> str:
        """What a command of compose prints; a failure fails the test with what it said."""
        files = ["-f", self.folder / "compose.yaml", "-f", OVERRIDE]
        return self.namespaces.must(
            *("env", f"DOCKER_HOST=unix://{self._socket}", docker_compose()),
            *("--project-directory", self.folder, "--ansi", "never", *files),
            *arguments,
            timeout=timeout,
        )

    def api(self, path: str, method: str = "GET") -> tuple[int, Any]:
        """A request to podman about containers: (status, JSON)."""
        connection = _UnixConnection(self._socket)
        try:
            connection.request(method, _API + path)
            reply = connection.getresponse()
            return reply.status, json.loads(reply.read() or b"null")
        finally:
            connection.close()

    def containers(self, everything: bool = True) -> dict[str, dict[str, Any]]:
        """Service -> its container as `podman ps` has it."""
        found = self.api(f"/json?all={str(everything).lower()}")[1]
        service = "com.docker.compose.service"
        return {entry["Labels"][service]: entry for entry in found if service in (entry["Labels"] or {})}

    def check_health(self) -> None:
        """Each health check once, as a timer of systemd has podman do it where there is systemd."""
        for container in self.containers(everything=False).values():
            self.api(f"/{quote(container['Id'])}/healthcheck")

    def words(self) -> str:
        """For a failure: what each container wrote last."""
        said = []
        for name, container in self.containers().items():
            logs = self.namespaces.run("podman", "logs", "--tail", "30", container["Id"])
            said.append(
                f"--- {name}: {container['State']} {container['Status']}\n{(logs.stdout + logs.stderr)[-3000:]}"
            )
        return "\n".join(said)


class _UnixConnection(HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=120)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


@contextmanager
def _checking(stack: Stack) -> Iterator[None]:
    """Health checks again and again, in turn, until the end."""
    ended = threading.Event()

    def check() -> None:
        while not ended.wait(_CHECK_SECONDS):
            with suppress(OSError):
                stack.check_health()

    thread = threading.Thread(target=check, name="health-checks")
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@contextmanager
def stack(folder: Path, stores: Sequence[Path]) -> Iterator[Stack]:
    """compose.yaml in that folder, not yet up, with images of the stores. Nothing is left of it, no volume either."""
    with containers(stores) as tools:
        tables = iptables()
        path = f"{tools.environ['PATH']}:{tables['PATH']}"
        namespaces = Namespaces(tools.home, {**tools.environ, **tables, "PATH": path})
        try:
            namespaces.open()
            # Sockets and locks of networks are put there by path; and node-exporter asks for mounts that are shared.
            namespaces.must("mount", "-t", "tmpfs", "tmpfs", "/run")
            namespaces.must("mount", "--make-rshared", "/")
            socket_path = tools.home / "podman.sock"
            service = namespaces.start("podman", "podman", "system", "service", "--time", "0", f"unix://{socket_path}")
            service.wait_until(socket_path.exists, 20)
            made = Stack(folder, socket_path, namespaces)
            try:
                with _checking(made):
                    yield made
            except BaseException as error:
                error.add_note(made.words())
                raise
            finally:
                namespaces.run("podman", "rm", "--all", "--force", "--time", "1")
        finally:
            namespaces.close()
