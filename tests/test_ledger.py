"""The ledger: which stretches of a source were read, what is lacking, and what a day has cost."""

import itertools
from datetime import date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core import ledger
from core.ledger import Slice, Unfinished
from core.store import Store
from tests.test_store import TRACE, span

DAY = datetime(2026, 11, 24)
HOUR = timedelta(hours=1)
SOURCE = "aws:eu-west-1"


def hours(*pairs):
    return [(DAY + start * HOUR, DAY + end * HOUR) for start, end in pairs]


@pytest.mark.parametrize(
    ("finished", "gaps"),
    [
        pytest.param([], [(0, 10)], id="nothing was read"),
        pytest.param([(0, 10)], [], id="all was read"),
        pytest.param([(-5, 20)], [], id="more was read"),
        pytest.param([(3, 5), (4, 6)], [(0, 3), (6, 10)], id="overlapping"),
        pytest.param([(8, 12), (2, 4)], [(0, 2), (4, 8)], id="in any order"),
        pytest.param([(10, 12), (-2, 0)], [(0, 10)], id="beside it"),
    ],
)
def test_what_is_lacking_is_what_no_slice_covers(finished, gaps):
    assert ledger.lacking(hours(*finished), *hours((0, 10))[0]) == hours(*gaps)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 30)), max_size=6), st.integers(1, 60))
def test_each_minute_is_covered_or_lacking_and_never_both(pairs, length):
    minute = timedelta(minutes=1)
    finished = [(DAY + start * minute, DAY + (start + width) * minute) for start, width in pairs]
    end = DAY + length * minute

    gaps = ledger.lacking(finished, DAY, end)

    for moment in (DAY + n * minute for n in range(length)):
        covered = any(start <= moment < until for start, until in finished)
        assert covered != any(start <= moment < until for start, until in gaps)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 50_000))
def test_slices_are_at_most_six_hours_and_join_to_the_whole(offset, minutes):
    start = DAY + timedelta(minutes=offset)
    end = start + timedelta(minutes=minutes)

    slices = ledger.cut([(start, end)])

    assert slices[0][0] == start
    assert slices[-1][1] == end
    assert all(left[1] == right[0] for left, right in itertools.pairwise(slices))
    assert all(timedelta() < until - since <= 6 * HOUR for since, until in slices)


def test_a_week_is_cut_at_the_same_hours_whenever_it_begins_and_a_day_in_enough_slices_for_eight():
    week = ledger.cut([(DAY + 2 * HOUR, DAY + 7 * 24 * HOUR)])
    day = ledger.cut([(DAY, DAY + 24 * HOUR)])

    assert week[1] == hours((6, 12))[0]
    assert len(week) == 28
    assert len(day) == 24


def test_a_finished_slice_is_there_after_a_restart_and_counts_for_its_filter_only(tmp_path):
    first = Slice(SOURCE, "", DAY, DAY + HOUR, 10, 12, 3)
    with Store(tmp_path / "s.duckdb") as store:
        ledger.finish(store, first)
        ledger.finish(store, first._replace(filter="fault", start=DAY + HOUR, end=DAY + 2 * HOUR))

    with Store(tmp_path / "s.duckdb") as store:
        assert ledger.finished(store, SOURCE, "") == [first]
        assert ledger.finished(store, "aws:us-east-1", "") == []


def test_what_is_billed_adds_up_by_day_and_source(store):
    for traces in (100, 23):
        ledger.bill(store, SOURCE, DAY.date(), traces)
    ledger.bill(store, "aws:us-east-1", DAY.date(), 7)

    assert ledger.billed(store, DAY.date()) == {SOURCE: 123, "aws:us-east-1": 7}
    assert ledger.billed(store, date(2026, 11, 25)) == {}
    assert ledger.cost_usd(1_000_000) == 0.5


def test_an_unfinished_pull_is_remembered_until_it_is_forgotten(tmp_path):
    pull = Unfinished("1", SOURCE, DAY, DAY + HOUR)
    with Store(tmp_path / "s.duckdb") as store:
        ledger.keep_pull(store, pull)
        ledger.keep_pull(store, pull)

    with Store(tmp_path / "s.duckdb") as store:
        assert ledger.unfinished(store) == [pull]
        ledger.forget_pull(store, "1")
        assert ledger.unfinished(store) == []


def test_a_removed_source_forgets_its_slices_and_no_others(store):
    other = "aws:us-east-1"
    for source in (SOURCE, other):
        ledger.finish(store, Slice(source, "", DAY, DAY + HOUR, 1, 1, 0))

    store.remove(SOURCE)

    assert ledger.finished(store, SOURCE, "") == []
    assert len(ledger.finished(store, other, "")) == 1


# The span that stands for a trace of which only the summary was read


def ids(store, source=SOURCE):
    return sorted(store.trace(TRACE, source)["span_id"])


def test_a_trace_read_in_full_takes_the_place_of_its_summary(store):
    store.append([span("summary", source=SOURCE)])
    assert ids(store) == ["summary"]

    store.append([span("a", source=SOURCE), span("b", source=SOURCE)])

    assert ids(store) == ["a", "b"]
    assert store.sources().set_index("source")["rows"].to_dict() == {SOURCE: 2}


def test_a_summary_that_comes_after_the_trace_is_not_kept(store):
    store.append([span("a", source=SOURCE)])

    store.append([span("summary", source=SOURCE)])

    assert ids(store) == ["a"]
    assert store.sources().set_index("source")["rows"].to_dict() == {SOURCE: 1}


def test_a_summary_stands_beside_the_spans_of_other_traces_and_sources(store):
    elsewhere = TRACE[:-1] + "0"

    store.append([span("summary", source=SOURCE), span("a", source="live"), span("summary", source="live")])
    store.append([span("a", source=SOURCE, trace_id=elsewhere)])

    assert ids(store) == ["summary"]
    assert ids(store, "live") == ["a", "summary"]
