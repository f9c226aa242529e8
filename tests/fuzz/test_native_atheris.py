"""Coverage-guided fuzzing of the native core against the reference, whose branches guide it.

By hand, for as long as you like: `python tests/fuzz/test_native_atheris.py CORPUS_DIRECTORY`. The test runs it for a
bounded number of inputs. The first byte of an input says what the rest is.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

RUNS = 20_000
SECONDS = 12
OBSERVED = 1_795_256_301_122_834_607
DIMENSIONS = ["http.route", "k", "\ufffd"]


def result(call: Any) -> Any:
    """What a call gives, in a form that can be compared, or how it fails."""
    import dataclasses

    from sidecar.errors import DecodeError

    try:
        found = call()
    except DecodeError as error:
        return str(error), error.offset
    values = (getattr(found, field.name) for field in dataclasses.fields(found) if field.compare)
    return [[_plain(each) for each in (value if isinstance(value, tuple) else (value,))] for value in values]


def _plain(value: Any) -> Any:
    return value.tobytes() if hasattr(value, "tobytes") else value


def compare(native: Any, reference: Any, data: bytes) -> None:
    """Raise AssertionError if the decoders disagree about an input."""
    kind, payload = data[0] % 3, data[1:]
    for decoder_call in (
        (
            lambda decoder: decoder.check_spans(payload),
            lambda decoder: decoder.spans([payload], DIMENSIONS, DIMENSIONS, DIMENSIONS[:3]),
            lambda decoder: decoder.span_lines([payload]),
        ),
        (
            lambda decoder: decoder.check_logs(payload),
            lambda decoder: decoder.logs([payload], DIMENSIONS, DIMENSIONS, DIMENSIONS[:3]),
            lambda decoder: decoder.log_lines([payload], ["p"]),
        ),
        (lambda decoder: decoder.json_lines(payload, OBSERVED),),
    )[kind]:
        ours, theirs = result(lambda: decoder_call(native)), result(lambda: decoder_call(reference))  # noqa: B023
        assert ours == theirs, (kind, payload, ours, theirs)


def fuzz() -> None:
    import atheris

    with atheris.instrument_imports(include=["sidecar.decode"]):
        from sidecar.decode.python import ReferenceDecoder
        from sidecar.decode.select import native_decoder

    native, reference = native_decoder(), ReferenceDecoder()

    def one_input(data: bytes) -> None:
        if data:
            compare(native, reference, data)

    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


def seeds() -> list[bytes]:
    from support.payloads import SPAN_ID, T0, TRACE_ID

    from sidecar.decode.otlp import wire

    pair = wire.put_bytes(1, b"k") + wire.put_bytes(2, wire.put_bytes(1, b"v"))
    nested = wire.put_bytes(2, wire.put_bytes(6, wire.put_bytes(1, pair)) + wire.put_double(4, 1.5))
    ids = wire.put_bytes(1, TRACE_ID) + wire.put_bytes(2, SPAN_ID)
    event = wire.put_bytes(11, wire.put_fixed64(1, T0) + wire.put_bytes(2, b"e") + wire.put_bytes(3, pair))
    link = wire.put_bytes(13, ids + wire.put_bytes(3, b"ot=th:8"))
    status = wire.put_bytes(15, wire.put_bytes(2, b"m") + wire.put_uint(3, 2))
    span = ids + wire.put_bytes(3, b"ot=th:8") + wire.put_bytes(5, b"n") + wire.put_uint(6, 2) + wire.put_fixed64(7, T0)
    span += wire.put_bytes(9, pair) + wire.put_bytes(9, nested) + event + link + status
    log = (
        wire.put_fixed64(1, T0)
        + wire.put_uint(2, 9)
        + wire.put_bytes(5, wire.put_bytes(1, b"b"))
        + wire.put_bytes(6, pair)
    )

    def request(record: bytes) -> bytes:
        scope = wire.put_bytes(1, wire.put_bytes(1, b"s") + wire.put_bytes(3, pair))
        resource = wire.put_bytes(1, wire.put_bytes(1, pair))
        return wire.put_bytes(1, resource + wire.put_bytes(2, scope + wire.put_bytes(2, record)))

    lines = [
        b'{"ts":"2026-11-21T10:00:00.5Z","level":"info","message":"m","trace_id":"%s"}' % TRACE_ID.hex().encode(),
        b'{"log":{"level":30},"a":[1,-2.5e3,null,{"b":"\\u00e9\\ud83d\\ude00"}],"error":{"stack":"E: m\\n  at f"}}',
    ]
    return [b"\0" + request(span), b"\1" + request(log), *(b"\2" + line for line in lines)]


@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris is not installed")
@pytest.mark.skipif(importlib.util.find_spec("sidecar_native") is None, reason="the native core is not installed")
def test_a_bounded_run_finds_no_difference(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for number, seed in enumerate(seeds()):
        (corpus / f"seed-{number}").write_bytes(seed)
    limits = [f"-atheris_runs={RUNS}", f"-max_total_time={SECONDS}", "-max_len=700", f"-artifact_prefix={tmp_path}/"]
    done = subprocess.run(
        [sys.executable, __file__, str(corpus), *limits], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr[-4000:]
    assert len(list(corpus.iterdir())) > len(seeds()), "nothing new was covered: the reference is not instrumented"


if __name__ == "__main__":
    fuzz()
