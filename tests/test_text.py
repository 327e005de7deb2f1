"""Numbers, times, untrusted text and the sentence of each state, as a reader sees them (`~` is a no-break space)."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.question import Question
from core.view import sentences, text
from core.view.sentences import Crossing, Sentence
from core.view.text import Terms

NOW = datetime(2026, 11, 24, 21, 18)
JOINER = "\u2060"


def nb(words: str) -> str:
    return words.replace("~", text.NBSP)


def terms(
    now: datetime = NOW, zone: str = "UTC", threshold: float = 150.0, end: datetime | None = None, **asked
) -> Terms:
    return text.terms(Question(**asked), threshold, now, end or now, text.zone(zone))


def forecast(*rows: tuple[datetime, float, float]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["ds", "yhat", "p_above"])


def history(*values: float | None, running: float | None = 1.0) -> pd.DataFrame:
    """Hours up to now, the last one still running."""
    hours = [NOW.replace(minute=0) - timedelta(hours=hour) for hour in range(len(values), -1, -1)]
    return pd.DataFrame(
        {
            "bucket": pd.Series(hours).astype("datetime64[us]"),
            "complete": [True] * len(values) + [False],
            "latency_avg": pd.Series([*values, running]).astype(float),
        }
    )


@dataclass(frozen=True)
class Ready:
    observed_hours: int = 1440
    stage: str = "full"
    intermittent: bool = False
    stopped_since: datetime | None = None
    ready_at: datetime | None = None


# Numbers


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (95.91, "ms", "95.9~ms"),
        (117.4, "ms", "117~ms"),
        (6, "ms", "6.00~ms"),
        (0.1943, "ms", "0.194~ms"),
        (0, "ms", "0~ms"),
        (1500, "ms", "1.50~s"),
        (999.7, "ms", "1.00~s"),
        (59_960, "ms", "1.00~min"),
        (138_600, "ms", "2.31~min"),
        (-1500, "ms", "−1.50~s"),
        (0.25, "s", "250~ms"),
        (90, "s", "1.50~min"),
        (512, "bytes", "512~B"),
        (42_613, "bytes", "42.6~kB"),
        (3_200_000, "bytes", "3.20~MB"),
        (0.008, "share", "0.8~%"),
        (0.123, "share", "12.3~%"),
        (0.0004, "share", "0.04~%"),
        (0, "share", "0~%"),
        (1, "share", "100~%"),
        (74_060.4, "USD", "74,060~USD"),
        (0.21, "USD", "0.21~USD"),
        (7214.0, "requests", "7,214"),
        (24.6, "requests", "25"),
        (0.25, "", "0.250"),
        (12_345.6, "", "12,346"),
        (None, "ms", "–"),
        (float("nan"), "share", "–"),
        (float("inf"), "bytes", "–"),
    ],
)
def test_an_amount_has_three_digits_and_its_unit(value, unit, expected):
    assert text.amount(value, unit) == nb(expected)


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (149.5, "ms", "149.5~ms"),
        (150.0, "ms", "150~ms"),
        (1234.5, "ms", "1,234.5~ms"),
        (0.07, "share", "7~%"),
        (0.005, "share", "0.5~%"),
        (42_613, "bytes", "42.613~kB"),
        (25.0, "requests", "25"),
        (0.1, "", "0.1"),
        (1e300, "ms", "1e+300~ms"),
    ],
)
def test_a_threshold_is_said_as_it_was_typed(value, unit, expected):
    assert text.exactly(value, unit) == nb(expected)


@pytest.mark.parametrize(
    ("low", "high", "unit", "expected"),
    [
        (65.0, 117.0, "ms", "65 to 117~ms"),
        (77.1, 92.3, "ms", "77 to 92~ms"),
        (95.1, 95.4, "ms", "95.1 to 95.4~ms"),
        (606, 2310, "ms", "606~ms to 2.31~s"),
        (0.015, 0.018, "share", "1.5 to 1.8~%"),
        (12, 12, "requests", "12"),
        (None, None, "ms", "–"),
    ],
)
def test_a_spread_says_its_unit_once(low, high, unit, expected):
    assert text.spread(low, high, unit) == nb(expected)


@pytest.mark.parametrize(
    ("probability", "expected"),
    [(0.0, "under 1~%"), (0.0099, "under 1~%"), (0.01, "1~%"), (0.734, "73~%"), (0.99, "99~%"), (1.0, "over 99~%")],
)
def test_a_chance_is_never_nought_nor_certain(probability, expected):
    assert text.chance(probability) == nb(expected)


@given(
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["ms", "s", "bytes", "share", "USD", "requests", ""]),
)
def test_every_finite_number_can_be_said(value, unit):
    for said in (text.amount(value, unit), text.exactly(value, unit), text.spread(value, value, unit)):
        assert said
        assert " " not in said


# Times


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        (datetime(2026, 11, 24, 14), "today 14:00"),
        (datetime(2026, 11, 25, 9), "tomorrow 09:00"),
        (datetime(2026, 11, 23, 9), "yesterday 09:00"),
        (datetime(2026, 11, 26, 13), "Thu 26 Nov 13:00"),
        (datetime(2026, 11, 17, 13), "Tue 17 Nov 13:00"),
        (datetime(2026, 11, 3, 13), "3 Nov 13:00"),
        (datetime(2025, 11, 3, 13), "3 Nov 2025 13:00"),
    ],
)
def test_a_time_is_said_from_now(time, expected):
    assert text.when(time, terms()) == expected


def test_today_is_that_of_the_reader():
    late = datetime(2026, 11, 24, 23, 30)  # in Berlin it is tomorrow already

    assert text.when(late, terms(zone="UTC")) == "today 23:30"
    assert text.when(late, terms(zone="Europe/Berlin")) == "tomorrow 00:30"


def test_the_hour_that_comes_twice_says_its_offset_the_second_time():
    berlin = text.zone("Europe/Berlin")

    assert text.clock(datetime(2026, 10, 25, 0), berlin) == "02:00"
    assert text.clock(datetime(2026, 10, 25, 1), berlin) == nb("02:00~+01")
    assert text.clock(datetime(2026, 10, 25, 2), berlin) == "03:00"
    assert text.clock(datetime(2026, 3, 29, 0), berlin) == "01:00"
    assert text.clock(datetime(2026, 3, 29, 1), berlin) == "03:00"


def test_days_are_utc_whatever_the_zone_of_the_reader():
    tokyo = terms(zone="Asia/Tokyo", granularity="daily")

    assert text.when(datetime(2026, 11, 24), tokyo, granularity="daily") == "today"
    assert text.when(datetime(2026, 11, 27), tokyo, granularity="daily") == "Fri 27 Nov"


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("UTC", "UTC"),
        ("Europe/Berlin", "Berlin"),
        ("America/Argentina/Buenos_Aires", "Buenos Aires"),
        ("Etc/GMT+3", "UTC−03"),
        ("Not/AZone", "UTC"),
        ("../etc/passwd", "UTC"),
        (None, "UTC"),
    ],
)
def test_a_zone_is_named_by_its_city(key, expected):
    assert text.zone_name(text.zone(key), NOW) == expected


@pytest.mark.parametrize(
    ("ago", "expected"),
    [
        (timedelta(seconds=14), "14~s ago"),
        (timedelta(minutes=2, seconds=30), "2~min ago"),
        (timedelta(hours=5, minutes=59), "5~h ago"),
        (timedelta(hours=6), "today 15:18 UTC"),
        (timedelta(seconds=-3), "0~s ago"),
    ],
)
def test_an_age_becomes_a_time_after_six_hours(ago, expected):
    assert text.age(NOW - ago, terms()) == nb(expected)


# Untrusted text


@pytest.mark.parametrize(
    "given_text",
    [
        "![x](http://127.0.0.1:1/)",
        ":material/home: :material_home: :smile: :streamlit:",
        ":red[x] :blue-background[y] :small[z]",
        "$a^2$ and `code` **b** _i_ <b>bold</b> &amp; ~~s~~",
        "www.example.com a@b.co https://example.com",
        "# head",
        "1. one | two -> three",
    ],
)
def test_untrusted_text_keeps_its_characters_and_loses_their_power(given_text):
    escaped = text.safe(given_text)

    assert re.sub(r"\\(.)", r"\1", escaped).replace(JOINER, "") == given_text
    assert not re.search(r"[!-/:-@\[-`{-~]", re.sub(r"\\.", "", escaped))
    seen = re.sub(r"\\(.)", r"\1", escaped)  # what is searched for addresses and shortcodes once it is parsed
    assert not re.search(r"https?://|www\.|:material_\w+:|:[\w+-]+:|\w@\w|(^|\s)->(\s|$)", seen)


def test_untrusted_text_stays_on_one_line_and_runs_in_one_direction():
    assert text.safe("a\n\n# b\r\n\tc\u202ed\x00") == r"a \# b c d"


@given(st.text())
def test_every_text_can_be_made_safe(anything):
    escaped = text.safe(anything)

    assert not re.search(r"[!-/:-@\[-`{-~]", re.sub(r"\\.", "", escaped))
    assert "\n" not in escaped


# What is measured


@pytest.mark.parametrize(
    ("asked", "name", "unit"),
    [
        ({}, "Mean latency", "ms"),
        ({"stat": "p95", "measure": "duration_ms"}, "p95 duration", "ms"),
        ({"stat": "count"}, "Requests per hour", "requests"),
        ({"stat": "volume", "granularity": "daily"}, "Volume per day", "bytes"),
        ({"stat": "error_rate"}, "Share failed", "share"),
        ({"measure": "rows"}, "Mean of rows", ""),
    ],
)
def test_terms_say_what_is_measured_and_in_which_unit(asked, name, unit):
    assert (terms(**asked).name, terms(**asked).unit) == (name, unit)


def test_the_horizon_ends_with_the_last_bucket_ahead():
    assert terms().until == datetime(2026, 11, 25, 21)
    assert terms(granularity="daily").until == datetime(2026, 12, 1)


# The sentence of each state

WINDOW = {
    "earliest": datetime(2026, 11, 25, 10),
    "median": datetime(2026, 11, 25, 15),
    "latest": datetime(2026, 11, 25, 18),
}
GREY = "Mean latency of all services. Not measured yet."


@pytest.mark.parametrize(
    ("probability", "title", "ink"),
    [
        (
            0.96,
            "Expected to cross 150~ms by tomorrow 21:00: 96~% likely",
            "First between **tomorrow 10:00** and **18:00** UTC.",
        ),
        (
            0.995,
            "Expected to cross 150~ms by tomorrow 21:00: over 99~% likely",
            "First between **tomorrow 10:00** and **18:00** UTC.",
        ),
        (
            0.734,
            "73~% likely to cross 150~ms by tomorrow 21:00",
            "If it does, first between **tomorrow 10:00** and **18:00** UTC.",
        ),
        (
            0.31,
            "May cross 150~ms by tomorrow 21:00: 31~% likely",
            "If it does, first between **tomorrow 10:00** and **18:00** UTC.",
        ),
    ],
)
def test_the_title_says_how_likely_and_the_line_says_when(probability, title, ink):
    said = sentences.will_cross(terms(), Crossing(probability, **WINDOW), GREY)

    assert said == Sentence(nb(title), nb(ink), GREY)
    assert said.line == f"{nb(ink)} :gray[{GREY}]"


@pytest.mark.parametrize(("probability", "begin"), [(0.896, "Expected"), (0.894, nb("89~%")), (0.494, "May")])
def test_the_words_follow_the_percentage_that_is_shown(probability, begin):
    title = sentences.will_cross(terms(), Crossing(probability, **WINDOW)).title

    assert title.startswith(begin)


def test_times_of_the_sentence_are_in_the_zone_of_the_reader_across_a_clock_change():
    berlin = terms(datetime(2026, 10, 24, 21, 18), "Europe/Berlin")
    crossing = Crossing(0.73, datetime(2026, 10, 25, 0), datetime(2026, 10, 25, 1), datetime(2026, 10, 25, 1))

    said = sentences.will_cross(berlin, crossing)

    assert said.title == nb("73~% likely to cross 150~ms by tomorrow 22:00")
    assert said.ink == nb("If it does, first between **tomorrow 02:00** and **02:00~+01** Berlin.")


def test_a_window_over_days_names_both_days():
    crossing = Crossing(0.6, WINDOW["earliest"], WINDOW["median"], datetime(2026, 11, 26, 3))

    ink = sentences.will_cross(terms(horizon=48), crossing).ink

    assert ink == "If it does, first between **tomorrow 10:00** and **Thu 26 Nov 03:00** UTC."


def test_days_are_said_without_hours_and_the_last_one_is_included():
    daily = terms(granularity="daily", zone="Europe/Berlin")
    crossing = Crossing(0.4, datetime(2026, 11, 26), datetime(2026, 11, 28), datetime(2026, 11, 30))

    said = sentences.will_cross(daily, crossing)

    assert said.title == nb("May cross 150~ms by Mon 30 Nov: 40~% likely")
    assert said.ink == "If it does, first between **Thu 26 Nov** and **Mon 30 Nov** UTC."


@pytest.mark.parametrize(
    ("asked", "threshold", "line"),
    [
        ({}, 149.5, "149.5~ms"),
        ({"stat": "error_rate"}, 0.05, "5~%~failed"),
        ({"stat": "count"}, 60.0, "60~requests"),
        ({"stat": "volume"}, 42_600.0, "42.6~kB"),
        ({"measure": "price_usd"}, 75_000.0, "75,000~USD"),
        ({"measure": "rows"}, 0.25, "0.25"),
    ],
)
def test_the_threshold_is_in_the_unit_of_what_is_measured(asked, threshold, line):
    title = sentences.will_cross(terms(threshold=threshold, **asked), Crossing(0.6, **WINDOW)).title

    assert title == nb(f"60~% likely to cross {line} by tomorrow 21:00")


def test_not_expected_says_the_highest_hour():
    ahead = forecast((datetime(2026, 11, 25, 14), 118.0, 0.02), (datetime(2026, 11, 25, 15), 121.3, 0.03))

    said = sentences.not_expected(terms(), 0.04, ahead)

    assert said.title == nb("Not expected to cross 150~ms by tomorrow 21:00")
    assert said.ink == nb("4~% likely. The highest hour: 121~ms, tomorrow 15:00 UTC.")


def test_not_expected_without_a_forecast_says_only_that():
    assert sentences.not_expected(terms(), 0.001, forecast()).ink == nb("Under 1~% likely.")


def answer(
    ready: Ready,
    crossing: Crossing,
    past: pd.DataFrame,
    ahead: pd.DataFrame,
    first: datetime = NOW - timedelta(minutes=5),
    **asked,
) -> Sentence:
    return sentences.answer(terms(**asked), ready, crossing, past, ahead, value="latency_avg", first=first)


AHEAD = forecast((datetime(2026, 11, 24, 21), 170.0, 0.8), (datetime(2026, 11, 25, 2), 112.0, 0.4))


def test_a_threshold_passed_in_the_last_complete_hour_says_since_when_and_until_when():
    said = answer(Ready(), Crossing(0.99, **WINDOW), history(200, 90, 160, 170, 180, running=50), AHEAD)

    assert said.title == nb("Above 150~ms since today~18:00")
    assert said.ink == "Stays above until **tomorrow 02:00** UTC in the middle case."


def test_above_without_an_end_in_sight_says_so():
    said = answer(Ready(), Crossing(0.99, **WINDOW), history(160, 170), AHEAD.head(1))

    assert said.ink == "Stays above beyond **tomorrow 21:00** UTC in the middle case."


def test_a_running_hour_above_the_threshold_is_not_yet_above():
    said = answer(Ready(), Crossing(0.73, **WINDOW), history(100, 120, running=400), AHEAD)

    assert said.title == nb("73~% likely to cross 150~ms by tomorrow 21:00")


@pytest.mark.parametrize(
    ("ready", "title", "ink"),
    [
        pytest.param(
            Ready(observed_hours=31, stage="point", ready_at=datetime(2026, 11, 25, 14)),
            "About 112~ms by tomorrow 21:00, provisional",
            "31 hours of history: a middle value, no interval yet. Chances come **tomorrow 14:00** UTC.",
            id="a day",
        ),
        pytest.param(
            Ready(observed_hours=75, stage="short"),
            "Not expected to cross 150~ms by tomorrow 21:00",
            "4~% likely. The highest hour: 170~ms, today 21:00 UTC. Short history, no weekly cycle yet: 3 days of 7.",
            id="three days",
        ),
        pytest.param(
            Ready(observed_hours=0, stage="none", ready_at=datetime(2026, 11, 25, 22)),
            "No forecast yet: 24 full hours needed, 5 minutes are here",
            "The first forecast comes **tomorrow 22:00** UTC. Until then: every trace as a dot.",
            id="minutes",
        ),
        pytest.param(
            Ready(observed_hours=1, stage="none", ready_at=datetime(2026, 11, 25, 22)),
            "No forecast yet: 24 full hours needed, 5 minutes are here",
            "The first forecast comes **tomorrow 22:00** UTC. Until then: every trace as a dot.",
            id="minutes across a full hour",
        ),
        pytest.param(
            Ready(observed_hours=31, stage="point"),
            "About 112~ms by tomorrow 21:00, provisional",
            "31 hours of history: a middle value, no interval yet. Chances need 48.",
            id="a day that does not grow",
        ),
        pytest.param(
            Ready(stopped_since=datetime(2026, 11, 24, 15, 12)),
            "No traces since today~15:12",
            "The forecast below starts from there. Is the service up? Sources shows what arrives.",
            id="stopped",
        ),
        pytest.param(
            Ready(observed_hours=5, stage="none", stopped_since=datetime(2026, 11, 24, 15, 12)),
            "No traces since today~15:12",
            "A forecast needs 24 full hours, 5 hours came before. Is the service up? Sources shows what arrives.",
            id="stopped early",
        ),
        pytest.param(
            Ready(intermittent=True),
            "Most hours have no requests: shares only",
            "The hour with the highest chance: **today 21:00 UTC**, 80~% likely to be above 150~ms.",
            id="mostly zero",
        ),
    ],
)
def test_each_state_of_the_history_has_its_sentence(ready, title, ink):
    said = answer(ready, Crossing(0.04), history(100, 110), AHEAD)

    assert (said.title, said.ink) == (nb(title), nb(ink))


@pytest.mark.parametrize(
    ("ago", "hours", "here"),
    [
        pytest.param(timedelta(seconds=40), 0, "under a minute is here", id="seconds"),
        pytest.param(timedelta(seconds=40), 1, "under a minute is here", id="seconds across a full hour"),
        pytest.param(timedelta(minutes=1), 0, "1 minute is here", id="a minute"),
        pytest.param(timedelta(hours=3), 1, "1 hour is here", id="an hour of three"),
        pytest.param(timedelta(hours=8), 7, "7 hours are here", id="hours"),
    ],
)
def test_what_is_here_is_said_in_minutes_before_it_is_hours(ago, hours, here):
    said = answer(Ready(observed_hours=hours, stage="none"), Crossing(), history(100), AHEAD, first=NOW - ago)

    assert said.title == f"No forecast yet: 24 full hours needed, {here}"
    assert said.ink == f"It comes when {24 - hours} more hours have traces."


def test_a_title_about_a_horizon_that_is_over_begins_with_when_it_was_said():
    said = answer(Ready(), Crossing(0.73, **WINDOW), history(100), AHEAD, end=datetime(2026, 11, 22, 9))

    assert said.title == nb("Said Sun 22 Nov 09:00: 73~% likely to cross 150~ms by yesterday 09:00")


def test_shares_that_are_mostly_nought_are_of_failures():
    said = answer(Ready(intermittent=True), Crossing(), history(0, 0), AHEAD, stat="error_rate")

    assert said.title == "Most hours have no failures: shares only"


def test_from_a_week_to_two_the_small_print_says_that_the_weekly_cycle_is_missing():
    said = answer(Ready(observed_hours=220, stage="no_week"), Crossing(0.04), history(100), AHEAD)

    assert said.grey == "No weekly cycle yet: 9 days of 14."


@pytest.mark.parametrize(
    ("stage", "horizon", "provisional"),
    [("short", 7, True), ("no_week", 7, True), ("no_week", 1, False), ("full", 7, False)],
)
def test_before_two_weeks_of_history_days_after_the_first_are_provisional(stage, horizon, provisional):
    ready = Ready(observed_hours=220, stage=stage)
    said = answer(ready, Crossing(0.04), history(100), AHEAD, granularity="daily", horizon=horizon)

    assert ("Days after the first are provisional" in said.ink) == provisional


def test_the_small_print_says_what_is_measured_and_how_often_the_interval_held():
    assert sentences.small_print(terms()) == "Mean latency of all services. Not measured yet."
    assert sentences.small_print(terms(), "a_b", held=0.934, days=14, n=336) == nb(
        r"Mean latency of a\_b. The 95~% interval held 93~% of the last 14 days (n~=~336)."
    )


def test_one_day_is_said_as_one():
    assert "of the last day (n" in sentences.small_print(terms(), held=1.0, days=1, n=24)


@pytest.mark.parametrize(
    ("granularity", "advantage", "expected"),
    [
        ("hourly", -0.081, "Repeating yesterday was better over the last 14 days: 8~% less error."),
        ("daily", -0.5, "Repeating last week was better over the last 14 days: 50~% less error."),
        ("hourly", -0.004, ""),
        ("hourly", 0.2, ""),
        ("hourly", None, ""),
    ],
)
def test_where_repeating_was_better_it_is_said(granularity, advantage, expected):
    assert sentences.repeating_was_better(terms(granularity=granularity), advantage) == nb(expected)


def test_what_was_said_in_the_past_says_when():
    grey = sentences.small_print(terms(end=datetime(2026, 11, 22, 9)))

    assert grey == "Mean latency of all services. As said Sun 22 Nov 09:00 UTC. Not measured yet."


@pytest.mark.parametrize(
    ("start", "end", "title", "ink"),
    [
        (
            datetime(2026, 11, 3),
            datetime(2026, 11, 5),
            "Nothing between 3 and 5 Nov",
            "The source has traces from 12 Nov on.",
        ),
        (
            datetime(2026, 10, 30),
            datetime(2026, 11, 5),
            "Nothing between 30 Oct and 5 Nov",
            "The source has traces from 12 Nov on.",
        ),
        (
            datetime(2025, 12, 30),
            datetime(2026, 1, 2),
            "Nothing between 30 Dec 2025 and 2 Jan",
            "The source has traces from 12 Nov on.",
        ),
        (
            datetime(2025, 3, 3),
            datetime(2025, 3, 5),
            "Nothing between 3 and 5 Mar 2025",
            "The source has traces from 12 Nov on.",
        ),
        (
            datetime(2026, 11, 24, 19),
            datetime(2026, 11, 24, 21),
            "Nothing between today 19:00 and 21:00 UTC",
            "The source's last trace is of today 14:30 UTC.",
        ),
    ],
)
def test_an_empty_range_says_where_there_is_something(start, end, title, ink):
    oldest, newest = datetime(2026, 11, 12), datetime(2026, 11, 24, 14, 30)

    assert sentences.nothing_in_range(start, end, oldest, newest, terms()) == Sentence(title, ink)


def test_a_source_without_spans_says_what_to_do():
    assert sentences.no_spans("otlp").title == "No spans yet from OpenTelemetry"
    assert sentences.no_spans("file:a_b") == Sentence(
        r"No spans yet from file\:a\_b", "Import a file under this name on the page Sources."
    )
    assert "comes back with the next start" in sentences.no_spans("sample").ink


def test_the_group_that_crosses_first_is_named_as_text():
    assert sentences.first_group(terms(), "![x](y)", Crossing(0.81)) == nb(
        r"\!\[x\]\(y\) will cross first: 81~% by tomorrow 21:00"
    )


def test_where_the_likeliest_group_is_not_expected_to_cross_none_is_named():
    assert sentences.first_group(terms(), "a", Crossing(0.04)) == nb(
        "No group is expected to cross 150~ms by tomorrow 21:00"
    )


@pytest.mark.parametrize(
    ("value", "expected", "said"),
    [
        (104.0, 100.0, "4~% higher"),
        (98.0, 100.0, "2~% lower"),
        (100.4, 100.0, "as usual"),
        (0.0, 0.0, "as usual"),
        (3.0, 0.0, "usually none"),
        (None, 3.0, ""),
        (3.0, float("nan"), ""),
    ],
)
def test_a_number_is_compared_to_what_is_usual(value, expected, said):
    assert sentences.usual(value, expected) == nb(said)


def test_a_share_is_compared_by_saying_the_usual_share():
    assert sentences.usual(0.667, 0.333, "share") == nb("usually 33.3~%")
    assert sentences.usual(0.02, 0.0200001, "share") == "as usual"


def test_the_titles_of_the_other_pages():
    assert sentences.price(74_060, 77_146) == nb("Bitcoin at 74,060~USD, down 4.0~% in 24 hours")
    assert sentences.price(74_060, None) == nb("Bitcoin at 74,060~USD")
    assert sentences.correlation(0.04, "14 days") == (
        "Latency does not follow the price: correlation 0.04 over 14 days."
    )
    assert sentences.correlation(-0.61, "14 days") == (
        "Latency runs against the price: correlation −0.61 over 14 days."
    )
    assert sentences.ahead_and_behind(1, 2, sentences.the_last("14d")) == "1 ahead, 2 in the last 14 days"
    assert sentences.ahead_and_behind(0, 0, sentences.the_last("1h")) == (
        "Nothing unusual in the last hour, nothing predicted"
    )
    assert sentences.received(2, 0, 0) == "2 sources, all traces received are stored"
    assert sentences.received(2, 12, 0) == "12 refused, 0 dropped; reasons below"
    assert (
        sentences.ignored(["threshold=abc can't be used."]) == r"Ignored in the link: threshold\=abc can\'t be used\."
    )


def test_a_crossing_is_read_from_the_row_of_its_table():
    row = pd.Series({"probability": 0.2, "earliest": pd.NaT, "median": None, "latest": pd.Timestamp(NOW)})

    assert Crossing.read(row) == Crossing(0.2, None, None, NOW)


def test_a_crossing_that_is_not_expected_has_no_hours():
    assert Crossing.read(pd.Series({"probability": 0.094, **WINDOW})) == Crossing(0.094)
    assert Crossing.read(pd.Series({"probability": 0.096, **WINDOW})) == Crossing(0.096, **WINDOW)
