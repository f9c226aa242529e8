"""The way to a source or destination of reports, with credentials and certificates."""

from __future__ import annotations

from types import TracebackType

from sidecar.deliver.common.auth import Authorization
from sidecar.deliver.common.http import Http, Reply
from sidecar.options import ClientAuth, ClientTls

_FORM = "application/x-www-form-urlencoded"


class Way:
    """Requests to one address. Use it as a context manager."""

    def __init__(self, address: str, auth: ClientAuth, tls: ClientTls, timeout: float) -> None:
        """`timeout`: seconds of a request. Raises `Permanent` where a secret cannot be read."""
        from sidecar.deliver.common.http_client import HttpClient

        self.address = address
        # Not as a scraper: the first 0 of a series is for those that count from it.
        self._headers = {"accept": "*/*", **Authorization(auth).headers()}
        self._http: Http = HttpClient([address], tls, timeout, 1)

    def ask(self, method: str, path: str, form: bytes | None) -> Reply:
        """A request, with a form where there is one. Raises `Unreached`."""
        return self.send(method, path, form, _FORM)

    def send(self, method: str, path: str, body: bytes | None, kind: str) -> Reply:
        """A request with a body of that type. Raises `Unreached`."""
        headers = self._headers if body is None else {**self._headers, "content-type": kind}
        return self._http.request(method, path, body, headers)

    def __enter__(self) -> Way:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()
