"""The one thread that writes: appends that come at the same time share a commit, all else is done one by one."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from itertools import groupby
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple, TypeVar

from core.errors import StoreError
from core.merge import Appended, Spans

__all__ = ["Writer", "first_line"]

_CALLS_A_COMMIT = 64
_COMPANY_S = 0.005  # half of what a commit takes

T = TypeVar("T")
AppendAll = Callable[[Sequence[Spans]], list[Appended]]


class _Job(NamedTuple):
    """What is to be done: append `spans`, or call `work` when they are None."""

    future: Future[Any]
    spans: Spans | None = None
    work: Callable[[], Any] = lambda: None


class Writer:
    """Does what is asked from any thread, in the order asked, and lets each caller wait for its own result.

    `append_all` gets the spans of up to 64 calls and makes them durable, or raises and has stored nothing.
    What goes wrong reaches the caller as `StoreError`; after `stop` every call raises it.
    """

    def __init__(self, append_all: AppendAll) -> None:
        self._append_all = append_all
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._stopped = False
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    def append(self, spans: Spans) -> Appended:
        """Append `spans`, in one commit with what others append just now."""
        future = Future[Appended]()
        self._submit(_Job(future, spans=spans))
        return future.result()

    def do(self, work: Callable[[], T]) -> T:
        """Call `work` on the writing thread."""
        future = Future[T]()
        self._submit(_Job(future, work=work))
        return future.result()

    def stop(self) -> None:
        """Finish what was asked so far, and take nothing more."""
        with self._lock:
            if not self._stopped:
                self._stopped = True
                self._jobs.put(None)
        self._thread.join()

    def _submit(self, job: _Job) -> None:
        with self._lock:
            if self._stopped:
                raise StoreError("The store is closed.")
            self._jobs.put(job)

    def _run(self) -> None:
        callers = 1
        while None not in (group := self._next_group(callers)):
            self._carry_out(group)
            # Whoever was just answered may send the next call at once. Without waiting for them two callers would
            # take turns, each with a commit of its own.
            callers = len(group) + self._jobs.qsize()
        self._carry_out(group)

    def _next_group(self, callers: int) -> list[_Job | None]:
        """The jobs that wait, and those that come while fewer than `callers` are there; None is always the last."""
        group = [self._jobs.get()]
        with suppress(Empty):
            while len(group) < _CALLS_A_COMMIT and group[-1] is not None:
                group.append(self._jobs.get(timeout=_COMPANY_S if len(group) < callers else 0))
        return group

    def _carry_out(self, group: list[_Job | None]) -> None:
        for appends, jobs in groupby(filter(None, group), key=lambda job: job.spans is not None):
            if appends:
                self._append(list(jobs))
            else:
                for job in jobs:
                    _do(job)

    def _append(self, jobs: list[_Job]) -> None:
        try:
            counts = self._append_all([job.spans for job in jobs if job.spans is not None])
        except Exception as error:
            if len(jobs) == 1:
                jobs[0].future.set_exception(_as_store_error(error))
                return
            for job in jobs:  # each alone: one call's bad span must not cost the others theirs
                self._append([job])
            return
        for job, count in zip(jobs, counts, strict=True):
            job.future.set_result(count)


def _do(job: _Job) -> None:
    try:
        job.future.set_result(job.work())
    except Exception as error:
        job.future.set_exception(_as_store_error(error))


def _as_store_error(error: Exception) -> StoreError:
    if isinstance(error, StoreError):
        return error
    told = StoreError(f"The store could not write: {first_line(error)}")
    told.__cause__ = error
    return told


def first_line(error: BaseException) -> str:
    """What went wrong, without the lines below that show where in the SQL."""
    return str(error).partition("\n")[0]
