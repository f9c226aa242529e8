"""Something to see on every view of the page: what a shop with a model sends, and texts that would be scripts."""

from __future__ import annotations

import json
import random
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from support.delivery import FakeEngine
from support.drift_data import event_request, reference
from support.engines.sidecar import SidecarProcess
from support.lookup_traces import CLIENT, INTERNAL, MS, SERVER, START, pairs, request, span, trace_hex
from support.receiving import Reply

EVIL = "<script>window.harmed=1</script><img src=x onerror='window.harmed=1'>\"'--><svg onload=window.harmed=1>"
CURSED = "cursed"
"""Documents with this text are rejected by `Destination` while it refuses."""
TRACES = 40
SLOW = 7
"""Number of the trace that took longest, 2.75 s, under the name `POST /checkout`."""
SLOW_ID = trace_hex(SLOW)
_RNG = np.random.default_rng(5)


def environ(folder: Path, elasticsearch: str) -> dict[str, str]:
    """What the sidecar is set to; writes the reference that it watches."""
    columns = {"age": _RNG.normal(40, 10, 3000), "plan": _RNG.choice(["basic", "pro", "team"], 3000).tolist()}
    (folder / "reference.json").write_text(reference(columns, "churn").dump())
    return {
        "SIDECAR_DERIVE__PREDICTIONS__ATTRIBUTES": "true",
        "SIDECAR_DERIVE__OUTCOMES__ENABLED": "true",
        "SIDECAR_DERIVE__EXPERIMENTS__ENABLED": "true",
        "SIDECAR_DERIVE__DRIFT__REFERENCE": str(folder / "reference.json"),
        "SIDECAR_DERIVE__DRIFT__WINDOW": "1d",
        "SIDECAR_DERIVE__DRIFT__CHECK_INTERVAL": "1s",
        "SIDECAR_DERIVE__DRIFT__WARM_UP": "0",
        "SIDECAR_DELIVER__ELASTICSEARCH__HOSTS": elasticsearch,
        "SIDECAR_DELIVER__ELASTICSEARCH__BOOTSTRAP": "false",
        "SIDECAR_DELIVER__STORE__ENABLED": "true",
    }


class Destination(FakeEngine):
    """Rejects documents with `CURSED` in them for good, while `refuses`."""

    refuses = True

    def bulk(self, body: bytes) -> Reply:
        if self.refuses:
            rows = body.split(b"\n")
            for action, source in zip(rows[0:-1:2], rows[1::2], strict=True):
                if CURSED.encode() in source:
                    doc_id = json.loads(action)["create"]["_id"]
                    self.poison[doc_id] = (400, "document_parsing_exception", f"failed to parse {EVIL}")
        else:
            self.poison.clear()
        return super().bulk(body)


def post(sidecar: SidecarProcess, path: str, body: bytes, kind: str = "application/x-protobuf") -> None:
    """One request to its HTTP receivers, which it accepts."""
    asked = urllib.request.Request(f"{sidecar.otlp_url}{path}", body, {"Content-Type": kind})
    with urllib.request.urlopen(asked, timeout=60) as answer:
        assert answer.status in (200, 202), answer.status


def log_payload(*bodies: str, service: str = "shop", severity: int = 9, trace: int = 0, number: int = 0) -> bytes:
    """Log records of now."""
    message = ExportLogsServiceRequest()
    of_service = message.resource_logs.add()
    of_service.resource.attributes.extend(pairs({"service.name": service, "service.version": "1.2"}))
    for body in bodies:
        record = LogRecord(
            time_unix_nano=time.time_ns(),
            severity_number=severity,  # type: ignore[arg-type]  # the enum's number
            body=AnyValue(string_value=body),
            attributes=pairs({"user": EVIL, "code.function": "checkout"}),
        )
        if trace:
            record.trace_id = trace.to_bytes(16, "big")
            record.span_id = (trace << 16 | number).to_bytes(8, "big")
        of_service.scope_logs.add().log_records.append(record)
    return message.SerializeToString()


def send_all(sidecar: SidecarProcess) -> None:
    """Everything, accepted when this returns."""
    for body in _traces():
        post(sidecar, "/v1/traces", body)
    post(sidecar, "/v1/logs", log_payload("cart loaded", "price looked up", "stock reserved"))
    post(sidecar, "/v1/logs", log_payload("payment provider is slow", severity=13, trace=SLOW, number=3))
    post(sidecar, "/v1/logs", log_payload("card refused: limit reached", severity=17, trace=3, number=3))
    post(sidecar, "/v1/logs", log_payload(EVIL, f"{CURSED} {EVIL}", service=EVIL, severity=17))
    post(sidecar, "/v1/json", b"\n".join(json.dumps(one).encode() for one in _predictions()), "application/x-ndjson")
    post(sidecar, "/v1/json", b"\n".join(json.dumps(one).encode() for one in _experiment()), "application/x-ndjson")
    labels = [{"prediction_id": f"p-{n}", "label": "leaves" if n % 3 else "stays"} for n in range(60)]
    post(sidecar, "/v1/labels", json.dumps(labels).encode(), "application/json")
    send_features(sidecar)


