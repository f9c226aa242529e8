"""A worker without a server: it counts the lines that it is given, and ends at SIGTERM as `way` says."""

import asyncio
import logging
import multiprocessing
import os
import signal
import sys
import time

from opentelemetry import trace

log = logging.getLogger("shop")
tracer = trace.get_tracer("shop")


def work(number):
    with tracer.start_as_current_span(f"job {number}"):
        log.warning("hello %s", number)


def work_on(numbers):
    for number in numbers:
        work(number)
    print("made", flush=True)


def nothing():
    """Dies by the signal's default disposition."""
    work_on(range(4))
    while True:
        time.sleep(600)


def exits():
    def stop(*_):
        work(4)
        sys.exit(0)

    signal.signal(signal.SIGTERM, stop)
    work_on(range(4))
    while True:
        time.sleep(600)


def flag():
    ended = []
    signal.signal(signal.SIGTERM, lambda *_: ended.append(True))
    work_on(range(4))
    while not ended:
        time.sleep(0.05)
    work(4)


def loop():
    async def main():
        ended = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
        work_on(range(4))
        await ended.wait()
        work(4)

    asyncio.run(main())


def child():
    """A child of multiprocessing does the work; the parent waits for it, and passes the signal on."""
    queue = multiprocessing.SimpleQueue()
    one = multiprocessing.Process(target=serve, args=(queue,))
    one.start()

    def stop(*_):
        queue.put(None)

    signal.signal(signal.SIGTERM, stop)
    for number in range(4):
        queue.put(number)
    queue.put("said")
    while one.is_alive():
        one.join(0.05)


def serve(queue):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while (job := queue.get()) is not None:
        if job == "said":
            print("made", flush=True)
        else:
            work(job)
    work(4)


def busy():
    """The main thread never waits."""
    work_on(range(4))
    while True:
        pass


{f.__name__: f for f in (nothing, exits, flag, loop, child, busy)}[sys.argv[1]]()
os._exit(3) if sys.argv[1] == "nothing" else sys.exit(0)
