"""Credentials of the requests that the program makes."""

from __future__ import annotations

import base64
from pathlib import Path

from pydantic import SecretStr

from sidecar.errors import Permanent
from sidecar.options import ClientAuth


def authorization(auth: ClientAuth) -> str | None:
    """Value of the Authorization header, read from files where the options name them; None without credentials.
    Raises `Permanent` where a file cannot be read."""
    key = _secret("API key", auth.api_key, auth.api_key_file)
    if key is not None:
        return f"ApiKey {_in_a_header('API key', key)}"
    token = _secret("token", auth.token, auth.token_file)
    if token is not None:
        return f"Bearer {_in_a_header('token', token)}"
    if auth.username is None:
        return None
    pair = f"{auth.username}:{_secret('password', auth.password, auth.password_file) or ''}"
    return "Basic " + base64.b64encode(pair.encode()).decode("ascii")


def _in_a_header(what: str, text: str) -> str:
    """Raises `Permanent` where a header cannot hold it. What it is does not show."""
    text = text.strip()
    if not text or not text.isascii() or not text.isprintable():
        raise Permanent(f"the {what} is invalid: expected one line of printable ASCII")
    return text


def _secret(what: str, value: SecretStr | None, file: Path | None) -> str | None:
    if file is None:
        return value.get_secret_value() if value else None
    try:
        return file.read_text("utf-8-sig").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Permanent(f"{file}: {what} cannot be read: {error}") from error


class Authorization:
    """The header of requests, kept until the destination refuses it: then files are read again."""

    def __init__(self, auth: ClientAuth) -> None:
        self._auth = auth
        self._headers: dict[str, str] | None = None

    def headers(self) -> dict[str, str]:
        """The header by its name; {} without credentials. Raises `Permanent` where a file cannot be read."""
        headers = self._headers
        if headers is None:
            value = authorization(self._auth)
            headers = self._headers = {"authorization": value} if value else {}
        return headers

    def forget(self) -> None:
        """The credentials were refused, or may have changed."""
        self._headers = None
