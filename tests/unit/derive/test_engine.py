from __future__ import annotations

import itertools
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from structlog.testing import capture_logs
from support.derive_fakes import SECOND, FakeLog, JsonDecoder, lines
from support.engines import wait_for

from sidecar.decode.api import Decoder
from sidecar.derive.engine import COMMIT_NS, DeriveEngine
from sidecar.derive.red import RedDeriver, RedOptions
from sidecar.derive.registry import DeriveOptions
from sidecar.health import Health
from sidecar.telemetry import Telemetry

OPTIONS = DeriveOptions(red=RedOptions(dimensions=()), series_budget=6, label_budget=4)


def engine(log: FakeLog, options: DeriveOptions = OPTIONS, at_once: Any = None, now: int = SECOND) -> DeriveEngine:
    """An engine whose thread is not started; its state is taken over."""
    built = DeriveEngine(log.consumer(at_once), cast(Decoder, JsonDecoder()), options, Telemetry(), lambda: now)
    built.restore()
    return built


def drained(log: FakeLog, options: DeriveOptions = OPTIONS, now: int = SECOND) -> DeriveEngine:
    built = engine(log, options, now=now)
    while built.pull():
        pass
    return built


def seen(built: DeriveEngine) -> dict[str, str]:
    """What scrapes show once every series was shown."""
    built.collect()
    return lines(built.collect(), openmetrics=True)


span = st.fixed_dictionaries(
    {
        "name": st.sampled_from("abcdefg"),
        "service": st.sampled_from(["x", "y"]),
        "duration": st.integers(0, 2**40),
        "weight": st.sampled_from([1.0, 1.0, 1.25, 8.0]),
        "start": st.sampled_from([0, 5 * SECOND]),
    }
)
record = st.tuples(st.sampled_from("xyz"), st.sampled_from(["INFO", "ERROR"]), st.sampled_from(["", "E1", "E2"]))
entry = st.one_of(
    st.tuples(st.just("spans"), st.lists(span, max_size=5)), st.tuples(st.just("logs"), st.lists(record, max_size=5))
)


@settings(deadline=None, max_examples=60)
@given(
    entries=st.lists(entry, max_size=14),
    at_once=st.lists(st.integers(1, 5), min_size=1, max_size=6),
    steps=st.lists(st.sampled_from(["pull", "pull", "checkpoint", "crash"]), max_size=20),
)
def test_any_split_and_any_crash_give_the_same_figures(
    entries: list[tuple[str, Any]], at_once: list[int], steps: list[str]
) -> None:
    plain, rough = FakeLog(), FakeLog()
    for i, (signal, rows) in enumerate(entries):
        plain.append(signal, rows, (i + 1) * SECOND)
        rough.append(signal, rows, (i + 1) * SECOND)
    expected = seen(drained(plain))
    built = engine(rough, at_once=itertools.cycle(at_once))
    for step in steps:
        if step == "pull":
            built.pull()
        elif step == "checkpoint":
            built.checkpoint()
        else:
            built = engine(rough, at_once=itertools.cycle(at_once))
    while built.pull():
        pass
    assert seen(built) == expected
    built.checkpoint()
    assert seen(engine(rough)) == expected
    assert rough.cursor == len(entries)


def spans(*names: str) -> list[dict[str, str]]:
    return [{"name": name} for name in names]


def calls(built: DeriveEngine) -> dict[str, str]:
    return {k: v for k, v in lines(built.collect()).items() if k.startswith("traces_span_metrics_calls_total")}


def test_no_scrape_after_a_crash_shows_less_than_one_before() -> None:
    log = FakeLog()
    for _ in range(5):
        log.append("spans", spans("a", "b"))
    before = drained(log)
    before.collect()
    last = calls(before)
    after = engine(log, at_once=itertools.repeat(1))
    for _ in range(4):
        after.pull()
        assert not after.caught_up.is_set()
    after.pull()
    assert after.caught_up.is_set()
    assert calls(after) == last
    log.append("spans", spans("c"))
    after.pull()
    assert list(calls(after).values()) == ["5", "5", "0"]


def delta_metrics(orders: int) -> bytes:
    request = ExportMetricsServiceRequest()
    metric = request.resource_metrics.add().scope_metrics.add().metrics.add(name="orders")
    metric.sum.is_monotonic, metric.sum.aggregation_temporality = True, 1
    metric.sum.data_points.add(as_int=orders)
    return request.SerializeToString()


@pytest.mark.parametrize("committed", range(5))
def test_delta_metrics_go_on_exactly_after_a_crash(committed: int) -> None:
    log = FakeLog()
    for n in range(5):
        log.append("metrics", delta_metrics(10**n))
    before = engine(log, at_once=itertools.repeat(1))
    for n in range(5):
        if n == committed:
            before.checkpoint()
        before.pull()
    after = drained(log)
    assert list(lines(after.collect()).values()) == ["11111", "1"]
    assert log.cursor == committed


