"""TLS, client certificates and tokens on both protocols, and their rotation while the receivers run."""

import shutil
import ssl
import time
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest
from support.certificates import Authority, Pair, authority
from support.receiving import Receiving, receiving

OK = grpc.StatusCode.OK


def _over_grpc(at: Receiving, ca: Authority, client: Pair | None = None, **metadata: str) -> bool:
    tls = grpc.ssl_channel_credentials(
        ca.cert.read_bytes(),
        client.key.read_bytes() if client else None,
        client.cert.read_bytes() if client else None,
    )
    code = at.export("spans", b"", tls=tls, **metadata).code
    assert code in (OK, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNAUTHENTICATED)
    return code is OK


def _over_http(at: Receiving, ca: Authority, client: Pair | None = None, **headers: str) -> bool:
    tls = ssl.create_default_context(cafile=ca.cert)
    if client is not None:
        tls.load_cert_chain(client.cert, client.key)
    try:
        status = at.post("/v1/traces", b"", tls=tls, **headers).status
    except (ssl.SSLError, ConnectionError):
        return False
    assert status in (200, 401)
    return status == 200


Attempt = Callable[..., bool]
BOTH = pytest.mark.parametrize("sends", [_over_grpc, _over_http], ids=["grpc", "http"])


def _put(pair: Pair, folder: Path) -> tuple[Path, Path]:
    """The pair under fixed names, replaced at once as a mounted secret is."""
    cert, key = folder / "tls.crt", folder / "tls.key"
    for source, target in ((pair.cert, cert), (pair.key, key)):
        copy = target.with_suffix(".next")
        shutil.copy(source, copy)
        copy.rename(target)
    return cert, key


def _eventually(wanted: Callable[[], bool]) -> bool:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if wanted():
            return True
        time.sleep(0.1)
    return False


@BOTH
def test_tls(sends: Attempt, tmp_path: Path) -> None:
    ca, stranger = authority(tmp_path), authority(tmp_path, "stranger")
    server = ca.issue("server")
    with receiving(cert_file=server.cert, key_file=server.key) as at:
        assert sends(at, ca)
        assert not sends(at, stranger), "the client must not trust this server"
        assert at.export("spans", b"").code is grpc.StatusCode.UNAVAILABLE, "plain text is not spoken"
        with pytest.raises((ConnectionError, OSError)):
            at.post("/v1/traces", b"")


@BOTH
def test_mutual_tls(sends: Attempt, tmp_path: Path) -> None:
    ca, stranger = authority(tmp_path), authority(tmp_path, "stranger")
    server = ca.issue("server")
    with receiving(cert_file=server.cert, key_file=server.key, ca_file=ca.cert) as at:
        assert sends(at, ca, ca.issue("client"))
        assert not sends(at, ca)
        assert not sends(at, ca, stranger.issue("intruder"))


@BOTH
def test_tls_and_token(sends: Attempt, tmp_path: Path) -> None:
    ca = authority(tmp_path)
    server = ca.issue("server")
    token = tmp_path / "token"
    token.write_text("s3cret\n")
    with receiving(cert_file=server.cert, key_file=server.key, token_file=token) as at:
        assert sends(at, ca, authorization="Bearer s3cret")
        assert not sends(at, ca, authorization="Bearer other")
        assert not sends(at, ca)
        token.write_text("another\n")
        assert _eventually(lambda: sends(at, ca, authorization="Bearer another"))
        assert not sends(at, ca, authorization="Bearer s3cret")


@BOTH
def test_rotation_of_the_server_s_certificate(sends: Attempt, tmp_path: Path) -> None:
    old, new = authority(tmp_path, "old"), authority(tmp_path, "new")
    cert, key = _put(old.issue("server-of-old"), tmp_path)
    with receiving(cert_file=cert, key_file=key) as at:
        assert sends(at, old)
        assert not sends(at, new)
        _put(new.issue("server-of-new"), tmp_path)
        assert _eventually(lambda: sends(at, new))
        assert not sends(at, old)


@BOTH
def test_rotation_of_the_clients_authority(sends: Attempt, tmp_path: Path) -> None:
    ca = authority(tmp_path, "server-ca")
    old, new = authority(tmp_path, "old"), authority(tmp_path, "new")
    old_client, new_client = old.issue("client-of-old"), new.issue("client-of-new")
    server = ca.issue("server")
    accepted = tmp_path / "accepted.pem"
    shutil.copy(old.cert, accepted)
    with receiving(cert_file=server.cert, key_file=server.key, ca_file=accepted) as at:
        assert sends(at, ca, old_client)
        assert not sends(at, ca, new_client)
        shutil.copy(new.cert, accepted)
        assert _eventually(lambda: sends(at, ca, new_client))
        assert not sends(at, ca, old_client), "an authority that was taken away must not be trusted any more"


@BOTH
def test_a_half_written_rotation_leaves_the_old_in_force(sends: Attempt, tmp_path: Path) -> None:
    ca = authority(tmp_path)
    cert, key = _put(ca.issue("first"), tmp_path)
    second = ca.issue("second")
    with receiving(cert_file=cert, key_file=key) as at:
        assert sends(at, ca)
        shutil.copy(second.cert, cert)
        time.sleep(1.2)
        assert sends(at, ca)
        shutil.copy(second.key, key)
        time.sleep(1.2)
        assert sends(at, ca)
