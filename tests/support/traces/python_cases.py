"""Errors of the libraries that model servers use, each logged by Python's logging between two ordinary lines.

`python python_cases.py CASE` writes the log to standard error. Runs in an environment that has the case's library (see
`regenerate.py`).
"""

import logging
import sys


def pydantic_two():
    from pydantic import BaseModel

    class Inner(BaseModel):
        weight: float

    class Item(BaseModel):
        price: float
        rows: list[int]
        inner: Inner

    Item.model_validate({"price": "x", "rows": [1, "b"], "inner": {}})


def pydantic_one():
    from pydantic.v1 import BaseModel

    class Item(BaseModel):
        price: float
        rows: list[int]

    Item(price="x", rows=[1, "b"])


def pydantic_settings_in_chain():
    from pydantic import BaseModel

    class Item(BaseModel):
        price: float

    try:
        Item(price="x")
    except ValueError as error:
        raise RuntimeError("request refused") from error


def notes():
    error = ValueError("bad row")
    error.add_note("row 3 of 10")
    error.add_note("columns:\n  price = -1\nsource was upload 7")
    raise error


def notes_on_a_cause():
    try:
        notes()
    except ValueError as error:
        raise RuntimeError("cannot score") from error


def group():
    error = TypeError("second")
    error.add_note("note of the second\nin two lines")
    raise ExceptionGroup("two failed", [ValueError("first\nin two lines"), ExceptionGroup("inner", [error])])


def task_group():
    import asyncio

    async def fail(text):
        raise ValueError(text)

    async def main():
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(fail("a"))
            tasks.create_task(fail("b\nb again"))

    try:
        asyncio.run(main())
    except* ValueError as errors:
        raise RuntimeError("cannot score") from errors


def anyio_task_group():
    import anyio

    async def fail():
        raise KeyError("weights")

    async def main():
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(fail)

    anyio.run(main)


def _bad(row):
    raise ValueError(f"bad row {row}\nsecond line")


def multiprocessing_pool():
    import multiprocessing

    with multiprocessing.get_context("fork").Pool(1) as pool:
        pool.map(_bad, [3])


def process_executor():
    import concurrent.futures
    import multiprocessing

    with concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("fork")) as pool:
        pool.submit(_bad, 3).result()


def joblib_loky():
    import math

    import joblib

    joblib.Parallel(n_jobs=2)(joblib.delayed(math.sqrt)(n) for n in (1, -1))


def syntax():
    compile("def f(:\n    pass\n", "model.py", "exec")


def sklearn_nan():
    from sklearn.linear_model import LogisticRegression

    LogisticRegression().fit([[float("nan")], [1.0]], [0, 1])


def sklearn_pipeline():
    import numpy as np
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_score

    cross_val_score(LogisticRegression(), np.array([["a"], ["b"]] * 4), [0, 1] * 4, cv=2, error_score="raise")


def sklearn_fit_fails():
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV

    GridSearchCV(LogisticRegression(), {"C": [1.0, 2.0]}, cv=2).fit([["a"], ["b"]] * 4, [0, 1] * 4)


def lightgbm_fatal():
    import lightgbm
    import numpy as np

    lightgbm.train({"objective": "binary", "num_leaves": -1}, lightgbm.Dataset(np.ones((9, 1)), np.ones(9)))


def xgboost_check():
    import numpy as np
    import xgboost

    xgboost.train({"objective": "binary:logistic"}, xgboost.DMatrix(np.ones((2, 1)), label=[3, 4]))


def pandas_key():
    import pandas

    pandas.DataFrame({"a": [1]})["price"]


def pandas_merge():
    import pandas

    pandas.DataFrame({"a": [1]}).merge(pandas.DataFrame({"a": ["x"]}), on="a")


def numpy_shapes():
    import numpy as np

    np.ones((2, 3)) @ np.ones((2, 3))


def numpy_old_ufunc():
    import numpy as np

    np.add(np.array(["a"]), object)


def polars_column():
    import polars

    polars.DataFrame({"a": [1]}).lazy().filter(polars.col("price") > 1).collect()


def sqlalchemy_integrity():
    import sqlalchemy

    engine = sqlalchemy.create_engine("sqlite://")
    with engine.begin() as connection:
        connection.exec_driver_sql("create table t (a integer primary key)")
        connection.execute(sqlalchemy.text("insert into t values (:a)"), [{"a": 1}])
        connection.execute(sqlalchemy.text("insert into t values (:a)"), [{"a": 1}])


def httpx_status():
    import httpx

    request = httpx.Request("GET", "http://model.example/score")
    httpx.Response(503, request=request).raise_for_status()


def httpx_connect():
    import httpx

    httpx.get("http://127.0.0.1:9")


def requests_connect():
    import requests

    requests.get("http://127.0.0.1:9", timeout=1)


def aiohttp_connect():
    import asyncio

    import aiohttp

    async def main():
        async with aiohttp.ClientSession() as session, session.get("http://127.0.0.1:9"):
            pass

    asyncio.run(main())


def grpc_call():
    import grpc

    with grpc.insecure_channel("127.0.0.1:9") as channel:
        channel.unary_unary("/model.Scorer/Score")(b"", timeout=1)


def onnxruntime_load():
    import onnxruntime

    onnxruntime.InferenceSession(b"not a model")


