"""Prometheus remote write: 2.0, or 1.0 to a receiver that does not know it. Imported only where used.

Source: the remote write specification 2.0, sections "Protocol" and "Retries & Backoff".

| the receiver says | what becomes of the request |
|---|---|
| 2xx | accepted, less what `X-Prometheus-Remote-Write-Samples-Written` says was not |
| 2xx to 2.0 without that header | sent again as 1.0, to which such a body looks empty |
| 415 to 2.0; 400 while it has not taken any 2.0 | sent again as 1.0, and so is what follows |
| 400 with that header | what was not written is rejected for good, the rest is there |
| 5xx, 429 | sent again after a back-off, or after `Retry-After` |
| 401, 403, 3xx, 404, 405 | blocked: an operator has to act; sent again after a back-off |
| any other status | rejected for good |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cramjam
import structlog

from sidecar.deliver.common.auth import Authorization
from sidecar.deliver.common.headers import plain
from sidecar.deliver.common.http import Unreached
from sidecar.deliver.common.http_origin import Answer
from sidecar.deliver.common.http_post import HttpPost
from sidecar.deliver.common.user_agent import USER_AGENT
from sidecar.errors import Permanent
from sidecar.push.destination import PushResult
from sidecar.push.options import RemoteWriteOptions
from sidecar.push.remote_write import messages
from sidecar.push.snapshot import Series

WRITTEN = "x-prometheus-remote-write-samples-written"
_BLOCKED = frozenset({401, 403, 404, 405})
_MAX_DETAIL_CHARS = 500

log = structlog.get_logger("push.remote_write")


class RemoteWrite:
    """Speaks to one receiver."""

    ends_series = True
    """As the specification asks of who writes no more; what was written stays."""

    def __init__(self, options: RemoteWriteOptions) -> None:
        """Opens no connection. Raises `Permanent` where a file of the connection cannot be used."""
        assert options.endpoint is not None
        self._url = options.endpoint
        self._headers = plain(options.headers)
        self._authorization = Authorization(options.auth)
        self._http = HttpPost(options.tls, options.timeout, 1)
        self._http.open(self._url)
        self._version = 2
        self._proven = False
        """The receiver has taken a request of 2.0."""

    def send(self, series: Sequence[Series], time_ms: int) -> PushResult:
        try:
            if self._version == 2:
                answer = self._post(messages.v2(series, time_ms), messages.V2_TYPE, "2.0.0")
                if not self._knows_only_1(answer):
                    self._proven = self._proven or answer.status < 300
                    return self._result(answer, sum(one.samples + _zeros(one, time_ms) for one in series))
                self._version = 1
                log.info("push_remote_write_1", status=answer.status)
            return self._result(self._post(messages.v1(series, time_ms), messages.V1_TYPE, "0.1.0"), None)
        except Unreached as error:
            return PushResult("retry", error.reason, error.detail[:_MAX_DETAIL_CHARS])
        except Permanent as error:
            return PushResult("blocked", "credentials", error.reason)

    def status(self) -> Mapping[str, Any]:
        return {"endpoint": self._url, "version": f"{self._version}.0"}

    def close(self) -> None:
        self._http.close()

    def _post(self, body: bytes, content_type: str, version: str) -> Answer:
        ours = {
            "content-type": content_type,
            "content-encoding": "snappy",
            "x-prometheus-remote-write-version": version,
            "user-agent": USER_AGENT,
        }
        headers = {**ours, **self._headers, **self._authorization.headers()}
        return self._http.post(self._url, bytes(cramjam.snappy.compress_raw(body)), headers)

    def _knows_only_1(self, answer: Answer) -> bool:
        if answer.headers.get(WRITTEN) is not None or self._proven:
            return answer.status == 415
        return answer.status in (400, 415) or 200 <= answer.status < 300

    def _result(self, answer: Answer, samples: int | None) -> PushResult:
        """`samples`: those of a request of 2.0, which says how many were written."""
        detail = f"HTTP {answer.status}: {answer.body[:_MAX_DETAIL_CHARS].decode('utf-8', 'replace').strip()}"
        written = _count(answer.headers.get(WRITTEN))
        left = 0 if samples is None or written is None else max(0, samples - written)
        reason = f"http_{answer.status}"
        if 200 <= answer.status < 300:
            return PushResult("accepted", reason if left else "", detail if left else "", rejected=left)
        if answer.status == 429 or answer.status >= 500:
            return PushResult("retry", reason, detail, retry_after=answer.retry_after)
        if answer.status in _BLOCKED or 300 <= answer.status < 400:
            if answer.status in (401, 403):
                self._authorization.forget()
                reason = "credentials"
            return PushResult("blocked", reason, detail)
        if written is not None:
            return PushResult("accepted", reason, detail, rejected=left)
        return PushResult("rejected", reason, detail, too_large=answer.status == 413)


def _zeros(series: Series, time_ms: int) -> int:
    """Samples of 0 that a series which begins is sent with."""
    if not series.begins or not 0 < int(series.start * 1000) < time_ms:
        return 0
    return sum(part.counts for part in messages.flat(series))


def _count(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() else None


def build(options: RemoteWriteOptions) -> RemoteWrite:
    """The destination; opens no connection."""
    return RemoteWrite(options)
