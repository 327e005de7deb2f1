"""The pool of processes: real ones, and what becomes of a call when one dies."""

import os
import signal
import sys
import threading
import time
from concurrent.futures import CancelledError, wait
from pathlib import Path

import pytest

from core import workers
from core.errors import QuestionError, WorkerLost

# Workers import these by their names.


def nothing():
    pass


def process(_=None):
    return os.getpid()


def rise(sentence):
    raise QuestionError(sentence)


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def die_once(file):
    """The first worker that calls this dies of it."""
    if not file.exists():
        file.touch()
        die()
    return "done"


def sleep_long():
    time.sleep(60)


def append(file, letter):
    with file.open("a") as opened:
        opened.write(letter)


def wait_for(file):
    while not file.exists():
        time.sleep(0.005)


def main_file():
    return Path(str(sys.modules["__main__"].__file__)).name


@pytest.fixture
def pool():
    workers.start(nothing)
    yield
    workers.stop()


def test_without_workers_a_call_is_made_where_it_is_asked_for():
    future = workers.submit(process)

    assert future.done()
    assert future.result() == os.getpid()


def test_without_workers_too_what_is_raised_comes_with_the_future():
    future = workers.submit(rise, "No")

    with pytest.raises(QuestionError, match="No"):
        future.result()


@pytest.mark.usefixtures("pool")
def test_calls_are_answered_by_two_other_processes(tmp_path):
    busy = workers.submit(wait_for, tmp_path / "go")
    other = workers.submit(process)
    seen = {other.result(10), workers.submit(process).result(10)}
    (tmp_path / "go").touch()
    busy.result(10)
    seen |= {future.result(10) for future in [workers.submit(process) for _ in range(20)]}

    assert os.getpid() not in seen
    assert len(seen) <= workers.SIZE


@pytest.mark.usefixtures("pool")
def test_an_error_comes_back_as_itself_with_what_the_worker_saw():
    with pytest.raises(QuestionError, match="No") as caught:
        workers.submit(rise, "No").result(10)

    assert "in rise" in caught.value.__notes__[0]


@pytest.mark.usefixtures("pool")
def test_a_worker_that_was_killed_is_replaced():
    before = {future.result(10) for future in [workers.submit(process) for _ in range(20)]}
    for worker in before:
        os.kill(worker, signal.SIGKILL)
    after = {future.result(10) for future in [workers.submit(process) for _ in range(20)]}

    assert not before & after


@pytest.mark.usefixtures("pool")
def test_a_call_whose_worker_dies_is_made_again(tmp_path):
    assert workers.submit(die_once, tmp_path / "was here").result(10) == "done"


@pytest.mark.usefixtures("pool")
def test_a_call_that_kills_its_workers_is_given_up_and_others_go_on():
    deadly = workers.submit(die)

    with pytest.raises(WorkerLost, match="process ended"):
        deadly.result(20)
    assert workers.submit(process).result(10) != os.getpid()


@pytest.mark.usefixtures("pool")
def test_calls_of_more_patience_let_others_pass(tmp_path):
    go, order = tmp_path / "go", tmp_path / "order"
    busy = [workers.submit(wait_for, go), workers.submit(sleep_long)]
    while not all(future.running() for future in busy):
        time.sleep(0.005)
    calls = [
        workers.submit(append, order, name, patience=patience) for name, patience in [("c", 2), ("b", 1), ("a", 0)]
    ]
    go.touch()
    wait(calls, 10)

    assert order.read_text() == "abc"


@pytest.mark.usefixtures("pool")
def test_a_worker_never_runs_the_main_module_of_the_process(monkeypatch, tmp_path):
    """Streamlit has the app script stand there, and a worker started later must not run it."""
    script = tmp_path / "app.py"
    script.write_text("open(__file__ + '.ran', 'w')")
    monkeypatch.setitem(sys.modules, "__main__", type(sys)("__main__"))
    sys.modules["__main__"].__file__ = str(script)
    with pytest.raises(WorkerLost):
        workers.submit(die).result(20)

    assert workers.submit(main_file).result(10) == "workers.py"
    assert not Path(f"{script}.ran").exists()


def test_stopping_ends_what_runs_and_cancels_what_waits():
    workers.start(nothing)
    running = [workers.submit(sleep_long) for _ in range(workers.SIZE)]
    while not all(future.running() for future in running):
        time.sleep(0.005)
    waiting = workers.submit(process)
    workers.stop()

    with pytest.raises(WorkerLost, match="stops"):
        running[0].result(0)
    with pytest.raises(CancelledError):
        waiting.result(0)
    assert workers.submit(process).result(0) == os.getpid()
    assert "worker" not in {thread.name for thread in threading.enumerate()}
