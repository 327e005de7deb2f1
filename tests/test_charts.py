"""Charts hold what they promise: the right part of time, values and words, for small and for empty frames."""

import json
import re
import tomllib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import altair as alt
import pandas as pd
import pytest

from core.question import Question, Window
from core.view import axis, captions, charts, layers, text, time_axis, vega
from core.view.sentences import Crossing
from core.view.text import NBSP

NOW = datetime(2026, 11, 24, 21, 18)
HOUR = timedelta(hours=1)
WINDOW = Window(datetime(2026, 11, 23), NOW)
CROSSING = Crossing(0.73, datetime(2026, 11, 25, 10), datetime(2026, 11, 25, 15), datetime(2026, 11, 25, 18))
BERLIN = text.zone("Europe/Berlin")


def terms(zone="UTC", threshold=150.0, end=NOW, **asked):
    return text.terms(Question(**asked), threshold, NOW, end, text.zone(zone))


def moments(times):
    return pd.Series(list(times)).astype("datetime64[us]")


def history(values, *, running=80.0):
    """Hours up to now; the last one still runs."""
    last = NOW.replace(minute=0)
    return pd.DataFrame(
        {
            "bucket": moments(last - (len(values) - index) * HOUR for index in range(len(values) + 1)),
            "complete": [True] * len(values) + [False],
            "latency_avg": pd.Series([*values, running]).astype(float),
        }
    )


def forecast(hours=24, *, interval=True):
    ahead = range(hours)
    bound = float("nan")
    return pd.DataFrame(
        {
            "ds": moments(NOW.replace(minute=0) + index * HOUR for index in ahead),
            "yhat": [100.0 + index for index in ahead],
            "yhat_lower": [90.0 if interval else bound for index in ahead],
            "yhat_upper": [160.0 if interval else bound for index in ahead],
            "p_above": [0.02 * index if interval else bound for index in ahead],
        }
    )


def anomalies(*rows):
    names = ["kind", "start", "end", "value", "expected", "lower", "upper", "threshold", "probability"]
    found = pd.DataFrame(rows, columns=names)
    return found.assign(start=moments(found["start"]), end=moments(found["end"]))


def prices(*rows):
    return pd.DataFrame({"time": moments(time for time, _ in rows), "price_usd": [price for _, price in rows]})


NO_FLAGS = pd.DataFrame({"timestamp": moments([]), "price_usd": [], "flag": []})
DAYS = history([60.0 + index % 24 for index in range(24 * 14)])
UNUSUAL = anomalies(
    ("predicted", datetime(2026, 11, 25, 13), datetime(2026, 11, 25, 18), 143.0, None, None, None, 150.0, 0.6),
    ("observed_unusual", datetime(2026, 11, 24, 9), datetime(2026, 11, 24, 12), 74.0, 60.0, 50.0, 70.0, 150.0, None),
)
NOTHING_FOUND = anomalies()


def records(*rows):
    """Rows of seconds ago, latency, failed."""
    return pd.DataFrame(
        {
            "trace_id": [f"{ago:032x}" for ago, _, _ in rows],
            "timestamp": moments(NOW - timedelta(seconds=ago) for ago, _, _ in rows),
            "latency_ms": pd.Series([latency for _, latency, _ in rows], dtype="float64"),
            "failed": pd.Series([failed for *_, failed in rows], dtype="bool"),
            "service": ["shop" for _ in rows],
        }
    )


# Reading a chart


def read(chart):
    """The chart with its rows as dictionaries, times as text, nulls as None."""
    rows = {name: table.to_pylist() for name, table in chart["datasets"].items()}
    return {**chart, "datasets": {name: [_plain(row) for row in each] for name, each in rows.items()}}


def _plain(row):
    nulls = {key: None if pd.isna(cell) else cell for key, cell in row.items()}
    return {key: cell.isoformat() if isinstance(cell, datetime) else cell for key, cell in nulls.items()}


def data(spec, layer):
    return spec["datasets"][layer["data"]["name"]]


def of_mark(spec, mark):
    return [layer for layer in spec["layer"] if layer["mark"]["type"] == mark]


def of_meaning(spec, mark, meaning):
    return [layer for layer in of_mark(spec, mark) if layer["encoding"].get("color", {}).get("datum") == meaning]


def words(spec):
    """All that a chart writes, without its tick labels and the halo behind words."""
    said = []
    for layer in of_mark(spec, "text"):
        text = layer["encoding"]["text"]
        if "stroke" in layer["mark"]:
            continue
        if "field" in text:
            said += [row[text["field"]] for row in data(spec, layer)]
        elif isinstance(text["value"], dict):
            said += [row[name] for row in data(spec, layer) for name in ("short", "long")]
        else:
            said.append(text["value"])
    return said


