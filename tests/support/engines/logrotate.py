"""logrotate, from its Debian package, so that every machine rotates with the same one."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from support.engines.cache import EngineUnavailable
from support.engines.toolchains import debian_package


@dataclass(frozen=True, slots=True)
class Logrotate:
    """The program and where the one library is that no Debian system must have."""

    binary: Path
    libraries: Path

    def rotate(self, rules: Path, state: Path) -> None:
        """One forced rotation by the rules in that file."""
        environment = {**os.environ, "LD_LIBRARY_PATH": str(self.libraries)}
        command = [str(self.binary), "--force", "--state", str(state), str(rules)]
        subprocess.run(command, env=environment, check=True, timeout=300)


def logrotate() -> Logrotate:
    """Raises `EngineUnavailable` where the packages cannot be had."""
    binary = debian_package("logrotate") / "usr/sbin/logrotate"
    library = next(debian_package("libpopt0").rglob("libpopt.so.0"), None)
    if not binary.exists() or library is None:
        raise EngineUnavailable("the Debian packages logrotate and libpopt0 have no logrotate or no libpopt.so.0")
    return Logrotate(binary, library.parent)
