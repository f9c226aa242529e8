"""A Celery app whose broker is a folder, so that a worker is a process of its own and needs no server."""

import logging
import os
from pathlib import Path

from celery import Celery, chain
from celery.utils.log import get_task_logger

folder = Path(os.environ["TASKS_FOLDER"])
queue = {"data_folder_in": folder / "queue", "data_folder_out": folder / "queue", "control_folder": folder / "control"}
app = Celery("tasks", broker="filesystem://")
app.conf.update(
    broker_transport_options={name: str(path) for name, path in queue.items()},
    result_backend=f"file://{folder}/results",
    broker_connection_retry_on_startup=True,
    task_always_eager=os.environ.get("TASKS_EAGER") == "1",
)
own, celerys = logging.getLogger("shop.tasks"), get_task_logger("shop.celery")


@app.task
def score(number):
    own.warning("scored %s", number)
    celerys.warning("celery's logger %s", number)
    return number + 1


@app.task
def fail(number):
    try:
        raise ValueError("no such row")
    except ValueError:
        own.exception("failed %s", number)
    raise RuntimeError(f"no row {number}")


@app.task(bind=True, max_retries=1)
def again(self, number):
    own.warning("try %s of %s", self.request.retries, number)
    if not self.request.retries:
        raise self.retry(countdown=0)
    return number


def send():
    """What a client asks for; gives the results."""
    made = [score.delay(n) for n in range(3)]
    made += [chain(score.s(10), score.s()).apply_async(), again.delay(20)]
    wrong = fail.delay(30)
    found = [one.get(timeout=300, interval=0.1) for one in made]
    try:
        wrong.get(timeout=300, interval=0.1)
    except RuntimeError as error:
        found.append(str(error))
    return found


if __name__ == "__main__":
    print(send())
