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


def test_a_token_that_is_no_header_is_said(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("ä", "utf-8")
    with pytest.raises(Permanent, match="token cannot be read"):
        authorization(ClientAuth(token_file=file))