def cells(spec):
    """What is said under the pointer, in order of time: label to text."""
    said = []
    for layer in of_mark(spec, "rect"):
        if layer["name"] == "cells":
            labels = {
                field: label
                for label, field in re.findall(r'\{"([^"]+)": datum\.(\w+)\}', layer["mark"]["tooltip"]["expr"])
            }
            said += [
                (row["t"], {label: row[field] for field, label in labels.items() if row[field]})
                for row in data(spec, layer)
            ]
    return [says for _, says in sorted(said, key=lambda each: each[0])]


def domain(spec):
    """From when to when a chart shows, naive UTC."""
    ends = spec["layer"][0]["encoding"]["x"]["scale"]["domain"]
    assert all(end["utc"] for end in ends)
    return tuple(datetime(end["year"], end["month"], end["date"], end["hours"], end["minutes"]) for end in ends)


def top(spec):
    return spec["layer"][0]["encoding"]["y"]["scale"]["domain"][1]


def y_labels(spec):
    expression = spec["layer"][0]["encoding"]["y"]["axis"]["labelExpr"]
    return list(json.loads(expression[1 : expression.index("}") + 1]).values())


# The time axis


def labels(start, width, zone="UTC"):
    return [label for _, label in time_axis.ticks(Window(start, start + width), text.zone(zone))]


@pytest.mark.parametrize(
    ("width", "expected"),
    [
        (timedelta(minutes=10), ["09:00", "09:01", "09:02"]),
        (HOUR, ["09:00", "09:10", "09:20"]),
        (6 * HOUR, ["Tue 24 09:00", "10:00", "11:00"]),
        (24 * HOUR, ["Tue 24 09:00", "12:00", "15:00", "18:00", "21:00", "Wed 25 Nov"]),
        (72 * HOUR, ["Tue 24 12:00", "Wed 25 Nov", "12:00"]),
        (timedelta(days=14), ["Wed 25 Nov", "Thu 26", "Fri 27", "Sat 28", "Sun 29", "Mon 30", "Tue 1 Dec"]),
        (timedelta(days=30), ["Thu 26 Nov", "Sat 28", "Mon 30", "Wed 2 Dec"]),
        (timedelta(days=60), ["Mon 30 Nov", "Mon 7 Dec", "Mon 14"]),
        (timedelta(days=400), ["Dec 2026", "Jan 2027", "Feb"]),
        (timedelta(days=4000), ["2027", "2028", "2029"]),
    ],
)
def test_ticks_are_as_far_apart_as_the_width_allows(width, expected):
    assert labels(datetime(2026, 11, 24, 9), width)[: len(expected)] == expected


def test_ticks_stand_at_full_hours_and_midnights_of_the_reader():
    places = time_axis.ticks(Window(datetime(2026, 7, 1, 12), datetime(2026, 7, 4, 12)), text.zone("Asia/Kolkata"))

    assert places[0] == (datetime(2026, 7, 1, 18, 30), "Thu 2 Jul")
    assert places[1] == (datetime(2026, 7, 2, 6, 30), "12:00")


def test_where_the_clock_is_put_back_the_second_of_two_hours_says_its_offset():
    hours = labels(datetime(2026, 10, 24, 22), 6 * HOUR, "Europe/Berlin")

    assert hours == ["Sun 25 Oct", "01:00", "02:00", f"02:00{NBSP}+01", "03:00", "04:00", "05:00"]


def test_where_the_clock_is_put_forward_no_tick_stands_twice():
    places = time_axis.ticks(Window(datetime(2026, 3, 28, 23), datetime(2026, 3, 29, 3)), BERLIN)

    assert [label for _, label in places] == ["Sun 29 Mar", "01:00", "03:00", "04:00", "05:00"]
    assert len({place for place, _ in places}) == 5


def test_days_of_23_and_25_hours_each_have_their_tick_at_midnight():
    places = [place for place, _ in time_axis.ticks(Window(datetime(2026, 10, 20), datetime(2026, 10, 30)), BERLIN)]

    assert places[3:7] == [
        datetime(2026, 10, 23, 22),
        datetime(2026, 10, 24, 22),
        datetime(2026, 10, 25, 23),
        datetime(2026, 10, 26, 23),
    ]


def test_tick_labels_are_looked_up_by_the_instant():
    spec = read(charts.main(terms("Europe/Berlin"), DAYS, forecast(), CROSSING, value="latency_avg"))
    midnight = int(datetime(2026, 11, 23, 23, tzinfo=UTC).timestamp() * 1000)

    assert f'"{midnight}": "Tue 24 Nov"' in spec["layer"][0]["encoding"]["x"]["axis"]["labelExpr"]


