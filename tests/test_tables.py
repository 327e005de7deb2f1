"""Tables hold numbers as numbers, with units in their heads, in an order that carries the row on a phone."""

from datetime import datetime

import pandas as pd
import pytest

from core.question import Question
from core.view import tables, text
from core.view.text import NBSP

NOW = datetime(2026, 11, 24, 21, 18)


def terms(zone="UTC", threshold=150.0, now=NOW, **asked):
    return text.terms(Question(**asked), threshold, now, now, text.zone(zone))


def moments(*times):
    return pd.Series(list(times)).astype("datetime64[us]")


def forecast(*times):
    return pd.DataFrame(
        {
            "ds": moments(*times),
            "yhat": [100.0] * len(times),
            "yhat_lower": [90.0] * len(times),
            "yhat_upper": [float("nan")] * len(times),
            "p_above": [0.25] * len(times),
        }
    )


def anomalies():
    return pd.DataFrame(
        {
            "kind": ["observed_threshold", "predicted", "observed_unusual"],
            "start": moments(datetime(2026, 11, 12, 9), datetime(2026, 11, 25, 10), datetime(2026, 11, 24, 14)),
            "end": moments(datetime(2026, 11, 12, 10), datetime(2026, 11, 25, 18), datetime(2026, 11, 24, 17)),
            "value": [160.0, 143.0, 142.0],
            "expected": [None, None, 120.0],
            "lower": [None, None, 108.0],
            "upper": [None, None, 131.0],
            "threshold": [150.0] * 3,
            "probability": [None, 0.6, None],
        }
    )


def heads(table):
    return [each if isinstance(each, str) else each["label"] for each in table.columns.values()]


def test_hour_by_hour_names_the_zone_and_the_unit_in_its_heads():
    table = tables.ahead(terms("Europe/Berlin"), forecast(datetime(2026, 11, 24, 21)))

    assert heads(table) == [
        "Hour (Berlin)",
        "Forecast (ms)",
        f"Low, 95{NBSP}% (ms)",
        f"High, 95{NBSP}% (ms)",
        f"Chance above 150{NBSP}ms",
    ]
    assert table.frame["bucket"].iloc[0] == pd.Timestamp("2026-11-24 21:00", tz="UTC")
    assert table.frame["chance"].to_list() == [25.0]
    assert pd.isna(table.frame["high"].iloc[0])


def test_hours_say_their_offset_where_one_comes_twice():
    night = forecast(datetime(2026, 10, 25, 0), datetime(2026, 10, 25, 1))
    twice = tables.ahead(terms("Europe/Berlin"), night).columns["bucket"]["type_config"]
    once = tables.ahead(terms("UTC"), night).columns["bucket"]["type_config"]

    assert (twice["format"], twice["timezone"]) == ("ddd D MMM, HH:mm Z", "Europe/Berlin")
    assert (once["format"], once["timezone"]) == ("ddd D MMM, HH:mm", "UTC")


@pytest.mark.parametrize(
    ("asked", "factor", "head"),
    [
        ({}, 1, "Forecast (ms)"),
        ({"stat": "error_rate"}, 100, "Forecast"),
        ({"stat": "volume"}, 0.001, "Forecast (kB)"),
        ({"stat": "count"}, 1, "Forecast"),
        ({"measure": "price_usd"}, 1, "Forecast (USD)"),
    ],
)
def test_values_are_scaled_to_the_unit_of_their_head(asked, factor, head):
    table = tables.ahead(terms(**asked), forecast(datetime(2026, 11, 24, 21)))

    assert heads(table)[1] == head
    assert table.frame["middle"].to_list() == [pytest.approx(100 * factor)]


def test_anomalies_are_listed_newest_first():
    frame = tables.found(terms(), anomalies()).frame

    assert frame["what"].to_list() == [f"Predicted to cross 150{NBSP}ms", "Unusual", f"Above 150{NBSP}ms"]
    assert frame["when"].to_list() == [
        "tomorrow 10:00 to 18:00",
        "today 14:00 to 17:00",
        "12 Nov 09:00 to 10:00",
    ]
    assert frame["expected"].to_list() == ["–", f"108 to 131{NBSP}ms", "–"]
    assert frame["lasted"].to_list() == [f"8{NBSP}h", f"3{NBSP}h", f"1{NBSP}h"]
    assert frame["off"].to_list() == ["–", f"22.0{NBSP}ms above", "–"]


def test_what_is_predicted_is_looked_at_first_and_five_are_enough():
    many = pd.concat([anomalies()] * 3, ignore_index=True)

    frame = tables.look_at_first(terms(), many).frame

    assert len(frame) == 5
    assert frame["much"].iloc[0] == f"143{NBSP}ms in the middle case, 60{NBSP}% likely"
    assert frame["much"].iloc[3] == f"142{NBSP}ms, expected 108 to 131{NBSP}ms"


def test_a_run_of_days_includes_its_last_day():
    daily = terms(granularity="daily")
    start = pd.Timestamp("2026-11-26")

    assert tables.during(start, pd.Timestamp("2026-11-29"), daily) == "Thu 26 Nov to Sat 28 Nov"
    assert tables.during(start, pd.Timestamp("2026-11-27"), daily) == "Thu 26 Nov"


def test_shares_failed_by_flag_are_per_cent():
    groups = pd.DataFrame(
        {"group": ["low"], "request_count": [2034], "avg": [91.2], "p95": [151.0], "error_rate": [0.006]}
    )

    table = tables.by_flag(groups, "ms")

    assert heads(table) == ["Flag", "Traces", "Mean (ms)", "p95 (ms)", "Failed"]
    assert table.frame["failed"].to_list() == [pytest.approx(0.6)]


def test_every_table_can_be_made_of_nothing():
    none = anomalies().head(0)
    sources = pd.DataFrame({"source": [], "rows": [], "oldest": moments(), "newest": moments()})
    reasons = pd.DataFrame({"source": [], "outcome": [], "reason": [], "n": [], "message": []})
    groups = pd.DataFrame({"group": [], "request_count": [], "avg": [], "p95": [], "error_rate": []})
    made = [
        tables.ahead(terms(), forecast()),
        tables.found(terms(), none),
        tables.look_at_first(terms(), none),
        tables.sources(sources, terms()),
        tables.refused(reasons),
        tables.by_flag(groups, "ms"),
    ]

    assert [len(table.frame) for table in made] == [0] * 6
    assert all(table.alt for table in made)


def test_a_long_text_leaves_room_for_what_stands_beside_it():
    frame = pd.DataFrame({"key": ["flag"], "value": ["x" * 10_000], "n": [1], "message": ["y" * 200]})

    shown = tables.narrowed(frame, {"key": "What", "value": "Is", "n": "Records", "message": "The last one"})

    assert (shown["value"]["label"], shown["value"]["width"]) == ("Is", tables.LONG_PX)
    assert (shown["key"], shown["n"], shown["message"]) == ("What", "Records", "The last one")
