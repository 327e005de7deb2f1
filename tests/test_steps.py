"""Where the time of traces goes: what each step did itself, beside the stretch before."""

from datetime import datetime, timedelta

import pandas as pd
import pytest

from core import causes
from core.question import Question
from tests.test_metrics import span

START = datetime(2026, 11, 24, 10)
HOUR = timedelta(hours=1)
ASKED = Question(start=START, end=START + HOUR)


def step(name, begin_ms, duration_ms, *, parent=None, trace=1, at=START, **changes):
    """A span of the trace that starts at `at`; its id is its name."""
    made = span(at + timedelta(milliseconds=begin_ms), duration_ms, n=trace, name=name, parent_id=parent, **changes)
    return made._replace(span_id=name)


def self_times(store, spans, question=ASKED):
    store.replace("sample", spans)
    frame = causes.steps(question, START + HOUR)
    return dict(zip(frame["step"], frame["self_ms"], strict=True))


def test_self_time_is_what_no_child_covers_also_where_children_overlap(store):
    spans = [
        step("root", 0, 100.0),
        step("a", 10, 40.0, parent="root"),
        step("b", 30, 40.0, parent="root"),
        step("inside a", 15, 10.0, parent="a"),
        step("inside a too", 16, 2.0, parent="a"),
    ]

    assert self_times(store, spans) == {"root": 40.0, "a": 30.0, "b": 40.0, "inside a": 10.0, "inside a too": 2.0}


def test_a_child_counts_as_far_as_it_overlaps_its_parent(store):
    spans = [
        step("root", 0, 100.0),
        step("early", -20, 30.0, parent="root"),
        step("late", 90, 500.0, parent="root"),
        step("apart", 200, 5.0, parent="root"),
    ]

    assert self_times(store, spans)["root"] == 80.0


def test_loops_and_spans_that_are_their_own_parent_keep_their_time(store):
    spans = [step("self", 0, 10.0, parent="self"), step("a", 0, 30.0, parent="b"), step("b", 5, 10.0, parent="a")]

    assert self_times(store, spans) == {"self": 10.0, "a": 20.0, "b": 0.0}


def test_times_are_a_trace_beside_those_of_the_stretch_before(store):
    spans = [step("pay", 0, 30.0, trace=1), step("pay", 0, 50.0, trace=2), step("new", 0, 4.0, trace=2)]
    spans += [step("pay", 0, 10.0, trace=3, at=START - HOUR), step("gone", 0, 6.0, trace=3, at=START - HOUR)]
    store.replace("sample", spans)

    frame = causes.steps(ASKED, START + HOUR)

    rows = frame.set_index("step")[["n", "self_ms", "self_ms_before", "change_ms"]].T.to_dict("list")
    assert rows == {"pay": [2, 40, 10, 30], "new": [1, 2, 0, 2], "gone": [0, 0, 6, -6]}
    assert frame["share"].sum() == pytest.approx(1)


def test_with_a_service_its_own_steps_are_said_less_what_others_did_for_them(store):
    spans = [step("call", 0, 100.0), step("serve", 10, 70.0, parent="call", service="bank")]

    assert self_times(store, spans, Question(start=START, end=START + HOUR, service="shop")) == {"call": 30.0}


def test_without_spans_there_are_no_steps_and_without_a_before_no_change(store):
    assert self_times(store, []) == {}
    store.replace("sample", [step("pay", 0, 30.0)])

    frame = causes.steps(ASKED, START + HOUR)

    assert pd.isna(frame["change_ms"]).tolist() == [True]