def test_narrow_charts_name_days_before_hours():
    spec = read(charts.main(terms(), DAYS, forecast(), CROSSING, value="latency_avg"))

    narrow, wide = re.findall(r"\{.*?\}", spec["layer"][0]["encoding"]["x"]["axis"]["labelExpr"])
    assert list(json.loads(narrow).values()) == ["Mon 23 Nov", "Tue 24 Nov", "Wed 25 Nov"]
    assert list(json.loads(wide).values()) == ["Mon 23 Nov", "12:00", "Tue 24 Nov", "12:00", "Wed 25 Nov", "12:00"]


@pytest.mark.parametrize(
    ("start", "width", "expected"),
    [
        (datetime(2026, 11, 12), timedelta(days=14), ["Thu 12 Nov", "Sun 15", "Wed 18", "Sat 21", "Tue 24"]),
        (datetime(2026, 11, 24, 14), 24 * HOUR, ["18:00", "Wed 25 Nov", "06:00", "12:00"]),
        (datetime(2026, 11, 24, 13), 6 * HOUR, ["Tue 24 14:00", "16:00", "18:00"]),
        (datetime(2026, 3, 1), timedelta(days=400), ["Mar 2026", "Jun", "Sep", "Dec", "Mar 2027"]),
    ],
)
def test_where_there_is_little_room_labels_are_left_out_evenly_and_days_stay(start, width, expected):
    assert [label for _, label in time_axis.ticks(Window(start, start + width), text.zone("UTC"), 270)] == expected


# The value axis


@pytest.mark.parametrize(
    ("numbers", "unit", "expected"),
    [
        ([80, 184], "ms", ["0", "50", "100", "150", "200"]),
        ([800, 1800], "ms", ["0", "500", f"1{NBSP}s", f"1.5{NBSP}s"]),
        ([1e6, 7e6], "ms", ["0", *(f"{n}{NBSP}min" for n in (25, 50, 75, 100, 125))]),
        ([0.01, 0.055], "share", [f"0{NBSP}%", f"2{NBSP}%", f"4{NBSP}%", f"6{NBSP}%"]),
        ([20_000, 60_000], "bytes", [f"0{NBSP}kB", f"20{NBSP}kB", f"40{NBSP}kB", f"60{NBSP}kB"]),
        ([1, 2], "requests", ["0", "1", "2"]),
        ([1, 44], "requests", ["0", "10", "20", "30", "40"]),
        ([2_000_000, 9_000_000], "requests", ["0", f"2{NBSP}M", f"4{NBSP}M", f"6{NBSP}M", f"8{NBSP}M"]),
        ([0.1, 0.45], "", ["0", "0.1", "0.2", "0.3", "0.4"]),
        ([-5, 12], "", ["−5", "0", "5", "10"]),
    ],
)
def test_value_labels_are_round_and_say_their_unit(numbers, unit, expected):
    assert list(axis.values(numbers, unit, "x").labels.values()) == expected


@pytest.mark.parametrize("numbers", [[], [0.0], [0.0, 0.0], [float("nan")], [5.0], [1e-9, 2e-9], [1e12, 3e12], [-3.0]])
@pytest.mark.parametrize("zero", [True, False])
@pytest.mark.parametrize("unit", ["ms", "share", "requests"])
def test_any_numbers_give_an_axis_with_a_few_ticks(numbers, zero, unit):
    got = axis.values(numbers, unit, "x", threshold=0.05, zero=zero)

    assert got.low < got.high
    assert 1 <= len(got.labels) <= 7


def test_the_axis_leaves_room_for_the_thresholds_label():
    assert axis.values([100.0], "ms", "x", threshold=150.0).high == 200.0


def test_a_threshold_moved_a_little_changes_rows_and_not_the_specification():
    def drawn(threshold, crossing):
        chart = charts.main(terms(threshold=threshold), DAYS, forecast(), crossing, value="latency_avg")
        return chart.pop("datasets"), chart

    rows, chart = drawn(150.0, CROSSING)
    moved_rows, moved_chart = drawn(157.0, Crossing(0.1))

    assert moved_chart == chart
    assert moved_rows["threshold"].to_pylist() == [{"y": 157.0, "text": f"threshold 157{NBSP}ms"}]
    assert len(rows["crossing"]) == 1
    assert len(moved_rows["crossing"]) == 0


def test_a_threshold_far_above_does_not_stretch_the_axis():
    assert axis.values([100.0], "ms", "x", threshold=301.0).high < 130
    assert axis.values([100.0], "ms", "x", threshold=300.0).high >= 300


def test_prices_do_not_begin_at_nought():
    got = axis.values([74_000, 82_000], "USD", "Price", zero=False)

    assert got.low == pytest.approx(73_680)
    assert list(got.labels.values()) == ["74,000", "76,000", "78,000", "80,000", "82,000"]
    assert got.title == "Price (USD)"


# The main chart


