"""How many batches a worker holds and sends at once. Pure, not thread-safe."""

from __future__ import annotations

from sidecar.deliver.concurrency import Concurrency


class InFlight:
    """Batches that senders have. Those that back off give their place to others, and wait for one to return."""

    def __init__(self, maximum: int) -> None:
        self._maximum = maximum
        self._total = 0
        self._backing_off = 0
        self._returning = 0
        """Those of them whose back-off is over; they go before new ones."""
        self.concurrency = Concurrency(maximum)

    @property
    def none(self) -> bool:
        """Every batch has finished."""
        return self._total == 0

    @property
    def sending(self) -> int:
        """Batches that do not back off."""
        return self._total - self._backing_off

    @property
    def backing_off(self) -> int:
        return self._backing_off

    @property
    def has_room(self) -> bool:
        """One more may be sent."""
        return self.sending < self.concurrency.limit

    @property
    def may_start(self) -> bool:
        """A new batch may be taken."""
        return self._total < self._maximum and not self._returning and self.has_room

    def started(self) -> None:
        """A new batch was given to a sender."""
        self._total += 1

    def finished(self) -> None:
        """A sender is done with a batch."""
        self._total -= 1

    def backs_off(self) -> None:
        """A batch that is sent again later gives up its place."""
        self._backing_off += 1

    def returns(self) -> None:
        """Its back-off is over, and it waits for a place."""
        self._returning += 1

    def resumed(self) -> None:
        """It has one."""
        self._returning -= 1
        self._backing_off -= 1