def test_an_empty_log_is_caught_up_at_the_first_look() -> None:
    built = engine(FakeLog())
    assert not built.caught_up.is_set()
    built.pull()
    assert built.caught_up.is_set()


def test_a_payload_that_cannot_be_decoded_is_counted_and_the_rest_goes_on() -> None:
    log = FakeLog()
    log.append("spans", spans("a", "a"))
    log.append("spans", b"broken")
    log.append("spans", spans("a"))
    with capture_logs() as logged:
        built = drained(log)
    assert [(e["log_level"], e["seq"]) for e in logged] == [("error", 2)]
    built.checkpoint()
    assert log.counts == {("spans", "delivered", ""): 3, ("spans", "dropped", "not_decodable"): 1}
    built.collect()
    assert list(calls(built).values()) == ["3"]


def test_a_payload_that_a_bug_keeps_from_being_read_is_counted_and_the_rest_goes_on() -> None:
    log = FakeLog()
    log.append("spans", spans("a"))
    log.append("spans", [{"no_such_field": 1}])
    log.append("spans", spans("a"))
    with capture_logs() as logged:
        built = drained(log)
    assert [(e["log_level"], e["seq"], e["exc_info"]) for e in logged] == [("error", 2, True)]
    built.checkpoint()
    assert log.counts == {("spans", "delivered", ""): 2, ("spans", "dropped", "not_decodable"): 1}


def test_what_could_not_be_committed_is_committed_later_and_once() -> None:
    log = FakeLog(fail_writes=True)
    log.append("spans", spans("a"))
    built = drained(log)
    built.checkpoint()
    assert (log.cursor, log.kept) == (0, {})
    log.fail_writes = False
    log.append("spans", spans("a", "b"))
    built.pull()
    built.checkpoint()
    assert log.cursor == 2
    assert log.counts == {("spans", "delivered", ""): 3}
    assert seen(engine(log)) == seen(built)


def test_a_closed_log_is_no_bug() -> None:
    log = FakeLog()
    log.append("spans", spans("a"))
    built = drained(log)
    log.closed = True
    with capture_logs() as logged:
        built.checkpoint()
    assert [e["log_level"] for e in logged] == ["warning"]
    log.closed = False
    built.checkpoint()
    assert log.cursor == 1


def test_span_events_that_wait_are_not_waited_for() -> None:
    log = FakeLog()
    log.append("spans", spans("a"))
    consumer = log.consumer()
    consumer.waiting = lambda: {"spans": 1, "span_events": 5}  # type: ignore[method-assign]
    built = DeriveEngine(consumer, cast(Decoder, JsonDecoder()), OPTIONS, Telemetry())
    built.restore()
    built.pull()
    assert built.caught_up.is_set()


def test_idle_series_go_and_stay_gone_after_a_restart() -> None:
    log = FakeLog()
    log.append("spans", spans("old"))
    drained(log, now=SECOND).checkpoint()
    log.append("spans", spans("new"))
    late = drained(log, now=4000 * SECOND)
    late.expire()
    late.checkpoint()
    late.collect()
    assert [k for k in calls(late) if "old" in k] == []
    assert seen(engine(log)) == seen(late)


def test_a_backlog_of_yesterday_is_not_idle() -> None:
    log = FakeLog()
    log.append("spans", spans("a"), time_ns=SECOND)
    built = drained(log, now=90_000 * SECOND)
    built.expire()
    assert len(calls(built)) == 1


def test_time_has_passed_up_to_what_was_read_last(monkeypatch: pytest.MonkeyPatch) -> None:
    reached: list[int] = []
    monkeypatch.setattr(RedDeriver, "advance", lambda _, now: reached.append(now), raising=False)
    log = FakeLog()
    log.append("spans", spans("a"), time_ns=SECOND)
    built = engine(log, now=90_000 * SECOND)
    built.pull()
    built.expire()
    built.pull()
    built.expire()
    assert reached == [SECOND, 90_000 * SECOND - COMMIT_NS]


def test_other_buckets_restart_and_the_log_says_so() -> None:
    log = FakeLog()
    log.append("spans", spans("a"))
    log.append("logs", [("x", "INFO", "")])
    drained(log).checkpoint()
    changed = OPTIONS.model_copy(update={"red": RedOptions(dimensions=(), buckets=(1.0,))})
    with capture_logs() as logged:
        built = engine(log, changed)
    assert [e["metric"] for e in logged] == ["traces_span_metrics_calls_total"]
    assert calls(built) == {}
    built.checkpoint()
    assert [k for k in log.kept if k.startswith(b"s/traces")] == []
    built.pull()
    assert lines(built.collect())['log_records_total{service="x",severity="INFO"}'] == "1"