def test_the_main_chart_shows_two_horizons_back_and_one_ahead():
    spec = read(charts.main(terms(), DAYS, forecast(), CROSSING, value="latency_avg"))

    assert domain(spec) == (datetime(2026, 11, 22, 21), datetime(2026, 11, 25, 21))
    assert spec["height"] == 300


def test_at_least_24_buckets_back_are_shown():
    window = charts.shown(terms(horizon=3), DAYS, forecast(3))

    assert window == Window(datetime(2026, 11, 23, 21), datetime(2026, 11, 25, 0))


def test_a_range_that_begins_later_is_shown_from_its_first_bucket():
    assert charts.shown(terms(), history([70.0] * 5), forecast()).start == datetime(2026, 11, 24, 16)


def test_the_forecast_begins_at_the_last_complete_bucket_without_width():
    spec = read(charts.main(terms(), DAYS, forecast(), CROSSING, value="latency_avg"))
    last = DAYS["latency_avg"].iloc[-2]

    (area,), (line,) = of_mark(spec, "area"), of_meaning(spec, "line", "forecast")
    assert data(spec, area)[0] == {
        "t": "2026-11-24T20:00:00+00:00",
        "yhat_lower": last,
        "yhat_upper": last,
    }
    assert len(data(spec, line)) == 25


def test_after_a_gap_the_forecast_stands_apart():
    stopped = history([70.0] * 30 + [None] * 8, running=None)

    spec = read(charts.main(terms(), stopped, forecast(), Crossing(0.2), value="latency_avg"))

    assert len(data(spec, of_meaning(spec, "line", "forecast")[0])) == 24


def test_gaps_stay_gaps_and_say_so():
    spec = read(charts.main(terms(), history([70.0, None, 72.0, 73.0]), forecast(), CROSSING, value="latency_avg"))

    line, _ = of_meaning(spec, "line", "history")
    assert [row["y"] for row in data(spec, line)] == [70.0, None, 72.0, 73.0]
    assert cells(spec)[1] == {"Time": "Tue 24 Nov 18:00 UTC", "Observed": "no traces"}


def test_a_bucket_alone_between_gaps_is_a_dot():
    spec = read(charts.main(terms(), history([70.0, None, 72.0, 73.0]), forecast(), CROSSING, value="latency_avg"))

    dots = of_meaning(spec, "point", "history")[0]
    assert [row["y"] for row in data(spec, dots)] == [70.0]


def test_the_running_bucket_is_dashed_to_a_hollow_dot():
    spec = read(charts.main(terms(), DAYS, forecast(), CROSSING, value="latency_avg"))

    dash = of_meaning(spec, "line", "history")[1]
    dot = of_meaning(spec, "point", "history")[1]
    assert dash["mark"]["strokeDash"] == [2, 3]
    assert [row["y"] for row in data(spec, dash)] == [DAYS["latency_avg"].iloc[-2], 80.0]
    assert dot["mark"]["filled"] is False
    assert [row["t"] for row in data(spec, dot)] == ["2026-11-24T21:00:00+00:00"]


def test_a_running_bucket_without_traces_is_not_drawn():
    quiet = history([70.0, 71.0], running=None)

    spec = read(charts.main(terms(), quiet, forecast(), CROSSING, value="latency_avg"))

    assert len(of_meaning(spec, "line", "history")) == 1


def test_the_crossing_is_a_band_with_its_middle_and_its_hours():
    spec = read(charts.main(terms(), DAYS, forecast(), CROSSING, value="latency_avg"))

    (band,), (rule,) = of_meaning(spec, "rect", "attention"), of_meaning(spec, "rule", "attention")
    ((row,), middle) = data(spec, band), rule["encoding"]["x"]["field"]
    assert (row["t"], row["end"]) == ("2026-11-25T10:00:00+00:00", "2026-11-25T18:00:00+00:00")
    assert row[middle] == "2026-11-25T15:00:00+00:00"
    assert any("first crossing 10:00 to 18:00" in word for word in words(spec))


@pytest.mark.parametrize(
    ("zone", "crossing", "expected"),
    [
        ("Europe/Berlin", CROSSING, ("first crossing 11:00 to 19:00",) * 2),
        (
            "UTC",
            CROSSING._replace(latest=datetime(2026, 11, 26, 3)),
            ("first crossing tomorrow 10:00 to Thu 26 Nov 03:00", "tomorrow 10:00 to Thu 26 Nov 03:00"),
        ),
        ("UTC", CROSSING._replace(latest=CROSSING.earliest), ("first crossing 10:00",) * 2),
        ("UTC", Crossing(0.2), ("", "")),
    ],
)
def test_the_hours_of_a_crossing_name_days_where_it_spans_some(zone, crossing, expected):
    assert layers.crossing_hours(terms(zone), crossing) == expected


