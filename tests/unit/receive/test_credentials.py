from pathlib import Path

import pytest
from pydantic import ValidationError
from support.certificates import authority

from sidecar.errors import ConfigError, Unauthenticated
from sidecar.options import Section, ServerAuth, ServerTls
from sidecar.receive.credentials import Credentials


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def _accepts(credentials: Credentials, header: str | None) -> bool:
    try:
        credentials.check(header)
    except Unauthenticated:
        return False
    return True


def test_without_credentials_everyone_may_send() -> None:
    credentials = Credentials()
    assert credentials.open
    assert not credentials.tls
    assert not credentials.asks_token
    assert _accepts(credentials, None)
    assert credentials.ssl_context() is None
    assert credentials.grpc_credentials() is None


@pytest.mark.parametrize("header", ["Bearer s3cret", "bearer s3cret", "BEARER  s3cret "])
def test_the_token(header: str) -> None:
    credentials = Credentials(auth=ServerAuth(token="s3cret"))
    assert not credentials.open
    assert _accepts(credentials, header)


@pytest.mark.parametrize(
    "header", [None, "", "s3cret", "Bearer", "Bearer ", "Bearer s3cre", "Bearer s3cret2", "Basic s3cret", "Bearer é"]
)
def test_wrong_or_no_token(header: str | None) -> None:
    credentials = Credentials(auth=ServerAuth(token="s3cret"))
    with pytest.raises(Unauthenticated) as error:
        credentials.check(header)
    assert "s3cret" not in str(error.value).replace(header or "-", "")


def test_token_file_with_several_is_read_again_when_it_changes(tmp_path: Path) -> None:
    file, clock = tmp_path / "token", Clock()
    file.write_text("old\n")
    credentials = Credentials(auth=ServerAuth(token_file=file), clock=clock)
    assert _accepts(credentials, "Bearer old")
    file.write_text("old\nnew\n")
    clock.now = 0.5
    assert not _accepts(credentials, "Bearer new"), "looked at more than once a second"
    clock.now = 1.5
    assert _accepts(credentials, "Bearer new")
    assert _accepts(credentials, "Bearer old")
    replacement = tmp_path / "next"
    replacement.write_text("new\n\n")
    replacement.rename(file)
    clock.now = 3.0
    assert _accepts(credentials, "Bearer new")
    assert not _accepts(credentials, "Bearer old")


@pytest.mark.parametrize("spoil", [lambda f: f.unlink(), lambda f: f.write_text("\n \n")])
def test_a_spoilt_token_file_leaves_the_last_good_content(
    tmp_path: Path, spoil: object, capsys: pytest.CaptureFixture[str]
) -> None:
    file, clock = tmp_path / "token", Clock()
    file.write_text("old")
    credentials = Credentials(auth=ServerAuth(token_file=file), clock=clock)
    spoil(file)  # type: ignore[operator]
    for clock.now in (2.0, 4.0, 6.0):
        assert _accepts(credentials, "Bearer old")
    assert "".join(capsys.readouterr()).count("credentials_not_reloaded") == 1
    file.write_text("new token, longer")
    clock.now = 8.0
    assert _accepts(credentials, "Bearer new token, longer")
    assert not _accepts(credentials, "Bearer old")


def test_invalid_files_at_start_are_configuration_errors(tmp_path: Path) -> None:
    for options in (
        {"auth": ServerAuth(token_file=tmp_path / "missing")},
        {"tls": ServerTls(cert_file=tmp_path / "c", key_file=tmp_path / "k")},
    ):
        with pytest.raises(ConfigError) as error:
            Credentials(**options)  # type: ignore[arg-type]
        assert str(tmp_path) in str(error.value)


@pytest.mark.parametrize(
    ("section", "options"),
    [
        (ServerTls, {"cert_file": "c"}),
        (ServerTls, {"key_file": "k"}),
        (ServerTls, {"ca_file": "a"}),
        (ServerAuth, {"token": "a", "token_file": "b"}),
        (ServerAuth, {"token": " "}),
        (ServerAuth, {"tokens": "a"}),
    ],
)
def test_options_that_make_no_sense(section: type[Section], options: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        section.model_validate(options)


def test_the_token_is_not_shown() -> None:
    assert "s3cret" not in repr(ServerAuth(token="s3cret"))


@pytest.mark.parametrize(
    ("host", "warned"),
    [("127.0.0.1", 0), ("127.8.0.1", 0), ("::1", 0), ("localhost", 0), ("0.0.0.0", 1), ("::", 1), ("pod", 1)],
)
def test_open_to_the_network_is_said_once(host: str, warned: int, capsys: pytest.CaptureFixture[str]) -> None:
    credentials = Credentials()
    credentials.warn_if_open("otlp_grpc", host)
    credentials.warn_if_open("otlp_http", host)
    assert "".join(capsys.readouterr()).count("receiver_open_to_network") == warned


def test_not_said_with_a_token(capsys: pytest.CaptureFixture[str]) -> None:
    Credentials(auth=ServerAuth(token="x")).warn_if_open("otlp_grpc", "0.0.0.0")
    assert "".join(capsys.readouterr()) == ""


def test_key_and_certificate_must_belong_together(tmp_path: Path) -> None:
    ca = authority(tmp_path)
    one, two = ca.issue("one"), ca.issue("two")
    assert Credentials(ServerTls(cert_file=one.cert, key_file=one.key)).tls
    with pytest.raises(ConfigError):
        Credentials(ServerTls(cert_file=one.cert, key_file=two.key))


def test_a_byte_order_mark_is_not_part_of_a_token(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_bytes(b"\xef\xbb\xbfabc\r\n")
    assert _accepts(Credentials(auth=ServerAuth(token_file=file)), "Bearer abc")
