"""Push over OTLP, by gRPC or HTTP. Imported only where used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sidecar.deliver.common.auth import Authorization
from sidecar.deliver.common.headers import plain
from sidecar.deliver.common.user_agent import USER_AGENT
from sidecar.deliver.otlp.responses import ExportResult
from sidecar.deliver.otlp.sink import Client
from sidecar.errors import Permanent
from sidecar.push.destination import PushResult
from sidecar.push.options import OtlpPushOptions
from sidecar.push.otlp.messages import request, target_of
from sidecar.push.snapshot import LabelPairs, Series


class OtlpPush:
    """Speaks to one receiver."""

    ends_series = False
    """A gateway that is scraped would forget the last values of a Job before anybody saw them. Prometheus itself shows
    them for its look-back of five minutes."""

    def __init__(self, options: OtlpPushOptions, client: Client) -> None:
        self._options, self._client = options, client
        self._headers = plain(options.headers)
        self._authorization = Authorization(options.auth)
        self._targets: dict[LabelPairs, LabelPairs] = {}
        """Resource -> its other attributes, as the snapshot says that is being pushed."""
        self._time_ms = 0

    def send(self, series: Sequence[Series], time_ms: int) -> PushResult:
        if time_ms != self._time_ms:
            self._targets, self._time_ms = {}, time_ms
        others = []
        for one in series:
            if one.is_target_info:
                self._targets[target_of(one)] = tuple(p for p in one.labels if p[0] not in ("job", "instance"))
            else:
                others.append(one)
        if series and not others:
            return PushResult("accepted")
        try:
            headers = {**self._headers, **self._authorization.headers()}
        except Permanent as error:
            return PushResult("blocked", "credentials", error.reason)
        result = self._client.export("metrics", request(others, time_ms, self._targets), headers)
        if result.reason == "credentials":
            self._authorization.forget()
        return _result(result)

    def status(self) -> Mapping[str, Any]:
        return {"endpoint": self._options.endpoint, "protocol": self._options.protocol}

    def close(self) -> None:
        self._client.close()


def _result(result: ExportResult) -> PushResult:
    # Where metrics are not served at all somebody has to correct the address.
    status = "blocked" if result.whole_signal else result.status
    return PushResult(
        status, result.reason, result.detail, result.rejected, result.retry_after, too_large=result.too_large
    )


def build(options: OtlpPushOptions) -> OtlpPush:
    """The destination; opens no connection. Raises `Permanent` where a file of the connection cannot be used."""
    assert options.endpoint is not None
    if options.protocol == "grpc":
        from sidecar.deliver.otlp.grpc_exporter import OtlpGrpcClient

        client: Client = OtlpGrpcClient(
            {"metrics": options.endpoint},
            gzip=False,
            timeout=options.timeout,
            tls=options.tls,
            user_agent=USER_AGENT,
        )
    else:
        from sidecar.deliver.otlp.http_exporter import OtlpHttpClient

        client = OtlpHttpClient(
            {"metrics": f"{options.endpoint}/v1/metrics"},
            gzip=True,
            timeout=options.timeout,
            tls=options.tls,
            user_agent=USER_AGENT,
            connections=1,
        )
    return OtlpPush(options, client)
