"""Who may send: TLS, client certificates and bearer tokens, the same for every receiver.

Files are looked at again when they are used (at most once a second) and read again when they changed, so that mounted
secrets can be rotated without a restart. A file that cannot be read any more, or holds nothing of use, leaves the last
good content in force and is logged as an error.
"""

from __future__ import annotations

import codecs
import hmac
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import structlog

from sidecar.errors import ConfigError, Unauthenticated
from sidecar.loopback import is_loopback
from sidecar.options import ServerAuth, ServerTls
from sidecar.watched_files import WatchedFiles

if TYPE_CHECKING:
    import grpc

_logger = structlog.get_logger("sidecar.receive")
T = TypeVar("T")


class Credentials:
    """TLS and the tokens that are accepted; without any, every client that reaches the address may send. Thread-safe.
    Raises `ConfigError` if a file cannot be used at start."""

    def __init__(
        self,
        tls: ServerTls | None = None,
        auth: ServerAuth | None = None,
        clock: Callable[[], float] = time.monotonic,
        section: str = "receive",
    ) -> None:
        """`section`: whose credentials they are, for messages."""
        self._clock = clock
        self._warned = False
        self._tokens: WatchedFiles[tuple[bytes, ...]] | None = None
        if auth is not None and auth.token_file is not None:
            file = auth.token_file
            self._tokens = _watched((file,), lambda: _tokens(file), clock, section)
        elif auth is not None and auth.token is not None:
            fixed = (auth.token.get_secret_value().strip().encode(),)
            self._tokens = WatchedFiles((), lambda: fixed, clock)
        self._tls = _Tls.of(tls or ServerTls())
        if self._tls is not None:
            _load(self._tls.context, self._tls.files)

    @property
    def tls(self) -> bool:
        """Receivers speak TLS only."""
        return self._tls is not None

    @property
    def asks_token(self) -> bool:
        """Requests must carry a bearer token."""
        return self._tokens is not None

    @property
    def open(self) -> bool:
        """Nothing is asked of a client."""
        return self._tokens is None and (self._tls is None or self._tls.ca_file is None)

    def check(self, authorization: str | None) -> None:
        """Raises `Unauthenticated` unless the header's value carries a token that is accepted."""
        if self._tokens is None:
            return
        if not authorization:
            raise Unauthenticated("no credentials: send the header `authorization: Bearer TOKEN`")
        scheme, _, given = authorization.partition(" ")
        if scheme.lower() != "bearer":
            raise Unauthenticated("credentials must be a bearer token: `authorization: Bearer TOKEN`")
        offered = given.strip().encode("utf-8", "replace")
        # All are compared, always: the time taken must not show which one was near.
        matches = [hmac.compare_digest(offered, token) for token in self._tokens.get()]
        if not any(matches):
            raise Unauthenticated("the bearer token is not accepted")

    def warn_if_open(self, receiver: str, host: str) -> None:
        """Say once that anyone who reaches `host` may send, if that is so and it is more than this machine."""
        if self._warned or not self.open or is_loopback(host):
            return
        self._warned = True
        _logger.warning(
            "receiver_open_to_network",
            receiver=receiver,
            host=host,
        )

    def ssl_context(self, protocol: str = "http/1.1") -> ssl.SSLContext | None:
        """For servers on Python's ssl: None without TLS. New connections use the files as they are then. `protocol`:
        what is spoken, as it is negotiated in the handshake (ALPN)."""
        if self._tls is None:
            return None
        context = partial(self._tls.context, protocol)
        watched = _watched(self._tls.files, context, self._clock)

        def renew(connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
            # Called at every handshake, with or without a server name. The whole context is exchanged rather than
            # loaded into, since an authority cannot be taken out of a context again.
            connection.context = watched.get()

        outer = context()
        outer.sni_callback = renew
        return outer

    def grpc_credentials(self) -> grpc.ServerCredentials | None:
        """The same for grpcio."""
        if self._tls is None:
            return None
        import grpc

        watched = _watched(self._tls.files, self._tls.grpc_configuration, self._clock)
        served = watched.get()

        def fetch() -> grpc.ServerCertificateConfiguration | None:
            nonlocal served
            latest = watched.get()
            if latest is served:
                return None
            served = latest
            return latest

        return grpc.dynamic_ssl_server_credentials(
            served, fetch, require_client_authentication=self._tls.ca_file is not None
        )


@dataclass(frozen=True, slots=True)
class _Tls:
    """The files that TLS needs."""

    cert_file: Path
    key_file: Path
    ca_file: Path | None

    @classmethod
    def of(cls, options: ServerTls) -> _Tls | None:
        if options.cert_file is None or options.key_file is None:
            return None
        return cls(options.cert_file, options.key_file, options.ca_file)

    @property
    def files(self) -> tuple[Path, ...]:
        return tuple(file for file in (self.cert_file, self.key_file, self.ca_file) if file is not None)

    def context(self, protocol: str = "http/1.1") -> ssl.SSLContext:
        """Raises OSError (`ssl.SSLError` is one) if the files are not whole or do not belong together."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols([protocol])
        context.load_cert_chain(self.cert_file, self.key_file)
        if self.ca_file is not None:
            context.load_verify_locations(self.ca_file)
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def grpc_configuration(self) -> grpc.ServerCertificateConfiguration:
        """Raises like `context`."""
        import grpc

        self.context()  # grpcio would find out at a handshake only that key and certificate do not match
        client_ca = self.ca_file.read_bytes() if self.ca_file is not None else None
        pair = (self.key_file.read_bytes(), self.cert_file.read_bytes())
        return grpc.ssl_server_certificate_configuration([pair], root_certificates=client_ca)


def _watched(
    files: Sequence[Path], load: Callable[[], T], clock: Callable[[], float], section: str = "receive"
) -> WatchedFiles[T]:
    return _load(lambda: WatchedFiles(files, load, clock), files, section)


def _load(load: Callable[[], T], files: Sequence[Path], section: str = "receive") -> T:
    try:
        return load()
    except (OSError, ValueError) as error:
        named = ", ".join(str(file) for file in files)
        raise ConfigError([f"{section} credentials: {named}: {error}"]) from error


def _tokens(file: Path) -> tuple[bytes, ...]:
    text = file.read_bytes().removeprefix(codecs.BOM_UTF8)
    tokens = tuple(line.strip() for line in text.splitlines() if line.strip())
    if not tokens:
        raise ValueError("holds no token")
    return tokens
