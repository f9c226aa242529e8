"""PostgreSQL and Redis with their exporters, from Debian's packages: installed ones, else unpacked ones."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from support.engines.cache import EngineUnavailable, need
from support.engines.ports import free_port
from support.engines.processes import Child, answers
from support.engines.toolchains import debian_package

_POSTGRES = "15"
_REDIS_LIBRARIES = ("liblzf1", "libjemalloc2", "liblua5.1-0")


@contextmanager
def postgres_exporter() -> Iterator[str]:
    """Address of the exporter (`host:port`) of a running PostgreSQL."""
    with _home("postgres-") as home, ExitStack() as stack:
        port = free_port()
        stack.enter_context(_postgres(home, port))
        exporter = debian_package("prometheus-postgres-exporter") / "usr/bin/prometheus-postgres-exporter"
        source = f"postgresql://postgres@127.0.0.1:{port}/postgres?sslmode=disable"
        yield stack.enter_context(_exporter(exporter, home, ["--web.listen-address={}"], {"DATA_SOURCE_NAME": source}))


@contextmanager
def redis_exporter() -> Iterator[tuple[str, int]]:
    """Address of the exporter of a running Redis, and Redis' own port."""
    with _home("redis-") as home, ExitStack() as stack:
        port = free_port()
        stack.enter_context(_redis(home, port))
        exporter = debian_package("prometheus-redis-exporter") / "usr/bin/prometheus-redis-exporter"
        flags = [f"-redis.addr=redis://127.0.0.1:{port}", "-web.listen-address={}"]
        yield stack.enter_context(_exporter(exporter, home, flags, {})), port


def redis_commands(port: int, *commands: str) -> None:
    """Send inline commands whose replies are one line, and read them."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection, connection.makefile("rb") as replies:
        for command in commands:
            connection.sendall(f"{command}\r\n".encode())
            assert replies.readline()[:1] in (b"+", b":"), command


@contextmanager
def _postgres(home: Path, port: int) -> Iterator[None]:
    """A server that anybody on this host may use. It refuses root, as Elasticsearch does."""
    installed = Path(f"/usr/lib/postgresql/{_POSTGRES}/bin")
    programs = (
        installed if installed.is_dir() else debian_package(f"postgresql-{_POSTGRES}") / installed.relative_to("/")
    )
    prefix: list[str] = []
    if os.geteuid() == 0:
        home.chmod(0o755)
        shutil.chown(home, "nobody", "nogroup")
        prefix = [need("setpriv", "PostgreSQL, which refuses root")]
        prefix += ["--reuid=nobody", "--regid=nogroup", "--clear-groups"]
    made = subprocess.run(
        [*prefix, programs / "initdb", "-D", home / "data", "-U", "postgres", "--auth=trust", "--no-sync"],
        check=False, capture_output=True, timeout=120, cwd=home, text=True,
    )  # fmt: skip
    if made.returncode:
        raise EngineUnavailable(f"PostgreSQL does not run here: {made.stderr[-300:]}")
    arguments = [
        "-D",
        home / "data",
        "-p",
        str(port),
        "-k",
        home,
        "-c",
        "listen_addresses=127.0.0.1",
        "-c",
        "fsync=off",
    ]
    child = Child("postgres", [*prefix, programs / "postgres", *arguments], home / "postgres.log", cwd=home)
    with _running(child, port):
        yield


@contextmanager
def _redis(home: Path, port: int) -> Iterator[None]:
    found = shutil.which("redis-server")
    environ = dict(os.environ)
    if found is None:
        # Of the unpacked package: the program is a link to one of redis-tools, which looks at what it is called.
        program = home / "redis-server"
        program.symlink_to(debian_package("redis-tools") / "usr/bin/redis-check-rdb")
        folders = [next((debian_package(name) / "usr/lib").glob("*-linux-gnu")) for name in _REDIS_LIBRARIES]
        environ["LD_LIBRARY_PATH"] = os.pathsep.join(map(str, folders))
        found = str(program)
    flags = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", home, "--maxmemory", "64mb"]
    with _running(Child("redis", [found, *flags], home / "redis.log", environ, home), port):
        yield


@contextmanager
def _running(child: Child, port: int) -> Iterator[None]:
    def listens() -> bool:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            return False
        return True

    child.start()
    try:
        child.wait_until(listens, 60)
        yield
    finally:
        child.stop()


@contextmanager
def _exporter(program: Path, home: Path, flags: Sequence[str], environ: Mapping[str, str]) -> Iterator[str]:
    """Its address; `{}` in a flag stands for it."""
    address = f"127.0.0.1:{free_port()}"
    arguments = [flag.format(address) for flag in flags]
    child = Child(program.name, [program, *arguments], home / "exporter.log", {**os.environ, **environ}, home)
    child.start()
    try:
        child.wait_until(lambda: answers(f"http://{address}/metrics"), 60)
        yield address
    finally:
        child.stop()


@contextmanager
def _home(prefix: str) -> Iterator[Path]:
    home = Path(tempfile.mkdtemp(prefix=prefix))
    try:
        yield home
    finally:
        shutil.rmtree(home, ignore_errors=True)
