from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from sidecar.deliver.common.auth import Authorization, authorization
from sidecar.errors import Permanent
from sidecar.options import ClientAuth


def test_each_way_has_its_scheme() -> None:
    assert authorization(ClientAuth()) is None
    assert authorization(ClientAuth(api_key=SecretStr("abc"))) == "ApiKey abc"
    assert authorization(ClientAuth(token=SecretStr("abc"))) == "Bearer abc"
    assert authorization(ClientAuth(username="u", password=SecretStr("pä"))) == "Basic dTpww6Q="


def test_files_are_read_again_when_the_credentials_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "password"
    held = Authorization(ClientAuth(username="u", password_file=file))
    with pytest.raises(Permanent, match="password cannot be read"):
        held.headers()
    file.write_text("one\n")
    assert held.headers() == {"authorization": "Basic dTpvbmU="}
    file.write_text("two")
    assert held.headers() == {"authorization": "Basic dTpvbmU="}
    held.forget()
    assert held.headers() == {"authorization": "Basic dTp0d28="}


@pytest.mark.parametrize("text", ["ä", "one\ntwo", " \n", "a\x00b", "→"])
@pytest.mark.parametrize("what", ["token", "api_key"])
def test_what_no_header_can_hold_is_said_without_showing_it(tmp_path: Path, text: str, what: str) -> None:
    file = tmp_path / "secret"
    file.write_text(text, "utf-8")
    given = ClientAuth.model_validate({what: text}) if text.strip() else None
    for auth in (given, ClientAuth.model_validate({f"{what}_file": file})):
        if auth is not None:
            with pytest.raises(Permanent, match="expected one line of printable ASCII") as refused:
                authorization(auth)
            assert text not in str(refused.value) or not text.strip()


def test_line_breaks_around_a_secret_are_not_part_of_it() -> None:
    assert authorization(ClientAuth(api_key=SecretStr(" abc\n"))) == "ApiKey abc"
    assert authorization(ClientAuth(username="u", password=SecretStr(" p "))) == "Basic dTogcCA="


def test_a_byte_order_mark_is_not_part_of_a_secret(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_bytes(b"\xef\xbb\xbfabc\r\n")
    assert authorization(ClientAuth(token_file=file)) == "Bearer abc"
    assert authorization(ClientAuth(username="u", password_file=file)) == "Basic dTphYmM="
