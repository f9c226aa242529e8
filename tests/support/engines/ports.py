"""Ports for servers that tests start later, or stop and start again."""

from __future__ import annotations

import socket
import threading
from functools import cache
from pathlib import Path

HOST = "127.0.0.1"
BLOCK = 250
"""Ports of one process of tests, the first of which says that they are taken."""
LOWEST = 15_000
_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")


class Ports:
    """Ports that no other process of tests uses, and that the kernel gives to no connection.

    A block belongs to the process that listens on its first port: until that process ends, whatever it ends by. Ports
    are given in turn, so that one that was just given is not given again before all others of the block were.
    """

    def __init__(self, blocks: list[range]) -> None:
        """Take the first block that is free; RuntimeError if all are taken."""
        self._lock = threading.Lock()
        self._next = 0
        for block in blocks:
            holder = socket.socket()
            try:
                holder.bind((HOST, block[0]))
                holder.listen(1)
            except OSError:
                holder.close()
                continue
            self._holder, self._ports = holder, block[1:]
            return
        raise RuntimeError(f"every block of {BLOCK} ports from {blocks[0][0]} to {blocks[-1][-1]} is in use")

    def take(self) -> int:
        """One that nobody listens on, on any address; RuntimeError if there is none."""
        with self._lock:
            for _ in self._ports:
                port = self._ports[self._next % len(self._ports)]
                self._next += 1
                if _is_free(port):
                    return port
        raise RuntimeError(f"no free port from {self._ports[0]} to {self._ports[-1]}")

    def close(self) -> None:
        """Leave the block to others."""
        self._holder.close()


def blocks_outside(first: int, last: int) -> list[range]:
    """The blocks of ports that are not in the range from which the kernel takes those of outgoing connections."""
    return [
        range(start, start + BLOCK)
        for start in range(LOWEST, 65_536 - BLOCK, BLOCK)
        if start + BLOCK <= first or start > last
    ]


def _ephemeral() -> tuple[int, int]:
    try:
        first, last = map(int, _EPHEMERAL.read_text().split())
    except OSError:
        return 32_768, 65_535
    return first, last


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As servers bind: a connection that was closed does not keep a port from them.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True


@cache
def _own() -> Ports:
    return Ports(blocks_outside(*_ephemeral()))


def free_port() -> int:
    """A port on 127.0.0.1 that nobody listens on, or is given by another call. It is still free when a server that was
    stopped for a while comes back to it."""
    return _own().take()
