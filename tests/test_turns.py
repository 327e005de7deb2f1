"""Visitors take turns, and nobody waits long for another's."""

import threading
import time
from contextlib import suppress

from core.view.turns import turn


def started(work):
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_one_goes_on_when_the_other_is_done():
    order, holds = [], threading.Event()

    def first():
        with turn():
            holds.set()
            time.sleep(0.05)
            order.append("first")

    def second():
        holds.wait()
        with turn():
            order.append("second")

    for thread in [started(first), started(second)]:
        thread.join()

    assert order == ["first", "second"]


def test_who_takes_long_holds_up_nobody_for_longer_than_their_patience():
    holds, done = threading.Event(), threading.Event()

    def slow():
        with turn():
            holds.set()
            done.wait()

    thread = started(slow)
    holds.wait()
    with turn(patience_s=0.01):
        assert not done.is_set()
    done.set()
    thread.join()

    with turn(patience_s=0.0):  # who went on beside another has not given away a turn that was not theirs
        other = []
        started(lambda: other.append(_free_now())).join()
        assert other == [False]


def test_a_page_that_fails_gives_its_turn_back():
    with suppress(ValueError), turn():
        raise ValueError

    assert _free_now()


def _free_now():
    """Whether a turn is to be had at once: else one would wait for a second."""
    began = time.monotonic()
    with turn(patience_s=1.0):
        return time.monotonic() - began < 0.5
