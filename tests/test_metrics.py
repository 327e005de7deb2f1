"""What a bucket holds, against a plain loop over the spans."""

import json
import math
import statistics
from datetime import datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as how
from hypothesis import strategies as st

from core.analysis import metrics
from core.question import Question, Window
from core.spans import Span

START = datetime(2026, 11, 24, 10)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def span(at: datetime, latency: float | None = 10.0, *, n: int = 0, **changes) -> Span:
    """An annotated span of the sample at `at`; `n` tells it from others."""
    numbers = changes.pop("numbers", {})
    made = Span(
        source="sample",
        trace_id=f"{n:032x}",
        span_id=f"{n:016x}",
        parent_id=None,
        kind="subsegment",
        service="shop",
        name="pay",
        namespace=None,
        started_at=at,
        duration_ms=latency if latency is not None else 0.0,
        error=False,
        fault=False,
        throttle=False,
        http_method=None,
        http_url=None,
        http_status=None,
        numbers=numbers,
        texts={"flag": "low"},
        booleans={},
        failed=False,
        latency_ms=latency,
        data_volume_bytes=None,
        price_usd=None,
        detail=None,
        in_progress=False,
    )
    return made._replace(**changes)


def run(store, statement: metrics.Statement) -> pd.DataFrame:
    return store.query(statement.sql, statement.params)


def hourly(store, spans, question=None, window=None) -> pd.DataFrame:
    store.replace("sample", spans)
    first = min((one.started_at for one in spans), default=START)
    window = window or Window(START, START + 6 * HOUR)
    return run(store, metrics.buckets(question or Question(), window, first))


moments = st.integers(0, 6 * 3600 - 1).map(lambda s: START + timedelta(seconds=s))
made = st.builds(
    lambda at, latency, failed, volume, group: span(
        at, latency, failed=failed, data_volume_bytes=volume, texts={"flag": group}
    ),
    moments,
    st.none() | st.floats(0, 1e6),
    st.booleans(),
    st.none() | st.floats(0, 1e9),
    st.sampled_from(["low", "high"]),
)


