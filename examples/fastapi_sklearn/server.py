"""A wine classifier behind FastAPI: an ordinary model server with JSON logs, and nothing about any telemetry tool."""

from __future__ import annotations

import logging
import sys

import structlog
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel
from sklearn.datasets import load_wine
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import train_test_split


def configure_logging() -> None:
    """JSON lines on stdout; what other libraries put on a log record comes along as fields."""
    shared = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, structlog.stdlib.render_to_log_kwargs],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.INFO)


class Rows(BaseModel):
    """Feature rows in the order of the data set's columns."""

    rows: list[list[float]]


configure_logging()
log = structlog.get_logger("wine")
data = load_wine()
train_x, _, train_y, _ = train_test_split(data.data, data.target, test_size=0.3, random_state=7)
model = RandomForestClassifier(n_estimators=25, random_state=7).fit(train_x, train_y)
app = FastAPI()


@app.get("/health")
def health() -> dict[str, str]:
    return {"status": "ok"}


@app.post("/predict")
def predict(body: Rows) -> dict[str, list[str]]:
    if not body.rows:
        log.warning("empty request refused")
        raise HTTPException(400, "no rows")
    try:
        classes = model.predict(body.rows)
    except ValueError:
        log.exception("prediction failed", rows=len(body.rows))
        raise HTTPException(500, "the model could not use these rows") from None
    names = [str(data.target_names[c]) for c in classes]
    log.info("predicted", rows=len(names), first=names[0])
    return {"predictions": names}
