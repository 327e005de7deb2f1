"""What may be asked, and in which words."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import QuestionError
from core.question import Question, Window, horizon, parse, read, to_params, unit, window

NOW = datetime(2026, 11, 24, 20, 30)


def test_no_parameters_ask_for_the_last_14_days_of_the_default_source():
    question = parse({}, default_source="live")

    assert (question.source, question.range, question.measure, question.stat) == ("live", "14d", "latency_ms", "avg")
    assert window(question, NOW, None, None) == Window(NOW - timedelta(days=14), NOW)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        pytest.param("start", "2026-11-03", datetime(2026, 11, 3), id="a date"),
        pytest.param("start", "2026-11-03T04:05", datetime(2026, 11, 3, 4, 5), id="no zone means UTC"),
        pytest.param("start", "2026-11-03T04:05:06Z", datetime(2026, 11, 3, 4, 5, 6), id="UTC"),
        pytest.param("start", "2026-11-03T04:05:06+02:00", datetime(2026, 11, 3, 2, 5, 6), id="an offset"),
        pytest.param("start", "2026-11-03T04:05:06 02:00", datetime(2026, 11, 3, 2, 5, 6), id="its plus was unquoted"),
        pytest.param("threshold", "149.5", 149.5, id="threshold"),
        pytest.param("threshold", "150.0", 150.0, id="as Streamlit writes it"),
        pytest.param("threshold", "1.5e2", 150.0, id="scientific"),
        pytest.param("horizon", "168", 168, id="horizon"),
        pytest.param("source", "aws:eu-west-1", "aws:eu-west-1", id="region"),
        pytest.param("tz", "Europe/Berlin", "Europe/Berlin", id="zone"),
        pytest.param(
            "exclude",
            "2026-11-03/2026-11-04,2026-11-05T01:00Z/2026-11-05T02:00Z",
            (
                (datetime(2026, 11, 3), datetime(2026, 11, 4)),
                (datetime(2026, 11, 5, 1), datetime(2026, 11, 5, 2)),
            ),
            id="two ranges left out",
        ),
    ],
)
def test_a_value_is_read(name, text, value):
    assert getattr(parse({name: text}), name) == value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("threshold", "abc"),
        ("threshold", "0"),
        ("threshold", "-1"),
        ("threshold", "nan"),
        ("threshold", "inf"),
        ("threshold", "1e400"),
        ("threshold", "1_0"),
        ("threshold", "١٥٠"),
        ("threshold", " 150"),
        ("horizon", "1_0"),
        ("horizon", "0"),
        ("horizon", "169"),
        ("horizon", "1.5"),
        ("interval", "100"),
        ("p", "0.01"),
        ("range", "2h"),
        ("start", "yesterday"),
        ("start", "292278-01-01"),
        ("exclude", "2026-11-03"),
        ("exclude", "2026-11-04/2026-11-03"),
        ("source", "file:../etc/passwd"),
        ("source", "sample'; drop table spans"),
        ("tz", "Mars/Olympus"),
        ("tz", "../../etc/passwd"),
        ("stat", "AVG"),
        ("service", "x" * 1001),
        ("colour", "red"),
    ],
)
def test_a_bad_value_is_refused_in_one_sentence_and_left_at_its_default(name, text):
    with pytest.raises(QuestionError) as refusal:
        parse({name: text})
    question, notices = read({name: text, "measure": "price_usd"})

    assert name in str(refusal.value)
    assert str(refusal.value).endswith(".")
    assert notices == [str(refusal.value)]
    assert question == Question(measure="price_usd")


@pytest.mark.parametrize(
    ("name", "text", "allowed"),
    [
        ("start", "0001-01-01", "of the years 1970 to 2200"),
        ("exclude", "9999-12-30/9999-12-31", "of the years 1970 to 2200"),
        ("threshold", "1e308", "above 0 and up to 1e300"),
    ],
)
def test_a_value_out_of_bounds_is_told_the_bounds(name, text, allowed):
    with pytest.raises(QuestionError, match=allowed):
        parse({name: text})


def test_a_start_after_its_end_is_refused():
    question, notices = read({"start": "2026-11-04", "end": "2026-11-03"})

    assert notices == ["start is not before end: start must be earlier."]
    assert (question.start, question.end) == (None, None)


def test_the_range_is_ignored_when_an_end_is_given():
    question = parse({"end": "2026-11-20", "range": "1h"})

    assert window(question, NOW, datetime(2026, 1, 1), NOW) == Window(datetime(2026, 1, 1), datetime(2026, 11, 20))


def test_the_time_of_a_file_ends_with_its_newest_bucket():
    question = parse({"source": "file:old.json", "range": "24h"})

    asked = window(question, NOW, datetime(2020, 1, 1), datetime(2020, 2, 1, 9, 59))

    assert asked == Window(datetime(2020, 1, 31, 10), datetime(2020, 2, 1, 10))


def test_a_horizon_that_days_do_not_reach_becomes_their_default():
    assert horizon(parse({"horizon": "48"})) == 48
    assert horizon(parse({"horizon": "48", "granularity": "daily"})) == 7
    assert horizon(parse({"horizon": "30", "granularity": "daily"})) == 30


@pytest.mark.parametrize(
    ("measure", "stat", "expected"),
    [
        ("latency_ms", "p95", "ms"),
        ("latency_ms", "count", "requests"),
        ("price_usd", "avg", "USD"),
        ("data_volume_bytes", "avg", "bytes"),
        ("latency_ms", "error_rate", "share"),
        ("queue_depth", "avg", ""),
    ],
)
def test_every_stat_has_its_unit(measure, stat, expected):
    assert unit(measure, stat) == expected


moments = st.datetimes(datetime(1970, 1, 1), datetime(2199, 1, 1))


@given(
    question=st.builds(
        Question,
        source=st.sampled_from(["sample", "aws:us-east-1", "file:a.json"]),
        service=st.none() | st.text(min_size=1, max_size=30),
        threshold=st.none() | st.floats(1e-9, 1e12),
        horizon=st.none() | st.integers(1, 168),
        bucket=st.none() | moments,
        exclude=st.lists(moments.map(lambda t: (t, t + timedelta(minutes=5))), max_size=2).map(tuple),
        p=st.floats(0.05, 0.95),
        tz=st.none() | st.just("Asia/Kolkata"),
    )
)
def test_a_question_survives_its_url(question):
    assert parse(to_params(question)) == question
