"""Those who wait for a receipt, in an event loop or out of one, and how they are told."""

from __future__ import annotations

import asyncio
import concurrent.futures
from dataclasses import dataclass, field

from sidecar.errors import SidecarError
from sidecar.journal.entry import Receipt
from sidecar.journal.state import Packed


@dataclass(slots=True)
class Caller:
    """Somebody who waits for a receipt; `loop` is None outside of asyncio."""

    loop: asyncio.AbstractEventLoop | None
    future: asyncio.Future[Receipt] | concurrent.futures.Future[Receipt]

    def answer(self, answer: Receipt | SidecarError) -> None:
        """In the loop's own thread, where there is one."""
        if self.future.done():
            return
        if isinstance(answer, Receipt):
            self.future.set_result(answer)
        else:
            self.future.set_exception(answer)


@dataclass(slots=True)
class Item:
    packed: Packed
    caller: Caller
    followers: list[Caller] = field(default_factory=list)
    """Callers with the same payload, before it was committed."""


Answers = list[tuple[Caller, Receipt | SidecarError]]


def answer_all(answers: Answers) -> None:
    """Tell everybody, with one call into each event loop."""
    by_loop: dict[asyncio.AbstractEventLoop, Answers] = {}
    for caller, answer in answers:
        if caller.loop is None:
            if caller.future.set_running_or_notify_cancel():  # type: ignore[union-attr]
                caller.answer(answer)
        else:
            by_loop.setdefault(caller.loop, []).append((caller, answer))
    for loop, theirs in by_loop.items():
        if not loop.is_closed():
            loop.call_soon_threadsafe(_answer_here, theirs)


def _answer_here(answers: Answers) -> None:
    for caller, answer in answers:
        caller.answer(answer)
