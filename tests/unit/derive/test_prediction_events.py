"""The events of some payloads, read once for all derivers."""

from __future__ import annotations

from collections.abc import Sequence

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from sidecar.decode.api import LogBatch, PredictionBatch
from sidecar.decode.python import ReferenceDecoder
from sidecar.derive.prediction_events import PredictionEvents


class Counting(ReferenceDecoder):
    """Says what was asked of it."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def predictions(self, payloads: Sequence[bytes], features: bool = False) -> PredictionBatch:
        self.asked.append("predictions")
        return super().predictions(payloads, features)

    def logs_and_predictions(
        self, payloads: Sequence[bytes], features: bool = False
    ) -> tuple[LogBatch, PredictionBatch]:
        self.asked.append("both")
        return ReferenceDecoder().logs_and_predictions(payloads, features)


def request(*events: str) -> bytes:
    """A record of each event; the one of an id that is too short is refused."""
    made = ExportLogsServiceRequest()
    records = made.resource_logs.add().scope_logs.add().log_records
    for event in events:
        records.add(event_name=event, time_unix_nano=5, trace_id=b"short" if event == "refused" else b"")
    return made.SerializeToString()


EVENT, MIXED = request("ml.prediction", "ml.model.loaded", "refused"), request("ml.prediction", "", "ml.prediction")
LOG = request("", "startup")


def test_payloads_are_read_once_for_all() -> None:
    decoder, events = Counting(), PredictionEvents().join().join(features=True).join()
    for payloads in ([EVENT, LOG], [MIXED]):
        logs = events.logs(decoder, payloads)
        first, second = events.read(decoder, payloads), events.read(decoder, payloads)
        assert first is second
        assert first is not None
        assert first.features is not None
        assert len(logs) == first.ends[-1]
        events.skip()
    assert decoder.asked == ["both", "both"]


def test_log_records_alone_where_there_are_no_events_or_nobody_asks_for_them() -> None:
    decoder, events = Counting(), PredictionEvents()
    assert len(events.logs(decoder, [EVENT])) == 2
    events.join()
    assert len(events.logs(decoder, [LOG])) == 2
    assert decoder.asked == []
    assert events.read(decoder, [LOG]) is None


def test_which_payloads_have_other_records() -> None:
    events = PredictionEvents().join().join()
    payloads = [EVENT, MIXED, LOG, request()]
    assert events.read(Counting(), payloads) is not None
    assert events.others(payloads) == [False, True, True, False]


def test_without_events_at_hand_every_payload_may_have_others() -> None:
    decoder, events = Counting(), PredictionEvents().join().join()
    assert events.others([EVENT]) == [True]
    assert events.read(decoder, [EVENT]) is not None
    assert events.others([MIXED]) == [True]
    assert decoder.asked == ["predictions"]
