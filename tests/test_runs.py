"""Files of which whole runs of values are read at once, and by other processes: nothing else comes out of them."""

import json
from concurrent.futures import Future

import pytest
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st

from core import workers
from core.errors import WorkerLost
from core.ingest import batches, files, json_stream
from core.ingest.json_runs import parts
from core.ingest.json_stream import Splitter, Value
from tests.test_files import LIMIT, NOW, latencies, otlp, segment, summary, text, trace


def told(found):
    return [(part.line, part.raw if isinstance(part, Value) else part.refusal.reason) for part in found]


def at_once(content):
    splitter = Splitter()
    return told([*splitter.feed(content), *splitter.finish()])


def by_runs(content, size):
    """As a file is read, and how many runs there were."""
    splitter, found, runs = Splitter(), [], 0
    for at in range(0, len(content), size):
        run = splitter.run(content[at : at + size])
        if run is None:
            found += splitter.feed(b"")
        elif (read := parts(run)) is not None:
            found += read
            runs += 1
        else:
            rest = run.raw + splitter.rest
            splitter = Splitter(run.line, run.stack)
            found += splitter.feed(rest)
    return told(found + splitter.finish()), runs


@pytest.fixture(scope="module", autouse=True)
def _short_runs():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_stream, "_RUN_BYTES", 1)
        yield


VALUE = st.sampled_from(
    [
        '{"a":1}',
        '{"a":{"b":[{}]}}',
        '{"a":"\\n{"}',
        '{"a":',
        '"a',
        "}",
        "]",
        "[",
        '{"a":1},',
        '{"Traces":[',
        '{"a":“b”}',
        "7",
    ]
)
LINE = st.tuples(st.sampled_from(["", "", "", "  "]), VALUE).map("".join)


@effort(max_examples=150, deadline=None)
@given(st.lists(LINE, max_size=12).map("\n".join), st.integers(1, 60))
def test_runs_of_whatever_lines_hold_what_the_stream_as_a_whole_holds(content, size):
    found, _ = by_runs(content.encode(), size)

    assert found == at_once(content.encode())


FORMS = {
    "JSON lines": text(*map(segment, range(20))),
    "lines with one that is broken": text(*map(segment, range(9))) + '\n{"a": \n' + text(*map(segment, range(9))),
    "a list on many lines": json.dumps([segment(number) for number in range(20)], indent=2),
    "traces": json.dumps({"Traces": [trace(number) for number in range(20)], "UnprocessedTraceIds": []}, indent=4),
    "summaries": json.dumps({"TraceSummaries": [summary(number) for number in range(20)]}, indent=4),
}


@pytest.mark.parametrize("form", FORMS)
def test_most_of_a_usual_file_is_read_in_runs(form):
    content = FORMS[form].encode()

    found, runs = by_runs(content, 3_000)

    assert found == at_once(content)
    assert runs >= len(content) // 3_000 - 2


def nothing():
    pass


@pytest.fixture(params=["here", "in other processes"])
def submit(request):
    if request.param == "here":
        yield workers.submit
        return
    workers.start(nothing)
    yield workers.submit
    workers.stop()


ODD = "\n".join(
    [
        text(*map(segment, range(40))),
        '{"trace_id": ',
        text(segment(40, start_time="soon"), segment(41, annotations=7), segment(3, name="later"), otlp(42)),
        text(trace(43), indent=4),
        text(*map(segment, range(44, 90))),
        '{"no": "trace"}',
    ]
)


def test_a_file_read_by_other_processes_is_stored_and_told_like_one_read_here(store, submit):
    content = ODD.encode()
    with files.Import("march", NOW, store, LIMIT, submit) as running:
        for at in range(0, len(content), 4_000):
            running.feed(content[at : at + 4_000])
        report = running.finish()

    assert (report.stored, report.duplicates, report.state) == (90, 0, "done")  # that of 3 twice
    assert {reason: told[:2] for reason, told in report.rejected.items()} == {
        "not_json": (1, 41),
        "bad_start_time": (1, 42),
        "not_a_trace": (1, 1 + ODD.count("\n")),
    }
    assert report.altered == {"annotations_not_an_object": 1}
    assert len(latencies(store)) == 89
    assert store.query("SELECT name FROM spans WHERE span_id LIKE '%003'")["name"].to_list() == ["later"]


@pytest.mark.parametrize("size", [700, 2_000, 5_000])
def test_nothing_is_lost_of_a_file_whose_runs_end_within_values(store, submit, size):
    opened = [
        f'{{"Id": "{number}",\n"Segments": [\n{json.dumps({"Id": "a", "Document": json.dumps(segment(number))})}\n]\n}}'
        for number in range(90)
    ]
    content = "\n".join(["[", ",\n".join(opened), "]"]).encode()
    with files.Import("march", NOW, store, LIMIT, submit) as running:
        for at in range(0, len(content), size):
            running.feed(content[at : at + size])
        report = running.finish()

    assert (report.stored, report.duplicates, report.rejected) == (90, 0, {})


def test_what_no_process_begins_with_is_done_here():
    waiting = Future[int]()

    assert batches.outcome(waiting, sum, [1, 2]) == 3
    assert waiting.cancelled()


def test_what_a_process_does_not_come_to_the_end_of_is_done_here(monkeypatch):
    monkeypatch.setattr(batches, "_DONE_S", 0.01)
    begun = Future[int]()
    begun.set_running_or_notify_cancel()

    assert batches.outcome(begun, sum, [1, 2]) == 3


def test_what_was_lost_with_its_process_is_done_here():
    lost = Future[int]()
    lost.set_exception(WorkerLost("It ended."))

    assert batches.outcome(lost, sum, [1, 2]) == 3


def test_what_a_process_has_found_is_not_done_again():
    done = Future[int]()
    done.set_result(7)

    assert batches.outcome(done, sum, [1, 2]) == 7