@how(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(spans=st.lists(made, min_size=1, max_size=30), by=st.sampled_from([None, "flag"]))
def test_buckets_hold_what_a_plain_loop_counts(store, spans, by):
    spans = [one._replace(trace_id=f"{n:032x}") for n, one in enumerate(spans)]

    frame = hourly(store, spans, Question(by=by))

    first = min(one.started_at for one in spans).replace(minute=0, second=0)
    groups = sorted({one.texts["flag"] for one in spans}) if by else [None]
    expected = []
    for group in groups:
        of_group = [one for one in spans if group in (None, one.texts["flag"])]
        means: list[float | None] = []
        rates: list[float | None] = []
        bucket = first
        while bucket < START + 6 * HOUR:
            inside = [one for one in of_group if bucket <= one.started_at < bucket + HOUR]
            values = [one.latency_ms for one in inside if one.latency_ms is not None]
            means.append(statistics.fmean(values) if values else None)
            rates.append(sum(one.failed for one in inside) / len(inside) if inside else None)
            recent = [mean for mean in means[-3:] if mean is not None]
            recent_rates = [rate for rate in rates[-3:] if rate is not None]
            expected.append(
                {
                    "group": group,
                    "bucket": bucket,
                    "request_count": len(inside),
                    "latency_avg": means[-1],
                    "latency_min": min(values, default=None),
                    "latency_max": max(values, default=None),
                    "latency_std": statistics.stdev(values) if len(values) > 1 else None,
                    "latency_p50": float(np.percentile(values, 50)) if values else None,
                    "latency_p95": float(np.percentile(values, 95)) if values else None,
                    "error_rate": rates[-1],
                    "total_data_volume_bytes": sum(one.data_volume_bytes or 0 for one in inside),
                    "rolling_latency_avg": statistics.fmean(recent) if inside and recent else None,
                    "rolling_error_rate": statistics.fmean(recent_rates) if inside else None,
                }
            )
            bucket += HOUR
    assert len(frame) == len(expected)
    for row, want in zip(frame.to_dict("records"), expected, strict=True):
        for name, value in want.items():
            if name == "group" and by is None:
                continue
            got = None if pd.isna(row[name]) else row[name]
            if isinstance(value, float) and got is not None:
                assert math.isclose(got, value, rel_tol=1e-6, abs_tol=1e-3), name
            else:
                assert got == value, name


def test_a_gap_is_a_row_with_nothing_but_its_counts(store):
    frame = hourly(store, [span(START), span(START + 2 * HOUR, n=1)], window=Window(START, START + 3 * HOUR))

    assert frame["request_count"].to_list() == [1, 0, 1]
    assert frame["total_data_volume_bytes"].to_list() == [0, 0, 0]
    assert frame.loc[1].drop(["source", "measure", "unit", "bucket", "complete"]).dropna().index.to_list() == [
        "request_count",
        "total_data_volume_bytes",
    ]


def test_buckets_begin_with_the_first_span_and_the_running_one_is_not_complete(store):
    window = Window(START - 3 * DAY, START + 1.5 * HOUR)

    frame = hourly(store, [span(START + HOUR / 2), span(START + 1.2 * HOUR, n=1)], window=window)

    assert frame["bucket"].to_list() == [START, START + HOUR]
    assert frame["complete"].to_list() == [True, False]


@pytest.mark.parametrize("huge", [1.7e308, -1.7e308, 1e200])
@pytest.mark.parametrize("measure", ["latency_ms", "size"])
def test_a_value_too_great_to_be_squared_does_not_count_and_the_rest_does(store, measure, huge):
    huge_one = {"latency_ms": huge, "numbers": {"size": huge}, "data_volume_bytes": huge, "price_usd": huge}
    spans = [span(START, 10.0, n=n, numbers={"size": 10.0}, data_volume_bytes=5.0, price_usd=2.0) for n in range(2)]
    spans += [span(START)._replace(trace_id=f"{n:032x}", **huge_one) for n in range(2, 4)]
    [row] = hourly(store, spans, Question(measure=measure), Window(START, START + HOUR)).to_dict("records")
    prefix = "latency" if measure == "latency_ms" else "value"
    assert [row[f"{prefix}_{stat}"] for stat in ("avg", "max", "std", "p99")] == [10.0, 10.0, 0.0, 10.0]
    assert (row["request_count"], row["total_data_volume_bytes"], row["price_usd_avg"]) == (4, 10.0, 2.0)


def test_what_starts_at_the_end_or_later_is_not_counted(store):
    window = Window(START, START + HOUR / 2)

    frame = hourly(store, [span(START), span(START + HOUR / 2, n=1)], window=window)

    assert frame["request_count"].to_list() == [1]


def test_rolling_means_do_not_depend_on_where_the_range_begins(store):
    spans = [span(START + hour * HOUR, float(hour), n=hour) for hour in range(6)]

    whole = hourly(store, spans)
    part = hourly(store, spans, window=Window(START + 4 * HOUR, START + 6 * HOUR))

    assert whole["rolling_latency_avg"].to_list() == [0.0, 0.5, 1.0, 2.0, 3.0, 4.0]
    assert part["rolling_latency_avg"].to_list() == [3.0, 4.0]


def test_daily_buckets_are_utc_days(store):
    question = Question(granularity="daily")
    spans = [span(START), span(START + DAY, 30.0, n=1), span(START + DAY + 13 * HOUR, 50.0, n=2)]

    frame = hourly(store, spans, question, Window(START, START + 2 * DAY))

    assert frame["bucket"].to_list() == [datetime(2026, 11, 24), datetime(2026, 11, 25), datetime(2026, 11, 26)]
    assert frame["latency_avg"].to_list()[:2] == [10.0, 40.0]
    assert frame["complete"].to_list() == [True, True, False]


@pytest.mark.parametrize(
    ("measure", "column", "unit", "value"),
    [
        ("duration_ms", "latency_avg", "ms", 20.0),
        ("price_usd", "value_avg", "USD", 5.0),
        ("depth", "value_avg", "", -3.0),
        ("odd\" key'; drop table spans", "value_avg", "", 7.0),
        ("absent", "value_avg", "", None),
    ],
)
def test_any_numeric_annotation_is_a_measure(store, measure, column, unit, value):
    numbers = {"price_usd": 5.0, "depth": -3.0, "odd\" key'; drop table spans": 7.0}
    spans = [span(START, numbers=numbers, price_usd=5.0, duration_ms=20.0)]

    frame = hourly(store, spans, Question(measure=measure), Window(START, START + HOUR))

    assert frame["unit"].to_list() == [unit]
    assert (None if pd.isna(frame[column][0]) else frame[column][0]) == value


@pytest.mark.parametrize(
    ("numbers", "texts", "booleans", "group"),
    [
        ({"k": 12.0}, {}, {}, "12"),
        ({"k": 12.5}, {}, {}, "12.5"),
        ({"k": 12.0}, {"k": "12.0"}, {}, "12.0"),
        ({}, {}, {"k": True}, "true"),
        ({}, {}, {}, None),
    ],
)
def test_records_are_split_by_the_value_as_it_was_sent(store, numbers, texts, booleans, group):
    spans = [span(START, numbers=numbers, texts={**texts, "other": "x"}, booleans=booleans)]

    frame = hourly(store, spans, Question(by="k"), Window(START, START + HOUR))

    assert [None if pd.isna(name) else name for name in frame["group"]] == [group]


def test_the_scope_decides_which_spans_are_records(store):
    spans = [
        span(START, 1.0),
        span(START, 2.0, n=1, kind="segment", texts={}),
        span(START, 4.0, n=2, in_progress=True),
    ]

    annotated = hourly(store, spans, Question(), Window(START, START + HOUR))
    segments = hourly(store, spans, Question(scope="segments"), Window(START, START + HOUR))

    assert annotated["latency_avg"].to_list() == [1.0]
    assert segments["latency_avg"].to_list() == [2.0]


def test_history_is_complete_hours_with_zeros_only_for_counts_and_volumes(store):
    store.replace("sample", [span(START), span(START + 2 * HOUR, n=1), span(START + 4.1 * HOUR, n=2)])

    mean = run(store, metrics.history(Question(), START + 4.5 * HOUR))
    count = run(store, metrics.history(Question(stat="count"), START + 4.5 * HOUR))

    assert mean["ds"].to_list() == [START, START + 2 * HOUR]
    assert count["ds"].to_list() == [START, START + HOUR, START + 2 * HOUR]
    assert count["y"].to_list() == [1.0, 0.0, 1.0]


def test_an_excluded_range_empties_each_hour_that_it_touches():
    history = pd.DataFrame({"ds": [START + hour * HOUR for hour in range(4)], "y": [1.0, 2.0, 3.0, 4.0]})

    left = metrics.left_out(history, [(START + 1.5 * HOUR, START + 2 * HOUR), (START + 3.9 * HOUR, START + 9 * HOUR)])

    assert left["y"].isna().to_list() == [False, True, False, True]
    assert history["y"].to_list() == [1.0, 2.0, 3.0, 4.0]


def test_records_tell_each_annotation_in_the_type_it_was_sent(store):
    numbers = {"price_usd": 5.0, "reads_as_number": 7.0}
    texts = {"reads_as_number": "7", "hour_str": "2026-11-24-20", "flag": "low"}
    store.replace("sample", [span(START, numbers=numbers, texts=texts, booleans={"ok": True}, price_usd=5.0)])

    frame = run(store, metrics.records(Question(), Window(START, START + HOUR)))

    assert [json.loads(text) for text in frame["annotations"]] == [
        {"price_usd": 5.0, "ok": True, "reads_as_number": "7", "hour_str": "2026-11-24-20", "flag": "low"}
    ]
    assert frame["hour_str"].to_list() == [datetime(2026, 11, 24, 20)]
    assert frame["flag"].to_list() == ["low"]


@pytest.mark.parametrize(
    ("text", "hour"),
    [
        ("2026-11-24 20", datetime(2026, 11, 24, 20)),
        ("2026-11-24T20:15", datetime(2026, 11, 24, 20, 15)),
        ("2026-11-24-20:15:30", datetime(2026, 11, 24, 20, 15, 30)),
        ("yesterday", None),
    ],
)
def test_an_hour_is_read_in_each_of_its_forms(store, text, hour):
    store.replace("sample", [span(START, texts={"hour_str": text})])

    frame = run(store, metrics.records(Question(), Window(START, START + HOUR)))

    assert [None if pd.isna(value) else value for value in frame["hour_str"]] == [hour]


def test_the_newest_records_come_oldest_first(store):
    store.replace("sample", [span(START + hour * HOUR, n=hour) for hour in range(5)])

    frame = run(store, metrics.records(Question(), Window(START, START + 5 * HOUR), limit=2))

    assert frame["timestamp"].to_list() == [START + 3 * HOUR, START + 4 * HOUR]


def test_annotation_keys_say_which_can_be_measured(store):
    store.replace("sample", [span(START, numbers={"n": 1.0}, booleans={"b": True})])

    frame = run(store, metrics.annotation_keys("sample", START - DAY))

    assert frame.to_dict("records") == [
        {"key": "b", "numeric": False},
        {"key": "flag", "numeric": False},
        {"key": "n", "numeric": True},
    ]


def test_choices_are_the_most_used_keys_and_services_when_there_are_too_many(store):
    most = metrics.MAX_CHOICES
    spans = [span(START, n=n, service=f"id-{n}", numbers={f"id-{n}": 1.0}) for n in range(most + 50)]
    spans += [span(START, n=most + 50 + n, service="often", numbers={"often": 1.0}) for n in range(2)]
    store.replace("sample", spans)

    keys = run(store, metrics.annotation_keys("sample", START))["key"].to_list()
    services = run(store, metrics.services("sample"))["service"].to_list()
    assert (len(keys), len(services)) == (most, most)
    assert {"flag", "often"} < set(keys)
    assert keys == sorted(keys)
    assert "often" in services
    assert services == sorted(services)


def test_groups_are_told_largest_first(store):
    store.replace("sample", [span(START, 10.0), span(START, 30.0, n=1), span(START, 5.0, n=2, texts={"flag": "high"})])

    frame = run(store, metrics.groups(Question(), "flag", Window(START, START + HOUR)))

    assert frame[["group", "request_count", "avg", "error_rate"]].to_dict("records") == [
        {"group": "low", "request_count": 2, "avg": 20.0, "error_rate": 0.0},
        {"group": "high", "request_count": 1, "avg": 5.0, "error_rate": 0.0},
    ]


# The same to the last digit


def test_the_same_question_gets_the_same_answer_whichever_thread_adds_what(store):
    store.append([span(START, 100.0)])
    many = "started_at + INTERVAL (i * 7919 % 21600) SECOND AS started_at, exp(sin(i)) * 80 AS latency_ms"
    store.write(f"INSERT INTO spans SELECT * EXCLUDE (i) REPLACE ({many}) FROM spans, range(600_000) AS t(i)")
    asked = metrics.buckets(Question(), Window(START, START + 6 * HOUR), START)
    fitted_to = metrics.history(Question(), START + 6 * HOUR)

    answers = [(run(store, asked), run(store, fitted_to)) for _ in range(12)]

    for buckets, history in answers[1:]:
        pd.testing.assert_frame_equal(buckets, answers[0][0], check_exact=True)
        pd.testing.assert_frame_equal(history, answers[0][1], check_exact=True)
