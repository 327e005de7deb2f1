"""A pool of processes, for forecasts by the dozen: many series, many origins.

Each is a Python of its own that takes calls through a pipe. The pools of the standard library have a child import the
main module of its parent, and in a process of Streamlit that is the app script, from the first visitor on: a worker
that is started again after it died would run the app. Here it can't, and a dead worker is replaced unseen.
"""

import itertools
import os
import queue
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any, NamedTuple, TypeVar

from core.errors import WorkerLost

__all__ = ["SIZE", "start", "stop", "submit"]

SIZE = 2
ATTEMPTS = 2  # the first may find a worker that had died before
NICENESS = 19  # who waits for a page comes first

T = TypeVar("T")


def start(warm: Callable[[], object]) -> None:
    """Start the workers; each calls `warm` before it takes other calls, which wait meanwhile."""
    global _pool
    stop()
    _pool = _Pool(warm)


def stop() -> None:
    """End the workers at once: what they are at ends with `WorkerLost`, what waits is cancelled."""
    global _pool
    pool, _pool = _pool, None
    if pool:
        pool.close()


def submit(function: Callable[..., T], *arguments: Any, patience: int = 0) -> Future[T]:
    """Have a worker call `function`, which it imports by its name, with copies of `arguments`.

    Calls of less `patience` come first, among equals those that were made first. The future raises what the function
    raised, or `WorkerLost` where a worker died of it. Without workers (in a test, in a script) the call is made here,
    before this returns.
    """
    call = _Call(Future(), function, arguments)
    if _pool:
        _pool.put(call, patience)
    else:
        _fulfil(call.future, partial(function, *arguments))
    return call.future


class _Call(NamedTuple):
    future: Future[Any]
    function: Callable[..., Any]
    arguments: tuple[Any, ...]


_Calls = queue.PriorityQueue[tuple[int, int, _Call | None]]  # None ends a worker


def _fulfil(future: Future[Any], answer: Callable[[], Any]) -> None:
    """Give `future` what `answer` returns or raises, unless it was cancelled."""
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(answer())
    except Exception as error:  # whatever it is, whoever waits for the future hears of it
        future.set_exception(error)


class _Pool:
    def __init__(self, warm: Callable[[], object]) -> None:
        self._calls: _Calls = queue.PriorityQueue()
        self._order = itertools.count()
        self._lock = threading.Lock()
        self._closed = False
        self._workers = [_Worker(self._calls, warm) for _ in range(SIZE)]
        for worker in self._workers:
            worker.start()

    def put(self, call: _Call, patience: int) -> None:
        with self._lock:
            if self._closed:
                call.future.cancel()
            else:
                self._calls.put((patience, next(self._order), call))

    def close(self) -> None:
        with self._lock:
            self._closed = True
            for _ in self._workers:
                self._calls.put((-1, next(self._order), None))
        for worker in self._workers:
            worker.end()
        while not self._calls.empty():
            call = self._calls.get()[2]
            if call:
                call.future.cancel()


class _Worker(threading.Thread):
    """A process that answers one call at a time, and the thread that waits for its answers."""

    def __init__(self, calls: _Calls, warm: Callable[[], object]) -> None:
        super().__init__(name="worker", daemon=True)
        self._calls = calls
        self._warm = warm
        self._ending = False
        self._process, self._pipe = _launched(warm)

    def run(self) -> None:
        while call := self._calls.get()[2]:
            _fulfil(call.future, partial(self._answer, call))
        self._bury()

    def end(self) -> None:
        """Kill the process, and wait for the thread."""
        self._ending = True
        self._process.kill()
        self.join()

    def _answer(self, call: _Call) -> Any:
        for _ in range(ATTEMPTS):
            with suppress(EOFError, OSError):  # the process is dead
                self._pipe.send((call.function, call.arguments))
                error, result = self._pipe.recv()
                break
            if self._ending:
                raise WorkerLost("A forecast was not finished, because Tracecast stops.")
            self._bury()
            self._process, self._pipe = _launched(self._warm)
        else:
            raise WorkerLost("A forecast was not finished: its process ended before it. The log may say why.")
        if error is not None:
            raise error
        return result

    def _bury(self) -> None:
        self._process.kill()
        self._process.wait()
        self._pipe.close()


def _launched(warm: Callable[[], object]) -> tuple[subprocess.Popen[bytes], Connection]:
    ours, theirs = Pipe()
    process = subprocess.Popen(  # noqa: S603 (our own module)
        [sys.executable, "-m", "core.workers", str(theirs.fileno())],
        pass_fds=[theirs.fileno()],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    theirs.close()
    with suppress(OSError):  # it died at once; the first call finds that out
        ours.send(warm)
    return process, ours


def _serve(pipe: Connection) -> None:
    """What a worker does, until the other end of its pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    os.nice(NICENESS)
    with suppress(EOFError):
        pipe.recv()()
        while True:
            function, arguments = pipe.recv()
            answer: tuple[Exception | None, Any]
            try:
                answer = None, function(*arguments)
            except Exception as error:  # the parent raises it for who waits
                error.add_note(traceback.format_exc())  # its own traceback does not go through a pipe
                answer = error, None
            pipe.send(answer)


_pool: _Pool | None = None

if __name__ == "__main__":
    _serve(Connection(int(sys.argv[1])))