def test_a_deriver_that_is_off_keeps_nothing_and_the_log_moves_on() -> None:
    log = FakeLog()
    log.append("spans", spans("a"))
    drained(log).checkpoint()
    log.append("spans", spans("a"))
    off = OPTIONS.model_copy(update={"red": RedOptions(enabled=False)})
    built = drained(log, off)
    built.checkpoint()
    assert log.cursor == 2
    assert [k for k in log.kept if k.startswith(b"s/")] == []
    assert calls(built) == {}


def test_the_culprit_of_a_label_flood_is_named() -> None:
    log = FakeLog()
    log.append("spans", spans(*(f"n{i}" for i in range(20))))
    built = drained(log)
    assert built._read_overflow() == [(16, {"metric": "traces_span_metrics_calls_total", "label": "span_name"})]
    assert (5, {"metric": "traces_span_metrics_calls_total"}) in built._read_series()


def test_the_thread_catches_up_commits_at_stop_and_ends() -> None:
    log = FakeLog()
    for _ in range(40):
        log.append("spans", spans("a"))
    health = Health()
    built = DeriveEngine(log.consumer(), cast(Decoder, JsonDecoder()), OPTIONS, Telemetry(), health=health)
    built.start()
    assert built.caught_up.wait(20)
    built.stop(20)
    assert log.cursor == 40
    assert health.ready
    assert built.failure is None


def test_many_bytes_are_committed_before_the_interval_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sidecar.derive.engine.CHECKPOINT_BYTES", 1)
    log = FakeLog()
    for _ in range(40):
        log.append("spans", spans("a"))
    options = OPTIONS.model_copy(update={"checkpoint_interval": 3600.0})
    built = DeriveEngine(log.consumer(), cast(Decoder, JsonDecoder()), options, Telemetry())
    built.start()
    wait_for(lambda: log.cursor == 40, 20, "the commit")
    built.stop(20)
    assert built.failure is None


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_bug_while_figures_change_ends_the_thread_and_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise TypeError("no such figure")

    monkeypatch.setattr(RedDeriver, "apply", broken)
    log = FakeLog()
    log.append("spans", spans("a"))
    health = Health()
    built = DeriveEngine(log.consumer(), cast(Decoder, JsonDecoder()), OPTIONS, Telemetry(), health=health)
    with capture_logs() as logged:
        built.start()
        built.stop(20)
    assert not health.live
    assert isinstance(built.failure, TypeError)
    assert [e["log_level"] for e in logged] == ["error"]
    assert log.cursor == 0


def test_stopping_what_was_never_started_does_nothing() -> None:
    DeriveEngine(FakeLog().consumer(), cast(Decoder, JsonDecoder()), OPTIONS, Telemetry()).stop(1)


def test_calls_and_durations_move_together_while_spans_come_in() -> None:
    log = FakeLog()
    for _ in range(600):
        log.append("spans", spans("a", "b", "c"))
    built = DeriveEngine(log.consumer(itertools.repeat(1)), cast(Decoder, JsonDecoder()), OPTIONS, Telemetry())
    built.start()
    last = -1
    while not built.caught_up.is_set() or last < 1800:
        got = lines(built.collect())
        counted = [
            sum(int(v) for k, v in got.items() if k.split("{")[0].endswith(end)) for end in ("_calls_total", "_count")
        ]
        assert counted[0] == counted[1] >= last
        last = counted[0]
    built.stop(20)
    assert last == 1800


def test_a_scrape_adds_up_what_was_acknowledged_before_it() -> None:
    log = FakeLog()
    built = drained(log)
    for _ in range(100):
        log.append("spans", spans("a"))
    built.flush()
    assert list(calls(built).values()) == ["0"], "first shown at 0"
    assert list(calls(built).values()) == ["100"]
    log.append("spans", spans("a"))
    built.flush()
    assert list(calls(built).values()) == ["101"]
    built.checkpoint()
    assert log.cursor == 101


def test_a_scrape_before_the_counters_are_restored_adds_up_nothing() -> None:
    log = FakeLog()
    log.append("spans", spans("a"))
    built = engine(log)
    built.flush()
    assert not built.caught_up.is_set()
    assert log.consumer().next(1, 1, 0)


def test_a_scrape_gives_up_when_payloads_come_faster_than_they_are_added_up(monkeypatch: pytest.MonkeyPatch) -> None:
    log = FakeLog()
    built = drained(log)
    for _ in range(200):
        log.append("spans", spans("a"))
    monkeypatch.setattr("sidecar.derive.engine.FLUSH_SECONDS", 0.0)
    built.flush()
    monkeypatch.undo()
    built.flush()
    built.collect()
    assert list(calls(built).values()) == ["200"]
