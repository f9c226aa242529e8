"""What connects containers: podman's netavark and aardvark-dns, and iptables, from Debian's packages."""

from __future__ import annotations

import os
from pathlib import Path

from support.engines.cache import entry
from support.engines.toolchains import debian_package, debian_tree

_IPTABLES = (
    *("iptables", "libxtables12", "libip4tc2", "libip6tc2"),
    *("libnftnl11", "libmnl0", "libnfnetlink0", "libnetfilter-conntrack3"),
)
_NAMES = ("iptables", "iptables-save", "iptables-restore", "ip6tables", "ip6tables-save", "ip6tables-restore")


def iptables() -> dict[str, str]:
    """Variables with which iptables is found, and finds its extensions."""
    root = debian_tree("iptables", _IPTABLES, ("xtables-nft-multi",))

    def make(directory: Path) -> None:
        # Debian makes these names when the package is installed.
        for name in _NAMES:
            (directory / name).symlink_to(root / "usr/sbin/xtables-nft-multi")

    libraries = next(root.glob("usr/lib/*-linux-gnu"))
    path = [str(entry("iptables-names", make)), os.environ.get("PATH", "")]
    return {"PATH": os.pathsep.join(path), "XTABLES_LIBDIR": str(libraries / "xtables")}


def podman_network_programs() -> list[Path]:
    """The folders with netavark and aardvark-dns, for podman to look in."""
    return [debian_package(name) / "usr/lib/podman" for name in ("netavark", "aardvark-dns")]