def test_where_nothing_crosses_nothing_is_marked():
    spec = read(charts.main(terms(), DAYS, forecast(), Crossing(0.01), value="latency_avg"))

    assert [data(spec, band) for band in of_meaning(spec, "rect", "attention")] == [[]]


def test_the_threshold_is_a_dashed_line_with_its_label():
    spec = read(charts.main(terms(threshold=149.5), DAYS, forecast(), CROSSING, value="latency_avg"))

    (rule,) = of_meaning(spec, "rule", "threshold")
    assert data(spec, rule)[0]["y"] == 149.5
    assert rule["mark"]["strokeDash"] == [6, 4]
    assert f"threshold 149.5{NBSP}ms" in words(spec)


def test_a_threshold_out_of_sight_points_up():
    spec = read(charts.main(terms(threshold=1000.0), DAYS, forecast(), Crossing(0), value="latency_avg"))

    assert of_meaning(spec, "rule", "threshold") == []
    assert f"threshold 1,000{NBSP}ms ↑" in words(spec)
    assert top(spec) < 250


@pytest.mark.parametrize(("end", "said"), [(NOW, "now"), (datetime(2026, 11, 24, 15), "said here")])
def test_the_foot_of_the_rule_says_whether_it_is_now(end, said):
    spec = read(charts.main(terms(end=end), DAYS, forecast(), CROSSING, value="latency_avg"))

    assert said in words(spec)


def test_the_pointer_is_told_in_words():
    said = cells(read(charts.main(terms("Europe/Berlin"), DAYS, forecast(), CROSSING, value="latency_avg")))

    assert said[0] == {"Time": "Sun 22 Nov 22:00 Berlin", "Observed": f"60.0{NBSP}ms"}
    assert said[48] == {
        "Time": "Tue 24 Nov 22:00 Berlin",
        "So far": f"80.0{NBSP}ms",
        "Forecast": f"100{NBSP}ms",
        f"95{NBSP}% interval": f"90 to 160{NBSP}ms",
        "Chance above the threshold": f"under 1{NBSP}%",
    }
    assert len(said) == 72


def test_a_forecast_without_interval_is_a_line_alone():
    spec = read(charts.main(terms(), DAYS, forecast(interval=False), Crossing(), value="latency_avg"))

    assert data(spec, of_mark(spec, "area")[0]) == []
    assert len(data(spec, of_meaning(spec, "line", "forecast")[0])) == 25
    assert list(cells(spec)[-1]) == ["Time", "Forecast"]


def test_unusual_hours_are_ringed_at_their_worst():
    spec = read(charts.main(terms(), DAYS, forecast(), CROSSING, value="latency_avg", unusual=UNUSUAL))

    (rings,) = of_meaning(spec, "point", "attention")
    assert data(spec, rings) == [{"t": "2026-11-24T11:00:00+00:00", "y": 74.0}]
    assert rings["mark"]["filled"] is False


def test_colours_are_meanings_that_the_theme_fills_in():
    spec = read(charts.main(terms(), DAYS, forecast(), CROSSING, value="latency_avg", unusual=UNUSUAL))

    assert spec["layer"][0]["encoding"]["color"]["scale"] == {"domain": vega.MEANINGS}
    assert not re.search(r"#[0-9a-fA-F]{6}", json.dumps({**spec, "datasets": {}, "config": {}}))
    assert spec["config"]["aria"] is False


def test_both_themes_have_a_colour_for_each_meaning():
    theme = tomllib.loads((Path(__file__).parents[1] / ".streamlit" / "config.toml").read_text())["theme"]

    for mode in ("light", "dark"):
        assert len(set(theme[mode]["chartCategoricalColors"][: len(vega.MEANINGS)])) == len(vega.MEANINGS)


def test_the_same_frames_give_the_same_chart():
    def draw():
        return read(charts.main(terms(), DAYS, forecast(), CROSSING, value="latency_avg"))

    assert draw() == draw()


# The other charts


def test_the_strip_shows_the_whole_range_and_shades_what_the_main_chart_shows():
    strip = charts.strip(terms(), DAYS, forecast(), value="latency_avg", name="14d")
    assert strip is not None
    spec = read(strip)

    shade = of_meaning(spec, "rect", "forecast")[0]
    assert spec["height"] == 84
    assert domain(spec) == (datetime(2026, 11, 10, 21), datetime(2026, 11, 25, 21))
    assert data(spec, shade) == [{"t": "2026-11-22T21:00:00+00:00", "end": "2026-11-25T21:00:00+00:00"}]
    assert words(spec) == ["14d"]


def test_there_is_no_strip_where_the_main_chart_shows_the_whole_range():
    assert charts.strip(terms(), history([70.0] * 40), forecast(), value="latency_avg", name="24h") is None


