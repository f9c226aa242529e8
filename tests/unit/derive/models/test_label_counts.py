"""Labels counted by the model that they name."""

from __future__ import annotations

import json
from typing import Any

from support.derive_fakes import arrival, lines

from sidecar.decode.predictions.label_bodies import from_csv, from_lines
from sidecar.decode.python import ReferenceDecoder
from sidecar.derive.models.label_counts import LabelDeriver
from sidecar.derive.series import Budget

DECODER = ReferenceDecoder()


def feed(deriver: LabelDeriver, *payloads: bytes) -> None:
    for payload in payloads:
        deriver.apply(deriver.decode(DECODER, [payload]), arrival(1))


def shown(deriver: LabelDeriver) -> dict[str, str]:
    deriver.received.mark_exported()
    return lines(list(deriver.collect()))


def posted(*records: dict[str, Any]) -> bytes:
    return from_lines("\n".join(map(json.dumps, records)).encode(), 5).payload


def test_by_model_version_and_status() -> None:
    deriver = LabelDeriver(Budget())
    feed(
        deriver,
        posted(*[{"id": n, "label": 1, "model": "churn", "version": "7"} for n in range(3)], {"id": "x", "label": 0}),
        DECODER.json_lines(b'{"event":"ml.label","model":"churn","id":"a"}\n{"event_name":"ml.label"}', 5).payload,
        DECODER.json_lines(b'{"message":"no label","id":"a","label":1}', 5).payload,
        from_csv(b"id,label,model_name,model_version\na,1,churn,7\n", 5).payload,
    )
    assert shown(deriver) == {
        'model_labels_received_total{model="churn",version="7",status="ok"}': "4",
        'model_labels_received_total{status="ok"}': "1",
        'model_labels_received_total{model="churn",status="invalid"}': "1",
        'model_labels_received_total{status="invalid"}': "1",
    }


def test_payloads_without_labels_are_not_read() -> None:
    class Watching(ReferenceDecoder):
        reads = 0

        def check_logs(self, payload: bytes) -> Any:
            self.reads += 1
            return super().check_logs(payload)

    decoder, deriver = Watching(), LabelDeriver(Budget())
    plain = DECODER.json_lines(b'{"message":"hello"}', 5).payload
    assert deriver.decode(decoder, [plain, posted({"id": "a", "label": 1}), plain]) == [{}, {("", "", "ok"): 1}, {}]
    assert decoder.reads == 1


def test_models_are_bounded_and_none_is_lost() -> None:
    deriver = LabelDeriver(Budget(values=5))
    feed(deriver, posted(*[{"id": n, "label": 1, "model": f"m{n}"} for n in range(50)]))
    assert shown(deriver)['model_labels_received_total{model="__other__",status="ok"}'] == "45"
    assert sum(map(int, shown(deriver).values())) == 50


def test_what_was_kept_goes_on() -> None:
    deriver = LabelDeriver(Budget())
    feed(deriver, posted({"id": "a", "label": 1, "model": "churn"}))
    state = dict(deriver.received.checkpoint())
    again = LabelDeriver(Budget())
    again.received.restore({k: v for k, v in state.items() if v is not None})
    feed(again, posted({"id": "b", "label": 1, "model": "churn"}))
    assert shown(again) == {'model_labels_received_total{model="churn",status="ok"}': "2"}
