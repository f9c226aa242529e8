from __future__ import annotations

from support.derive_fakes import arrival, lines, log_batch

from sidecar.derive.log_records import LogDeriver
from sidecar.derive.series import Budget
from sidecar.derive.target_info import Targets
from sidecar.telemetry import Telemetry


def test_records_by_severity_and_exceptions_by_type() -> None:
    logs = LogDeriver(Budget(), Targets(10), Telemetry())
    records = [("shop", "INFO", "")] * 3 + [("shop", "ERROR", "KeyError"), ("shop", "ERROR", "ValueError")]
    records += [("pay", "WARN", "KeyError"), ("shop", "FATAL", "KeyError")]
    logs.apply(log_batch(records), arrival(len(records)))
    logs.apply(log_batch([("shop", "INFO", "")]), arrival(1))
    assert set(lines(list(logs.collect())).values()) == {"0"}
    assert lines(list(logs.collect())) == {
        'log_records_total{service="shop",severity="INFO"}': "4",
        'log_records_total{service="shop",severity="ERROR"}': "2",
        'log_records_total{service="pay",severity="WARN"}': "1",
        'log_records_total{service="shop",severity="FATAL"}': "1",
        'log_exceptions_total{service="shop",type="KeyError"}': "2",
        'log_exceptions_total{service="shop",type="ValueError"}': "1",
        'log_exceptions_total{service="pay",type="KeyError"}': "1",
    }


def test_exception_types_are_bounded_and_none_is_lost() -> None:
    logs = LogDeriver(Budget(values=5), Targets(10), Telemetry())
    records = [("shop", "ERROR", f"E{i}") for i in range(50)]
    logs.apply(log_batch(records), arrival(50))
    logs.exceptions.mark_exported()
    got = lines([f for f in logs.collect() if f.name == "log_exceptions"])
    assert got['log_exceptions_total{service="shop",type="__other__"}'] == "45"
    assert logs.exceptions.overflowed == {"service": 0, "type": 45}
    assert logs.records.overflowed == {"service": 0, "severity": 0}


def test_nothing_for_an_empty_batch() -> None:
    logs = LogDeriver(Budget(), Targets(10), Telemetry())
    logs.apply(log_batch([]), arrival(0))
    assert lines(list(logs.collect())) == {}
