"""How long after its acknowledgement a log record is on an open live tail of the page."""

from __future__ import annotations

import http.client
import time
from collections.abc import Sequence

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from support.lookup_traces import pairs

TIMES = 20


def tail_seconds(receiver: str, page: str) -> Sequence[float]:
    """Of records one after another; addresses of the OTLP/HTTP receiver and of the page."""
    stream = http.client.HTTPConnection(page, timeout=60)
    stream.request("GET", "/ui/logs/live?service=tailed")
    events = stream.getresponse()
    sender = http.client.HTTPConnection(receiver, timeout=60)
    found = []
    try:
        events.readline()
        for number in range(TIMES):
            word = f"record-{number}-"
            sender.request("POST", "/v1/logs", _record(word), {"content-type": "application/x-protobuf"})
            sender.getresponse().read()
            accepted = time.monotonic()
            while word.encode() not in events.readline():
                pass
            found.append(time.monotonic() - accepted)
    finally:
        stream.close()
        sender.close()
    return found


def _record(word: str) -> bytes:
    message = ExportLogsServiceRequest()
    of_service = message.resource_logs.add()
    of_service.resource.attributes.extend(pairs({"service.name": "tailed"}))
    record = of_service.scope_logs.add().log_records.add(time_unix_nano=time.time_ns(), severity_number=9)  # type: ignore[arg-type]
    record.body.string_value = word
    return message.SerializeToString()
