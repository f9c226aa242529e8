"""Writes lines with each Python logger, to files named after them in the directory given: one with a trace, one with an
exception. Runs in an environment of its own (see `loggers_python`)."""

import logging
import sys
from pathlib import Path

import structlog
from loguru import logger as loguru
from pythonjsonlogger.json import JsonFormatter

IDS = {"trace_id": "0af7651916cd43dd8448eb211c80319c", "span_id": "b7ad6b7169203331"}


def by_structlog(file, *more, ids=IDS):
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            *more,
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.WriteLoggerFactory(file),
        cache_logger_on_first_use=False,
    )
    log = structlog.get_logger()
    log.warning("scored", rows=3, **ids)
    try:
        raise ValueError("bad row")
    except ValueError:
        log.exception("failed")


def by_structlog_span(file):
    """As structlog's documentation adds OpenTelemetry's span."""
    by_structlog(file, lambda logger, method, event: {**event, "span": {**IDS, "parent_span_id": None}}, ids={})


def by_python_json_logger(file):
    handler = logging.StreamHandler(file)
    handler.setFormatter(JsonFormatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    log = logging.getLogger("scorer")
    log.addHandler(handler)
    log.warning("scored", extra={"rows": 3, **IDS})
    try:
        raise ValueError("bad row")
    except ValueError:
        log.exception("failed")


def by_loguru(file):
    loguru.remove()
    loguru.add(file, serialize=True)
    loguru.bind(rows=3, **IDS).warning("scored")
    try:
        raise ValueError("bad row")
    except ValueError:
        loguru.exception("failed")


for write in (by_structlog, by_structlog_span, by_python_json_logger, by_loguru):
    with (Path(sys.argv[1]) / f"{write.__name__}.log").open("w") as target:
        write(target)