def test_chances_are_bars_of_a_bucket_on_the_time_axis_of_the_main_chart():
    spec = read(charts.chances(terms(), DAYS, forecast()))

    (bars,) = of_meaning(spec, "rect", "attention")
    assert spec["height"] == 104
    assert domain(spec) == (datetime(2026, 11, 22, 21), datetime(2026, 11, 25, 21))
    assert data(spec, bars)[1] == {
        "t": "2026-11-24T22:00:00+00:00",
        "end": "2026-11-24T23:00:00+00:00",
        "p_above": 0.02,
    }
    assert words(spec) == ["Chance that the hour is above the threshold"]
    assert y_labels(spec) == [f"0{NBSP}%", f"50{NBSP}%", f"100{NBSP}%"]


def test_each_record_is_a_dot_and_failed_ones_are_named():
    seen = records((290, 449.0, False), (230, 175.0, True), (50, 176.0, False), (40, None, False))
    named = replace(terms(), name="Latency of each trace")

    spec = read(charts.dots(named, seen, Window(NOW - HOUR, NOW), value="latency_ms"))

    (triangle,) = of_meaning(spec, "point", "fault")
    dot = of_meaning(spec, "point", "history")[0]
    assert triangle["mark"]["shape"] == "triangle-up"
    assert [row["y"] for row in data(spec, triangle)] == [175.0]
    assert [row["y"] for row in data(spec, dot)] == [449.0, 176.0]
    assert dot["mark"]["size"] == 60
    assert data(spec, dot)[0]["time"] == "Tue 24 Nov 21:13:10 UTC"
    assert data(spec, dot)[0]["observed"] == f"449{NBSP}ms"
    assert sum(len(data(spec, word)) for word in of_meaning(spec, "text", "fault")) == 1
    assert "Latency of each trace (ms)" in words(spec)


@pytest.mark.parametrize(("n", "fewest", "most"), [(200, 2, 5), (201, 0, 0)])
def test_at_most_five_failed_records_are_named_and_none_in_a_crowd(n, fewest, most):
    seen = records(*((10 * index, 100.0, True) for index in range(n, 0, -1)))

    spec = read(charts.dots(terms(), seen, Window(NOW - HOUR, NOW), value="latency_ms"))

    assert fewest <= sum(len(data(spec, word)) for word in of_meaning(spec, "text", "fault")) <= most


def test_many_records_are_small_dots_without_a_line():
    seen = records(*((index, 100.0, False) for index in range(600, 0, -1)))

    spec = read(charts.dots(terms(), seen, Window(NOW - HOUR, NOW), value="latency_ms"))

    assert data(spec, of_meaning(spec, "line", "history")[0]) == []
    assert of_meaning(spec, "point", "history")[0]["mark"]["size"] == 9


def test_anomalies_are_bands_and_rings_over_the_whole_range():
    spec = read(charts.anomalies(terms(), DAYS, forecast(), UNUSUAL, value="latency_avg"))

    (bands,), (rings,) = of_meaning(spec, "rect", "attention"), of_meaning(spec, "point", "attention")
    assert domain(spec) == (datetime(2026, 11, 10, 21), datetime(2026, 11, 25, 21))
    assert [row["t"] for row in data(spec, bands)] == ["2026-11-25T13:00:00+00:00", "2026-11-24T09:00:00+00:00"]
    assert len(data(spec, rings)) == 1
    expected = [says["Expected"] for says in cells(spec) if "Expected" in says]
    assert expected == [f"50 to 70{NBSP}ms"] * 3


def test_groups_are_ranked_by_their_chance_on_the_same_axes():
    histories = {"coinbase": DAYS, "kraken": DAYS.assign(latency_avg=2 * DAYS["latency_avg"]), "new": DAYS.head(0)}
    small = charts.small_multiples(
        terms(),
        histories,
        {"coinbase": forecast(), "kraken": forecast()},
        {"coinbase": Crossing(0.2), "kraken": CROSSING},
        value="latency_avg",
    )
    specs = [read(one.chart) for one in small]

    assert [one.group for one in small] == ["kraken", "coinbase", "new"]
    assert [words(spec) for spec in specs] == [
        ["kraken", f"73{NBSP}%"],
        ["coinbase", f"20{NBSP}%"],
        ["new", "–"],
    ]
    assert {(domain(spec), top(spec), spec["height"]) for spec in specs} == {(domain(specs[0]), top(specs[0]), 170)}
    chances = [of_mark(spec, "text")[-1]["encoding"]["color"]["datum"] for spec in specs]
    assert chances == ["attention", "marker", "marker"]