def tenacity_retry():
    import tenacity

    @tenacity.retry(stop=tenacity.stop_after_attempt(2))
    def score():
        raise ValueError("bad row\nsecond line")

    score()


def jinja_template():
    import jinja2

    jinja2.Template("one\n{% if %}\n")


def django_settings():
    from django.db import models

    models.IntegerField().to_python("x")
    models.Model()


def starlette_response():
    from starlette.applications import Starlette
    from starlette.routing import Route
    from starlette.testclient import TestClient

    async def score(request):
        await request.json()

    TestClient(Starlette(routes=[Route("/score", score, methods=["POST"])])).post("/score", content=b"{")


def fastapi_response():
    from fastapi import FastAPI
    from fastapi.testclient import TestClient

    app = FastAPI()

    @app.get("/score")
    def score() -> int:
        return "x"

    TestClient(app).get("/score")


def flask_abort():
    import flask

    app = flask.Flask("scorer")
    app.testing = True

    @app.get("/score")
    def score():
        return {"a": flask.request.args["row"]}

    app.config["TRAP_BAD_REQUEST_ERRORS"] = True
    app.test_client().get("/score")


def celery_task():
    import celery

    app = celery.Celery("scorer")
    app.conf.task_always_eager = app.conf.task_eager_propagates = True

    @app.task(autoretry_for=(ValueError,), max_retries=0)
    def score():
        raise ValueError("bad row\nsecond line")

    score.delay().get()


def torch_shapes():
    import torch

    torch.nn.Linear(4, 2)(torch.ones(3, 3))


def torch_state():
    import torch

    torch.nn.Sequential(torch.nn.Linear(4, 2)).load_state_dict({"0.weight": torch.ones(3, 3), "x": torch.ones(1)})


def torch_script():
    import torch

    @torch.jit.script
    def score(x):
        if bool(x.sum() > 0):
            raise ValueError("bad row")
        return x

    score(torch.ones(2))


def torch_loader():
    import torch

    class Rows(torch.utils.data.Dataset):
        def __len__(self):
            return 2

        def __getitem__(self, index):
            raise ValueError("bad row\nsecond line")

    list(torch.utils.data.DataLoader(Rows(), num_workers=1))


def transformers_missing():
    import transformers

    transformers.AutoModel.from_pretrained("/models/none-here", local_files_only=True)


def transformers_config():
    import tempfile
    from pathlib import Path

    import transformers

    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "config.json").write_text('{"architectures": []}')
        transformers.AutoModel.from_pretrained(folder)


def ray_task():
    import ray

    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, configure_logging=False)

    @ray.remote
    def score(row):
        raise ValueError(f"bad row {row}\nsecond line")

    ray.get(score.remote(3))


def mlflow_schema():
    import pandas
    from mlflow.models.utils import _enforce_schema
    from mlflow.types import ColSpec, Schema

    _enforce_schema(pandas.DataFrame({"b": [1]}), Schema([ColSpec("double", "a")]))


def mlflow_model():
    import mlflow

    mlflow.set_tracking_uri("sqlite:///:memory:")
    mlflow.pyfunc.load_model("models:/churn/1")


def _colours():
    import structlog

    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.dev.ConsoleRenderer(colors=True, exception_formatter=FORMATTERS[sys.argv[1]](structlog.dev)),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    return structlog.get_logger()


FORMATTERS = {
    "structlog_plain": lambda dev: dev.plain_traceback,
    "structlog_rich": lambda dev: dev.RichTracebackFormatter(width=80, show_locals=False, color_system="truecolor"),
}


def _rich_handler():
    from rich.console import Console
    from rich.logging import RichHandler

    console = Console(file=sys.stderr, force_terminal=True, width=100)
    logging.basicConfig(format="%(message)s", handlers=[RichHandler(console=console, rich_tracebacks=True)], level=20)
    return logging.getLogger("scorer")


def _loguru():
    from loguru import logger

    logger.remove()
    logger.add(sys.stderr, colorize=True, diagnose=True)
    return logger


def _uvicorn():
    from uvicorn.logging import DefaultFormatter

    handler = logging.StreamHandler()
    handler.setFormatter(DefaultFormatter("%(levelprefix)s %(message)s", use_colors=True))
    logging.basicConfig(handlers=[handler], level=20)
    return logging.getLogger("scorer")


def _colorlog():
    import colorlog

    handler = logging.StreamHandler()
    handler.setFormatter(
        colorlog.ColoredFormatter("%(log_color)s%(levelname)-8s%(reset)s %(message)s", force_color=True)
    )
    logging.basicConfig(handlers=[handler], level=20)
    return logging.getLogger("scorer")


LOGGERS = {
    "structlog_plain": _colours,
    "structlog_rich": _colours,
    "rich_handler": _rich_handler,
    "loguru": _loguru,
    "uvicorn": _uvicorn,
    "colorlog": _colorlog,
}
"""Loggers with colours; what they log is `notes`."""

if __name__ == "__main__":
    if sys.argv[1] in LOGGERS:
        log = LOGGERS[sys.argv[1]]()
    else:
        logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s %(message)s", level=logging.ERROR)
        log = logging.getLogger("scorer")
        log.setLevel("INFO")
    log.info("before")
    try:
        globals().get(sys.argv[1], notes)()
    except Exception:
        log.exception("cannot score")
    log.info("after")