def send_features(sidecar: SidecarProcess) -> None:
    """Rows of the model with a reference, in which one feature has moved."""
    columns = {"age": _RNG.normal(52, 10, 400).tolist(), "plan": _RNG.choice(["basic", "pro", "team"], 400).tolist()}
    post(sidecar, "/v1/logs", event_request(columns))


def _predictions() -> list[Mapping[str, Any]]:
    source = random.Random(3)
    found: list[Mapping[str, Any]] = []
    for number in range(120):
        sure = source.betavariate(6, 2)
        found.append({
            "message": "scored", "service.name": "shop", "model": "churn", "version": "7",
            "prediction_id": f"p-{number}", "predicted_class": "leaves" if sure > 0.6 else "stays",
            "confidence": round(sure, 3), "latency_ms": round(source.lognormvariate(2.3, 0.5), 2),
        })  # fmt: skip
    evil = {"message": "scored", "model": EVIL, "version": EVIL, "predicted_class": EVIL, "confidence": 0.5}
    return [*found, evil]


def _experiment() -> list[Mapping[str, Any]]:
    """Three variants, of which `bold` converts twice as often, and one whose names are texts that would be scripts."""
    rates = {"control": 0.2, "bold": 0.4, "calm": 0.21}
    shown = {"message": "scored", "service.name": "shop", "model": "ranking", "predicted_class": "shoes"}
    found: list[Mapping[str, Any]] = []
    for variant, rate in rates.items():
        for number in range(600):
            key = f"{variant}-{number}"
            found.append({**shown, "prediction_id": key, "experiment": "ranking-v2", "variant": variant})
            if number < 600 * rate:
                found.append({"event": "conversion", "prediction_id": key, "service.name": "shop"})
    return [*found, {**shown, "prediction_id": "e-1", "experiment": EVIL, "variant": EVIL}]


def _traces() -> list[bytes]:
    source = random.Random(8)
    shift = time.time_ns() - START - 120 * 1000 * MS
    gateway, shop, model = [], [], []
    for number in range(1, TRACES + 1):
        at = shift + number * 2000 * MS
        whole = 2750 if number == SLOW else source.randrange(40, 400)
        name = "POST /checkout" if number in (SLOW, 3, 12) else "GET /cart"
        failed = 2 if number == 3 else 0
        gateway.append(
            span(
                number,
                1,
                name,
                SERVER,
                0,
                at,
                whole * MS,
                failed,
                http__route=name.split()[1],
                http__request__method="GET",
            )
        )
        inner = whole * 8 // 10
        shop.append(span(number, 2, f"{name} handler", SERVER, 1, at + whole * MS // 10, inner * MS, failed))
        pay = span(
            number,
            3,
            "SELECT orders",
            CLIENT,
            2,
            at + whole * MS // 5,
            inner * MS // 2,
            failed,
            db__system="postgresql",
        )
        if failed:
            pay.events.add(
                name="exception", time_unix_nano=pay.end_time_unix_nano,
                attributes=pairs({"exception.type": "CardRefused", "exception.message": EVIL}),
            )  # fmt: skip
        shop.append(pay)
        predicting = at + whole * MS * 3 // 4
        model.append(span(number, 4, "predict churn", SERVER, 2, predicting, inner * MS // 6, ml__model__name="churn"))
        model.append(span(number, 5, "preprocess", INTERNAL, 4, predicting, inner * MS // 18))
    odd = span(99, 1, EVIL, SERVER, 0, shift, 5 * MS, **{"http__route": EVIL, "attribute " + EVIL: EVIL})
    odd.events.add(name=EVIL, time_unix_nano=odd.start_time_unix_nano, attributes=pairs({EVIL: EVIL}))
    said = span(
        50, 1, "chat small-model", CLIENT, 0, shift, 900 * MS, gen_ai__operation__name="chat",
        gen_ai__request__model="small-model", gen_ai__usage__input_tokens=1200, gen_ai__usage__output_tokens=310,
        gen_ai__provider__name="openai",
    )  # fmt: skip
    return [
        request("gateway", gateway),
        request("shop", shop),
        request("churn-model", model),
        request("assistant", [said]),
        request(EVIL, [odd]),
    ]