def test_the_price_has_flags_as_shapes_and_breaks_where_none_came():
    start = datetime(2026, 11, 24, 8)
    paid = prices((start, 74_000.0), (start + HOUR, 74_500.0), (start + 5 * HOUR, 75_000.0))
    flagged = pd.DataFrame(
        {
            "timestamp": moments([start, start + HOUR, start + 5 * HOUR]),
            "price_usd": [74_000.0, 74_500.0, 75_000.0],
            "flag": ["high", "average", "extreme"],
        }
    )

    spec = read(charts.price(terms(), paid, flagged, WINDOW))

    (line,) = of_meaning(spec, "line", "price")
    high, extreme = of_meaning(spec, "point", "price")
    assert spec["height"] == 270
    assert [row["y"] for row in data(spec, line)] == [74_000.0, 74_500.0, None, 75_000.0]
    assert (high["mark"]["shape"], extreme["mark"]["shape"]) == ("circle", "diamond")
    assert [row["y"] for row in data(spec, extreme)] == [75_000.0]
    assert cells(spec)[0] == {"Time": "Tue 24 Nov 08:00 UTC", "Price": f"74,000{NBSP}USD"}


def test_a_price_every_minute_is_thinned_to_what_a_line_can_show():
    minutes = [NOW - timedelta(minutes=index) for index in range(14 * 24 * 60, 0, -1)]
    paid = prices(*((time, 74_000.0) for time in minutes))

    spec = read(charts.price(terms(), paid, NO_FLAGS, Window(minutes[0], NOW)))

    assert len(data(spec, of_meaning(spec, "line", "price")[0])) <= 2001


def test_latency_stands_under_the_price_on_the_same_time():
    window = Window(NOW - timedelta(days=7), NOW)

    price = read(charts.price(terms(), prices((NOW - HOUR, 74_000.0)), NO_FLAGS, window))
    below = read(charts.latency_under_price(terms(), DAYS, window, value="latency_avg"))

    assert domain(price) == domain(below)
    assert below["height"] == 190
    left = [spec["layer"][0]["encoding"]["y"]["axis"]["maxExtent"] for spec in (price, below)]
    assert left == [axis.LEFT, axis.LEFT]


def every_chart(asked, past, ahead, crossing, found, seen, paid):
    return [
        charts.main(asked, past, ahead, crossing, value="latency_avg", unusual=found),
        charts.chances(asked, past, ahead),
        charts.anomalies(asked, past, ahead, found, value="latency_avg"),
        charts.dots(asked, seen, WINDOW, value="latency_ms"),
        charts.price(asked, paid, NO_FLAGS, WINDOW),
        charts.latency_under_price(asked, past, WINDOW, value="latency_avg"),
    ]


def assert_vega_lite(chart):
    """Raises where Altair's schema of Vega-Lite, which knows every mark and channel, does not accept the chart."""
    alt.LayerChart.validate({**chart, "datasets": {}})
    used = {layer["data"]["name"] for layer in chart["layer"] if "name" in layer["data"]}
    assert used == set(chart["datasets"])


def test_every_chart_is_vega_lite():
    seen = records((290, 449.0, False), (230, 175.0, True))
    strip = charts.strip(terms(), DAYS, forecast(), value="latency_avg", name="14d")
    small = charts.small_multiples(terms(), {"a": DAYS}, {"a": forecast()}, {"a": CROSSING}, value="latency_avg")

    drawn = every_chart(terms(), DAYS, forecast(), CROSSING, UNUSUAL, seen, prices((NOW - HOUR, 74_000.0)))
    for chart in [*drawn, strip, small[0].chart]:
        assert_vega_lite(chart)


@pytest.mark.parametrize("granularity", ["hourly", "daily"])
def test_every_chart_can_be_drawn_of_nothing(granularity):
    asked, none, ahead = terms(granularity=granularity), DAYS.head(0), forecast(0)

    for chart in every_chart(asked, none, ahead, Crossing(), NOTHING_FOUND, records(), prices()):
        assert_vega_lite(chart)
    assert charts.strip(asked, none, ahead, value="latency_avg", name="14d") is None
    assert charts.small_multiples(asked, {}, {}, {}, value="latency_avg") == []


def test_days_are_those_of_utc_for_every_reader():
    days = pd.DataFrame(
        {
            "bucket": moments(datetime(2026, 11, 1) + timedelta(days=index) for index in range(24)),
            "complete": [True] * 23 + [False],
            "latency_avg": [80.0] * 24,
        }
    )
    ahead = forecast(7).assign(ds=moments(datetime(2026, 11, 24) + timedelta(days=index) for index in range(7)))
    asked = terms("Asia/Tokyo", granularity="daily")

    spec = read(charts.main(asked, days, ahead, Crossing(), value="latency_avg"))

    assert domain(spec) == (datetime(2026, 11, 1), datetime(2026, 12, 1))
    assert cells(spec)[0] == {"Time": "Sun 1 Nov UTC", "Observed": f"80.0{NBSP}ms"}


# Legend and alt text


