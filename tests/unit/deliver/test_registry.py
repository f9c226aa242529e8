from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.delivery import entry, logs_payload, sink_context, spans_payload

from sidecar.config.settings import DeliverOptions
from sidecar.decode.python import ReferenceDecoder
from sidecar.deliver.options import SinkOptions
from sidecar.deliver.registry import SINKS, SinkType
from sidecar.deliver.sink import Sink


def enabling(kind: SinkType) -> dict[str, Any]:
    """Options without which a sink is off: the first of its addresses, as the option's example has it, or `enabled`."""
    fields = kind.options.model_fields
    addresses = kind.options.address_options[:1]
    return {name: (fields[name].examples or [None])[0] for name in addresses} or {"enabled": True}


@pytest.fixture(params=SINKS, ids=lambda kind: kind.name)
def kind(request: pytest.FixtureRequest) -> SinkType:
    assert isinstance(request.param, SinkType)
    return request.param


def built(kind: SinkType, directory: Path, name: str = "") -> Sink[Any]:
    options = kind.options.model_validate(enabling(kind))
    return kind.build(name or kind.name, options, sink_context(ReferenceDecoder(), "journal", directory=directory))


def test_every_sink_has_a_section_of_its_name_and_documented_options(kind: SinkType) -> None:
    assert DeliverOptions.model_fields[kind.name].annotation is kind.options
    assert issubclass(kind.options, SinkOptions)
    for name, field in kind.options.model_fields.items():
        assert field.description, f"{kind.name}.{name} has no description"
        assert not field.is_required(), f"{kind.name}.{name} has no default"
    enabled = kind.options.model_validate(enabling(kind)).is_enabled
    assert enabled is True
    assert kind.options.model_fields["kind"].default == kind.name
    assert kind.signals


def test_every_sink_is_what_its_kind_says(kind: SinkType, tmp_path: Path) -> None:
    sink = built(kind, tmp_path, "another")
    assert sink.name == "another"
    assert sink.signals == kind.signals
    assert sink.target_batch_bytes > 0
    assert isinstance(dict(sink.status()), dict)
    sink.close()


def test_every_sink_expects_every_entry_and_settles_what_it_expects(kind: SinkType, tmp_path: Path) -> None:
    sink = built(kind, tmp_path)
    entries = [
        entry(1, spans_payload(3, events=2), 3, 6),
        entry(2, logs_payload("a", trace=1), 1, signal="logs"),
        entry(3, b"\xff\xff\xff", 2),
        entry(4, b"", 0),
    ]
    prepared = sink.prepare([e for e in entries if e.signal in kind.signals])
    assert set(prepared.expected) == {e.seq for e in entries if e.signal in kind.signals}
    early = dict.fromkeys(prepared.expected, 0)
    for settled in prepared.settled:
        early[settled.seq] += sum(settled.counts.values())
    assert all(early[seq] <= prepared.expected[seq] for seq in early)
    assert prepared.expected[1] == 9
    assert prepared.expected[4] == 0
    sink.close()


def test_names_are_told_apart() -> None:
    assert len({kind.name for kind in SINKS}) == len(SINKS)
