"""Hours that are kept: the answer is the one that the records give, whatever happens to them."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pandas as pd
from hypothesis import HealthCheck, given
from hypothesis import settings as how
from hypothesis import strategies as st

from core import queries
from core.analysis import metrics
from core.question import Question, Window
from core.spans import Span
from core.store import Store, use
from tests.test_metrics import span

START = datetime(2026, 11, 24, 10)
HOUR = timedelta(hours=1)
NOW = START + 8 * HOUR
SOURCE = "file:a"

STATS = ["avg", "p95", "count", "volume", "error_rate"]


def asked() -> list[metrics.Statement]:
    """Whole hours, and windows that begin and end within one."""
    question, middle = Question(source=SOURCE), START + 3.2 * HOUR
    return [
        metrics.buckets(question, Window(START - HOUR, NOW), START),
        metrics.buckets(question, Window(START + 1.5 * HOUR, START + 4.7 * HOUR), START),
        *(metrics.history(replace(question, stat=stat), middle) for stat in STATS),
    ]


def from_records(statement: metrics.Statement) -> metrics.Statement:
    return replace(statement, sql=statement.sql.replace("FROM hours", "FROM (SELECT * FROM hours WHERE false)"))


def assert_as_the_records_say(opened: Store) -> None:
    for statement in asked():
        told, counted = (opened.query(one.sql, one.params) for one in (statement, from_records(statement)))
        pd.testing.assert_frame_equal(told, counted, check_exact=True)


def hours(opened: Store) -> list[datetime]:
    return list(opened.query("SELECT hour FROM hours ORDER BY hour")["hour"])


def spans(at: float, n: int, latency: float = 10.0, **changes) -> list[Span]:
    """One span, `at` hours after the start."""
    return [span(START + at * HOUR, latency, n=n, source=SOURCE, price_usd=latency * 3, **changes)]


appended = st.builds(
    lambda at, n, latency, progress, summary: (
        lambda opened: opened.append(
            spans(at, n, latency, in_progress=progress, **({"span_id": "summary"} if summary else {}))
        )
    ),
    st.floats(0, 7.9),
    st.integers(0, 5),
    st.floats(-10, 1e3),
    st.booleans(),
    st.booleans(),
)
replaced = st.builds(
    lambda at, n: lambda opened: opened.replace(SOURCE, spans(at, n)), st.floats(0, 7.9), st.integers(0, 5)
)
keeping = st.builds(lambda at: lambda opened: queries.keep_hours(START + at * HOUR), st.floats(0, 12))
emptied = st.sampled_from([lambda opened: opened.remove(SOURCE), lambda opened: opened.retain(1, datetime(2100, 1, 1))])


@how(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.one_of(appended, appended, keeping, keeping, replaced, emptied), min_size=2, max_size=12))
def test_kept_hours_change_no_answer(store, steps: list[Callable[[Store], object]]):
    store.remove(SOURCE)
    for step in steps:
        step(store)
    assert_as_the_records_say(store)


def test_hours_that_ended_are_kept_and_the_running_one_is_not(store):
    for at in (0.2, 1.5, 3.9):
        store.append(spans(at, int(at)))

    queries.keep_hours(START + 3.5 * HOUR)
    queries.keep_hours(START + 3.5 * HOUR)

    assert hours(store) == [START, START + HOUR]


def test_an_hour_is_kept_only_when_stragglers_had_their_time(store):
    store.append(spans(0.2, 0))

    queries.keep_hours(START + HOUR + timedelta(minutes=9))
    assert hours(store) == []

    queries.keep_hours(START + HOUR + timedelta(minutes=10))
    assert hours(store) == [START]


def test_a_late_span_is_seen_at_once_and_its_hour_kept_again(store):
    for at in (0.2, 1.5, 2.5):
        store.append(spans(at, int(at)))
    queries.keep_hours(NOW)

    store.append(spans(1.7, 7, 500.0))

    assert hours(store) == [START]
    assert_as_the_records_say(store)
    queries.keep_hours(NOW)
    [(mean, count)] = store.query(
        "SELECT value_avg, request_count FROM hours WHERE hour = ?", [START + HOUR]
    ).to_numpy()
    assert (mean, count) == (255.0, 2)


def test_what_another_source_gets_leaves_the_hours_of_this_one(store):
    store.append(spans(0.2, 0))
    queries.keep_hours(NOW)

    store.append([span(START, source="live")])

    assert hours(store) == [START]


def test_hours_survive_a_restart_and_late_spans_after_it(tmp_path):
    path = tmp_path / "again.duckdb"
    with Store(path) as opened:
        use(opened)
        opened.append(spans(0.2, 0) + spans(1.2, 1))
        queries.keep_hours(NOW)

    with Store(path) as opened:
        assert hours(opened) == [START, START + HOUR]
        opened.append(spans(0.4, 2, 99.0))
        assert hours(opened) == []
        assert_as_the_records_say(opened)