def test_the_legend_of_anomalies_names_only_what_was_found():
    of_all = ["observed", "forecast", "interval", "threshold", "anomaly", "unusual"]

    assert captions.anomaly_parts(forecast(), UNUSUAL) == of_all
    assert captions.anomaly_parts(forecast(), UNUSUAL.head(1)) == of_all[:5]
    assert captions.anomaly_parts(forecast(0), UNUSUAL.head(0)) == ["observed", "threshold"]


def test_the_legend_names_what_is_there_in_words_that_stay_together():
    parts = captions.main_parts(terms(), DAYS, forecast(), CROSSING, value="latency_avg")
    line = captions.legend(parts, terms("America/New_York"))

    assert parts == ["observed", "running", "forecast", "interval", "threshold", "crossing"]
    assert line.replace(NBSP, "~").replace("\u2003", "|") == (
        ":small[**━**~observed| ○~hour~still~running| :blue[**━**~forecast]| :blue-background[95~%~interval]| "
        ":orange[**╌**~threshold]| :violet-background[first~crossing,~8~in~10]| :gray[times~in~New~York]]"
    )


def test_the_legend_leaves_out_what_is_not_drawn():
    quiet = history([70.0], running=None)

    assert captions.main_parts(terms(), quiet, forecast(0), Crossing(), value="latency_avg") == [
        "observed",
        "threshold",
    ]
    assert captions.legend(["observed"], terms(granularity="daily")).endswith(f":gray[days{NBSP}in{NBSP}UTC]]")


def test_the_alt_text_is_the_chart_in_a_few_sentences():
    assert captions.alt_main(terms(), DAYS, forecast(), CROSSING, value="latency_avg") == (
        "Mean latency, Sun 22 to Wed 25 Nov, UTC. Observed 60 to 83~ms. "
        "Forecast 100 to 123~ms, 95~% interval 90 to 160~ms. "
        "Threshold 150~ms, 73~% likely crossed, first between tomorrow 10:00 and 18:00."
    ).replace("~", NBSP)


def test_the_alt_text_of_nothing_says_nothing():
    assert captions.alt_main(terms(), DAYS.head(0), forecast(0), Crossing(), value="latency_avg") == (
        "Mean latency, Sun 22 to Tue 24 Nov, UTC. Observed nothing. No forecast. Threshold 150~ms."
    ).replace("~", NBSP)


def test_the_other_charts_have_alt_texts_too():
    seen = records((290, 449.0, False), (230, 175.0, True))
    paid = prices((NOW - 5 * HOUR, 74_000.0), (NOW - HOUR, 73_000.0))
    window = Window(NOW - HOUR, NOW)
    said = [
        captions.alt_strip(terms(), DAYS, forecast(), value="latency_avg"),
        captions.alt_chances(terms(), forecast()),
        captions.alt_chances(terms(), forecast(0)),
        captions.alt_dots(terms(), seen, window, value="latency_ms"),
        captions.alt_anomalies(terms(), DAYS, forecast(0), UNUSUAL, value="latency_avg"),
        captions.alt_price(terms(), paid, WINDOW),
        captions.alt_price(terms(), prices(), WINDOW),
        captions.alt_latency_under_price(terms(), DAYS, WINDOW, value="latency_avg"),
        captions.alt_small(terms(), "kraken", DAYS, forecast(0), Crossing(0.2), value="latency_avg"),
    ]

    expected = [
        (
            "Mean latency over the whole range, Tue 10 to Wed 25 Nov, UTC. Observed 60 to 83~ms."
            " Shaded: what the chart above shows."
        ),
        "Chance of each hour to be above 150~ms. Highest: 46~%, tomorrow 20:00 UTC.",
        "Chance of each hour to be above 150~ms. None can be said yet.",
        "Mean latency, Tue 24 Nov, UTC. 2 traces, 1 failed. Observed 175 to 449~ms. Threshold 150~ms.",
        (
            "Mean latency, Tue 10 to Tue 24 Nov, UTC. Observed 60 to 83~ms. No forecast. Threshold 150~ms."
            " 1 predicted, 1 observed anomalies."
        ),
        (
            "Price of a Bitcoin, Mon 23 to Tue 24 Nov, UTC. From 74,000~USD to 73,000~USD, lowest 73,000~USD,"
            " highest 74,000~USD."
        ),
        "Price of a Bitcoin, Mon 23 to Tue 24 Nov, UTC. No prices yet.",
        "Mean latency, Mon 23 to Tue 24 Nov, UTC. Observed 60 to 83~ms. Threshold 150~ms.",
        (
            "kraken: Mean latency, Sun 22 to Tue 24 Nov, UTC. Observed 60 to 83~ms. No forecast. Threshold 150~ms,"
            " 20~% likely crossed."
        ),
    ]

    assert [each.replace(NBSP, "~") for each in said] == expected
