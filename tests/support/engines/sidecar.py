"""The installed `sidecar run` as a process, for tests and the bench."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from support.engines.cache import EngineUnavailable
from support.engines.ports import free_port
from support.engines.processes import Child, answers

READY_SECONDS = 60


def sidecar_command() -> Path:
    """The console script beside this interpreter, else on PATH."""
    beside = Path(sys.executable).parent / "sidecar"
    found = str(beside) if beside.exists() else shutil.which("sidecar")
    if not found:
        raise EngineUnavailable("the command `sidecar` is not installed in this environment (pip install -e .)")
    return Path(found)


class SidecarProcess:
    """A sidecar with a data directory of its own. Ports stay the same over `restart`."""

    def __init__(self, env: Mapping[str, str] | None = None, data_dir: Path | None = None) -> None:
        self._owned = data_dir is None
        self.data_dir = data_dir or Path(tempfile.mkdtemp(prefix="sidecar-"))
        self.grpc_port, self.http_port, self.serve_port = free_port(), free_port(), free_port()
        self.grpc_target = f"127.0.0.1:{self.grpc_port}"
        self.otlp_url = f"http://127.0.0.1:{self.http_port}"
        self.serve_url = f"http://127.0.0.1:{self.serve_port}"
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("SIDECAR_", "OTEL_"))}
        settings = {
            "SIDECAR_JOURNAL__PATH": str(self.data_dir / "journal"),
            "SIDECAR_RECEIVE__OTLP_GRPC__PORT": str(self.grpc_port),
            "SIDECAR_RECEIVE__OTLP_HTTP__PORT": str(self.http_port),
            "SIDECAR_SERVE__HOST": "127.0.0.1",
            "SIDECAR_SERVE__PORT": str(self.serve_port),
            **(env or {}),
        }
        self.child = Child(
            "sidecar",
            [sidecar_command(), "run"],
            self.data_dir / "sidecar.log",
            {**inherited, **settings},
            self.data_dir,
        )

    @property
    def pid(self) -> int:
        return self.child.pid

    @property
    def log(self) -> Path:
        """Its stderr and stdout: JSON lines."""
        return self.child.log

    def start(self, timeout: float = READY_SECONDS) -> None:
        """Start, and wait until `/startupz` says that it has started."""
        self.child.start()
        self.child.wait_until(lambda: answers(f"{self.serve_url}/startupz"), timeout)

    def kill9(self) -> None:
        """SIGKILL; gone when this returns. `start` begins again on the same data."""
        self.child.kill9()

    def stop(self, timeout: float = 60) -> int | None:
        """SIGTERM, and its exit code."""
        return self.child.stop(timeout)

    def restart(self) -> None:
        """Orderly stop and start on the same data and ports."""
        self.stop()
        self.start()

    def remove(self) -> None:
        if self._owned:
            shutil.rmtree(self.data_dir, ignore_errors=True)


@contextmanager
def sidecar_process(
    env: Mapping[str, str] | None = None, data_dir: Path | None = None, *, start: bool = True
) -> Iterator[SidecarProcess]:
    """A running sidecar, configured by `env` (`SIDECAR_...`; wins over the ports and paths chosen here). The
    parent's own `SIDECAR_*` and `OTEL_*` variables are not passed on.
    A failure inside the block shows the end of its log."""
    process = SidecarProcess(env, data_dir)
    try:
        if start:
            process.start()
        yield process
    except BaseException as error:
        error.add_note(process.child.tail())
        raise
    finally:
        process.child.stop()
        if os.environ.get("SIDECAR_TEST_KEEP") != "1":
            process.remove()
