"""OTLP over HTTP with protobuf bodies: bytes out, the meaning of the answer back. Imported only where used."""

from __future__ import annotations

from collections.abc import Mapping

from isal import igzip_lib

from sidecar.deliver.common.http import Unreached
from sidecar.deliver.common.http_post import HttpPost
from sidecar.deliver.otlp import responses
from sidecar.deliver.otlp.responses import ExportResult
from sidecar.options import ClientTls
from sidecar.pipeline import Signal


class OtlpHttpClient:
    """Connections to the receivers of each signal. Used from several threads."""

    def __init__(
        self,
        urls: Mapping[Signal, str],
        *,
        gzip: bool,
        timeout: float,
        tls: ClientTls,
        user_agent: str,
        connections: int,
    ) -> None:
        """`urls`: signal -> whole URL. Opens no connection. Raises `Permanent` where a file of the connection cannot be
        used."""
        self._gzip, self._urls, self._user_agent = gzip, urls, user_agent
        self._http = HttpPost(tls, timeout, connections)
        for url in urls.values():
            self._http.open(url)

    def export(self, signal: Signal, body: bytes, headers: Mapping[str, str]) -> ExportResult:
        """Send one request and wait for its end. The time-out is that of the whole, the reply included."""
        sent = {"content-type": "application/x-protobuf", "user-agent": self._user_agent, **headers}
        if self._gzip:
            sent["content-encoding"] = "gzip"
            body = igzip_lib.compress(body, 1, igzip_lib.COMP_GZIP)
        try:
            answer = self._http.post(self._urls[signal], body, sent)
        except Unreached as error:
            return responses.unreached(error.reason, error.detail)
        return responses.from_http(
            answer.status, answer.headers.get("content-type", ""), answer.body, answer.retry_after
        )

    def close(self) -> None:
        """Close the connections that are not in use."""
        self._http.close()
