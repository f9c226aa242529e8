"""nginx and haproxy, as they stand before destinations, and tinyproxy, the way to those outside: installed ones, else
unpacked from Debian's packages."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from support.engines.ports import free_port
from support.engines.processes import Child
from support.engines.toolchains import debian_program

_NGINX = """
daemon off; worker_processes 1; pid nginx.pid;
events {{ worker_connections 256; }}
http {{
  access_log off; ssl_session_cache off; client_max_body_size 1m;
  client_body_temp_path b; proxy_temp_path p; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
  server {{ {body} location / {{ return 200 ok; }} }}
}}
"""


def program(name: str) -> tuple[Path, str]:
    """Where it is, and the folders of its libraries."""
    installed = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if installed is not None:
        return Path(installed), os.environ.get("LD_LIBRARY_PATH", "")
    root = debian_program(name)
    found = next(path for path in (root / "usr/sbin" / name, root / "usr/bin" / name) if path.exists())
    return found, os.pathsep.join(map(str, root.glob("usr/lib/*-linux-gnu")))


@contextmanager
def haproxy(frontend: Sequence[str]) -> Iterator[int]:
    """The port of one with these lines of a frontend, in which `{port}` is the port. It answers by itself."""
    with tempfile.TemporaryDirectory(prefix="haproxy-") as name:
        folder, port = Path(name), free_port()
        limits = ["mode http", "timeout client 5s", "timeout server 5s", "timeout connect 5s"]
        lines = [*limits, "timeout http-keep-alive 50ms", *(line.format(port=port) for line in frontend)]
        config = folder / "haproxy.cfg"
        config.write_text("global\ndefaults\n" + "\n".join(lines[:5]) + "\nfrontend f\n" + "\n".join(lines[5:]) + "\n")
        with _running("haproxy", ["-f", config], folder, port):
            yield port


@contextmanager
def nginx(lines: Sequence[str]) -> Iterator[tuple[int, Child]]:
    """The port of one with these lines of a server, in which `{port}` is the port, and its process. It answers 200."""
    with tempfile.TemporaryDirectory(prefix="nginx-") as name:
        folder, port = Path(name), free_port()
        config = folder / "nginx.conf"
        config.write_text(_NGINX.format(body=" ".join(line.format(port=port) for line in lines)))
        with _running("nginx", ["-p", folder, "-c", config, "-e", folder / "error.log"], folder, port) as child:
            yield port, child


@contextmanager
def tinyproxy(lines: Sequence[str]) -> Iterator[int]:
    """The port of one with these lines of configuration."""
    with tempfile.TemporaryDirectory(prefix="tinyproxy-") as name:
        folder, port = Path(name), free_port()
        config = folder / "tinyproxy.conf"
        config.write_text("\n".join(["Listen 127.0.0.1", f"Port {port}", "Timeout 20", "MaxClients 20", *lines, ""]))
        with _running("tinyproxy", ["-d", "-c", config], folder, port):
            yield port


@contextmanager
def _running(name: str, arguments: Sequence[str | Path], folder: Path, port: int) -> Iterator[Child]:
    path, libraries = program(name)
    environment = {**os.environ, "LD_LIBRARY_PATH": libraries}
    child = Child(name, [path, *arguments], folder / "log", environment, folder)
    try:
        child.start()
        child.wait_until(lambda: _listens(port), 10)
        yield child
    finally:
        child.stop()
        child.kill_rest()


def _listens(port: int) -> bool:
    with socket.create_connection(("127.0.0.1", port), timeout=5):
        return True
