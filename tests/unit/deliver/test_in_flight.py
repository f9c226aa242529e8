from __future__ import annotations

from sidecar.deliver.in_flight import InFlight


def _grown(in_flight: InFlight, limit: int) -> InFlight:
    while in_flight.concurrency.limit < limit:
        in_flight.concurrency.succeeded(1.0, limit)
    return in_flight


def test_no_more_than_the_limit_are_sent_and_no_more_than_the_maximum_are_held() -> None:
    one = InFlight(3)
    assert (one.none, one.may_start) == (True, True)
    one.started()
    assert (one.none, one.may_start, one.has_room, one.sending) == (False, False, False, 1)
    _grown(one, 2)
    assert one.may_start
    one.started()
    assert not one.may_start
    one.finished()
    one.finished()
    assert (one.none, one.sending) == (True, 0)


def test_a_batch_that_backs_off_gives_its_place_to_others_up_to_the_maximum() -> None:
    one = InFlight(2)
    one.started()
    one.backs_off()
    assert (one.sending, one.backing_off, one.may_start) == (0, 1, True)
    one.started()
    assert not one.may_start
    one.backs_off()
    assert (one.sending, one.has_room, one.may_start) == (0, True, False), "two are held, though none is sent"


def test_one_that_returns_goes_before_new_ones() -> None:
    one = InFlight(3)
    one.started()
    one.backs_off()
    one.returns()
    assert (one.has_room, one.may_start) == (True, False)
    one.resumed()
    assert (one.sending, one.backing_off, one.has_room) == (1, 0, False)
    one.finished()
    assert (one.none, one.may_start) == (True, True)
