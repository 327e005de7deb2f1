"""Visitors take turns: pages that run at the same time share one processor, and are all of them late."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["PATIENCE_S", "turn"]

PATIENCE_S = 0.5  # a page takes 0.1 s; who waits for the workers, or fits for the first time, takes much longer

_free = threading.Semaphore()


@contextmanager
def turn(patience_s: float = PATIENCE_S) -> Iterator[None]:
    """Wait for one's turn, and hold it; after so many seconds go on beside who takes that long."""
    held = _free.acquire(timeout=patience_s)
    try:
        yield
    finally:
        if held:
            _free.release()
