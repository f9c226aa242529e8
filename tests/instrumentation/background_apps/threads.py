"""Work that requests hand to others: each line says which request it is for, and each request has a span."""

import asyncio
import concurrent.futures
import logging
import multiprocessing.pool
import queue
import sys
import threading

from opentelemetry import context, trace

log = logging.getLogger("shop")
tracer = trace.get_tracer("shop")
executor = concurrent.futures.ThreadPoolExecutor(2)
pool = multiprocessing.pool.ThreadPool(1)
jobs = queue.Queue()


def work(way, number):
    log.warning("%s %s", way, number)
    with tracer.start_as_current_span("inner"):
        log.warning("%s %s inside", way, number)


def serve():
    while (job := jobs.get()) is not None:
        token = context.attach(job[0])
        work(*job[1:])
        context.detach(token)
        jobs.task_done()


class Worker(threading.Thread):
    def __init__(self, number):
        super().__init__()
        self.number = number

    def run(self):
        work("subclass", self.number)


def thread(number):
    one = threading.Thread(target=work, args=("thread", number))
    one.start()
    one.join()


def subclass(number):
    one = Worker(number)
    one.start()
    one.join()


def timer(number):
    one = threading.Timer(0, work, ("timer", number))
    one.start()
    one.join()


def submit(number):
    executor.submit(work, "executor", number).result()


def of_map(number):
    list(executor.map(work, ["map"], [number]))


def given(number):
    jobs.put((context.get_current(), "given", number))
    jobs.join()


def shared(number):
    pool.apply(work, ("pool", number))


async def to_thread(number):
    await asyncio.to_thread(work, "to_thread", number)


async def in_executor(number):
    await asyncio.get_running_loop().run_in_executor(None, work, "in_executor", number)


async def task(number):
    async def inner():
        work("task", number)

    await asyncio.create_task(inner())


def daemon(number):
    done = threading.Event()

    def later():
        work("daemon", number)
        done.set()

    threading.Thread(target=later, daemon=True).start()
    done.wait(300)


async def all_at_once(ways):
    async def one(way, number):
        with tracer.start_as_current_span(f"request {number}"):
            await way(number)

    await asyncio.gather(*(one(way, n) for n, way in enumerate(ways, 100)))


threading.Thread(target=serve, daemon=True).start()
for number, way in enumerate([thread, subclass, timer, submit, of_map, given, daemon, shared]):
    with tracer.start_as_current_span(f"request {number}"):
        way(number)
asyncio.run(all_at_once([to_thread, in_executor, task]))
executor.submit(work, "nobody's", 999).result()
sys.exit(0)
