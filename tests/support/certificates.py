"""Certificates for tests of TLS, made with the `openssl` command."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from support.engines import EngineUnavailable


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key, PEM files."""

    cert: Path
    key: Path


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate authority of its own."""

    folder: Path
    pair: Pair

    @property
    def cert(self) -> Path:
        return self.pair.cert

    def issue(self, name: str, names: str = "IP:127.0.0.1,DNS:localhost") -> Pair:
        """A certificate for 127.0.0.1 and localhost, or other names, of use to servers and clients."""
        request, extensions = self.folder / f"{name}.csr", self.folder / f"{name}.ext"
        pair = Pair(self.folder / f"{name}.pem", self.folder / f"{name}.key")
        extensions.write_text(f"subjectAltName={names}\nbasicConstraints=CA:FALSE\n")
        _openssl("req", "-new", *_NEW_KEY, "-keyout", pair.key, "-out", request, "-subj", f"/CN={name}")
        _openssl(
            *("x509", "-req", "-in", request, "-out", pair.cert, "-days", "2", "-extfile", extensions),
            *("-CA", self.pair.cert, "-CAkey", self.pair.key, "-CAcreateserial"),
        )
        return pair


_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


def authority(folder: Path, name: str = "ca") -> Authority:
    """A new authority whose files are in `folder`."""
    pair = Pair(folder / f"{name}.pem", folder / f"{name}.key")
    _openssl(
        *("req", "-x509", *_NEW_KEY, "-keyout", pair.key, "-out", pair.cert, "-days", "2", "-subj", f"/CN={name}"),
        *("-addext", "keyUsage=critical,keyCertSign,cRLSign"),
    )
    return Authority(folder, pair)


def _openssl(*arguments: object) -> None:
    command = shutil.which("openssl")
    if command is None:
        raise EngineUnavailable("the `openssl` command is not there: no certificates for tests of TLS")
    subprocess.run(
        [command, *map(str, arguments)], check=True, capture_output=True, env={"PATH": os.environ.get("PATH", "")}
    )
