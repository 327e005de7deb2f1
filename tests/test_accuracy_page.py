"""The Accuracy page: its words, tables and charts, and the record that stands beside each interval."""

import re
from concurrent.futures import Future
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import altair as alt
import numpy as np
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from core import replays, workers
from core.ingest import segments
from core.queries import Backtest, Reliability
from core.question import Question
from core.view import replayed, text, verdict
from core.view.text import NBSP

APP = Path(__file__).resolve().parent.parent / "core" / "view" / "app.py"
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
MIDNIGHT = datetime(2026, 3, 9)


# What a backtest says, in words


def scores(ours=0.8, naive=1.0, n=48, **models):
    """`by_horizon` of the two, and of others."""
    rows = [
        (model, horizon, n, mase, mase / 2, 0.8125, 0.9375)
        for model, mase in {"tracecast": ours, "seasonal_naive": naive, **models}.items()
        for horizon in ("1 to 6", "all")
        if mase is not None
    ]
    return pd.DataFrame(rows, columns=["model", "horizon", "n", "mase", "wis", "coverage_80", "coverage_95"])


def backtest(days=28, done=None, failed=(), by_horizon=None, horizon=24):
    """Made-up forecasts of each day before MIDNIGHT, all of which say 100, and what came: an hour's number."""
    cutoffs = [MIDNIGHT - back * DAY for back in range(days, 0, -1)]
    observed = [MIDNIGHT - (days + 2) * DAY + hour * HOUR for hour in range((days + 2) * 24)]
    rows = pd.DataFrame(
        [("tracecast", cutoff, cutoff + hour * HOUR, 100.0 + hour) for cutoff in cutoffs for hour in range(horizon)],
        columns=["model", "cutoff", "ds", "y"],
    ).assign(lower_95=90.0, lower_80=95.0, yhat=100.0, upper_80=105.0, upper_95=110.0, scale=10.0)
    origins = pd.DataFrame({"model": "tracecast", "cutoff": cutoffs, "n": 24, "mase": 1.15, "wis": 1.0})
    return Backtest(
        cutoffs=cutoffs,
        total=4 * days,
        done=4 * days if done is None else done,
        failed=list(failed),
        by_horizon=scores() if by_horizon is None else by_horizon,
        by_origin=origins.assign(coverage_80=0.25, coverage_95=11 / 24),
        rows=rows,
        observed=pd.DataFrame({"bucket": observed, "value": [100.0 + time.hour for time in observed]}),
    )


def chances(*bins, skill=0.34, warnings=9, came_true=7, crossings=8):
    table = pd.DataFrame(bins or [(0.05, 0.04, 20), (0.7, 0.72, 8)], columns=["said", "came", "n"])
    return Reliability(table, skill, int(table["n"].sum()), warnings, came_true, crossings)


def terms(**asked):
    return text.terms(Question(**asked), 150.0, MIDNIGHT + 10 * HOUR, MIDNIGHT + 10 * HOUR, text.zone("UTC"))


def plain(words):
    return words.replace(NBSP, " ")


def test_the_sentence_says_how_much_less_error_and_what_held():
    said = verdict.sentence(terms(), backtest(), chances())

    assert plain(said.title) == "20 % less error than repeating yesterday"
    assert plain(said.ink) == (
        "The 95 % interval held **94 %** of 48 hours, the 80 % interval **81 %**."
        " A warning of a crossing came true in **7 of 9** cases."
    )
    assert said.grey == "28 forecasts of each model, one a day, 24 hours each. Mean latency of all services."


@pytest.mark.parametrize(
    ("ours", "naive", "title"),
    [
        (1.0, 0.92, "Repeating yesterday was better on this series: 8 % less error"),
        (1.0, 1.001, "As much error as repeating yesterday"),
        (np.nan, np.nan, "Nothing changed from day to day, so there is no error to compare"),
    ],
)
def test_it_is_as_plain_where_repeating_was_better(ours, naive, title):
    assert plain(verdict.sentence(terms(), backtest(by_horizon=scores(ours, naive)), chances()).title) == title


def test_days_are_compared_with_the_week_before():
    said = verdict.sentence(terms(granularity="daily"), backtest(), chances())

    assert plain(said.title) == "20 % less error than repeating last week"
    assert "7 days each" in said.grey


def test_a_series_that_is_mostly_zero_has_chances_only():
    by_horizon = scores(ours=None)

    assert verdict.sentence(terms(), backtest(by_horizon=by_horizon), chances()).title == (
        "Most hours are zero: only chances are replayed"
    )


def test_while_it_runs_the_sentence_says_so_until_the_two_that_it_compares_are_there():
    half = backtest(done=56, by_horizon=scores(ours=None))
    most = backtest(done=84)

    assert verdict.sentence(terms(), half, chances()).title == "Replaying the forecasts of the last 28 days"
    assert plain(verdict.sentence(terms(), most, chances()).title) == "20 % less error than repeating yesterday"


def test_a_short_history_says_that_each_day_adds_a_forecast():
    assert "3 forecasts of each model, one a day, 24 hours each. Each day adds one, up to 28." in (
        verdict.sentence(terms(), backtest(days=3), chances()).grey
    )


@pytest.mark.parametrize(
    ("error", "words"), [(0.6, "Closest on this series: last value, 0.60."), (0.9, None)], ids=["better", "worse"]
)
def test_another_peer_that_was_closer_is_named(error, words):
    ink = verdict.sentence(terms(), backtest(by_horizon=scores(last_value=error)), chances()).ink

    assert words in ink if words else "Closest" not in ink


def test_without_a_day_to_replay_the_sentence_says_what_is_needed():
    said = verdict.sentence(terms(), replace(backtest(), cutoffs=[], total=0, done=0), chances())

    assert said.title == "No forecast to look back on yet"
    assert "48 hours of history" in said.ink


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (chances(warnings=0, crossings=3), "**3 crossings** came without a warning."),
        (chances(warnings=0, crossings=0), "No crossing came, and none was warned of."),
    ],
)
def test_without_a_warning_the_sentence_says_whether_one_was_due(told, words):
    assert verdict.sentence(terms(), backtest(), told).ink.endswith(words)


def test_forecasts_that_could_not_be_made_are_counted_and_told_as_plain_text():
    said = verdict.sentence(terms(), backtest(failed=["A *process* ended."] * 2), chances())

    assert r":violet[2 forecasts could not be made: A \*process\* ended\.]" in said.ink


def test_each_forecast_says_how_it_did():
    assert plain(verdict.replay(terms(), backtest(), MIDNIGHT - DAY)) == (
        "Said yesterday 00:00 UTC: error **1.15**, the 95 % interval held **11 of 24** hours."
    )


@pytest.mark.parametrize(
    ("skill", "words"),
    [
        (0.34, "Brier skill 0.34 against always saying the usual share. Dot size: how often it was said."),
        (-0.1, "Brier skill −0.10 against always saying the usual share, which would have been better. Dot"),
        (None, "Nothing ever crossed these lines, as usual: there is no skill to measure."),
    ],
)
def test_skill_is_said_with_what_it_is_against(skill, words):
    assert verdict.skill(chances(skill=skill)).startswith(words)


# Tables


def test_each_model_has_a_row_before_its_numbers_are_there():
    table = verdict.scores(terms(), backtest(by_horizon=scores(last_value=1.5)))

    assert table.frame["model"].to_list() == ["Tracecast", "Original pipeline", "Yesterday again", "Last value"]
    assert table.frame["mase"].to_list() == pytest.approx([0.8, np.nan, 1.0, 1.5], nan_ok=True)
    assert table.frame["held_95"].to_list() == pytest.approx([93.75, np.nan, 93.75, 93.75], nan_ok=True)
    assert table.alt == "Error by model: Tracecast 0.80, Yesterday again 1.00, Last value 1.50."
    assert verdict.scores(terms(), backtest(by_horizon=scores().head(0))).alt == "Error by model: none measured yet."


def test_errors_stand_by_how_far_ahead_and_by_forecast():
    ahead, each = verdict.ahead(terms(), backtest()), verdict.each(terms(), backtest(days=3))

    assert ahead.frame.to_dict("records") == [
        {"horizon": "1 to 6", "tracecast": 0.8, "seasonal_naive": 1.0, "held_80": 81.25, "held_95": 93.75}
    ]
    assert each.frame["cutoff"].to_list() == [pd.Timestamp(MIDNIGHT - back * DAY, tz="UTC") for back in (1, 2, 3)]
    assert each.frame["tracecast"].to_list() == [1.15] * 3


# Charts


def layer(chart, name):
    return next(one for one in chart["layer"] if one["name"] == name)


def assert_vega_lite(chart):
    alt.LayerChart.validate({**chart, "datasets": {}})


def test_a_replay_shows_what_was_said_over_what_came_from_two_horizons_before():
    chart = replayed.replay(terms(), backtest(), MIDNIGHT - 5 * DAY)
    rows = {name: table.to_pylist() for name, table in chart["datasets"].items()}

    assert_vega_lite(chart)
    assert [rows["forecast"][end]["t"] for end in (0, -1)] == [
        pd.Timestamp(MIDNIGHT - 5 * DAY - HOUR, tz="UTC"),
        pd.Timestamp(MIDNIGHT - 4 * DAY - HOUR, tz="UTC"),
    ]
    assert (rows["interval"][-1]["yhat_lower"], rows["interval"][-1]["yhat_upper"]) == (90, 110)
    assert [rows["history"][end]["t"] for end in (0, -1)] == [
        pd.Timestamp(MIDNIGHT - 7 * DAY, tz="UTC"),
        pd.Timestamp(MIDNIGHT - 4 * DAY - HOUR, tz="UTC"),
    ]
    assert layer(chart, "now_label")["encoding"]["text"] == {"value": "said here"}


def test_the_pointer_is_told_what_came_beside_what_was_said():
    chart = replayed.replay(terms(), backtest(), MIDNIGHT - DAY)
    [said] = [one for one in chart["layer"] if one["name"] == "cells"]
    ahead = next(row for row in chart["datasets"]["cells"].to_pylist() if row["says_2"])

    assert re.findall(r'"([^"]+)":', plain(said["mark"]["tooltip"]["expr"])) == [
        "Time",
        "Observed",
        "Forecast",
        "95 % interval",
    ]
    assert [plain(ahead[f"says_{n}"]) for n in range(4)] == ["Sun 8 Mar 00:00 UTC", "100 ms", "100 ms", "90 to 110 ms"]


def test_a_replay_is_told_in_a_sentence():
    assert plain(replayed.alt_replay(terms(), backtest(), MIDNIGHT - DAY)) == (
        "Mean latency, as said yesterday 00:00, and what came: 11 of 24 inside the 95 % interval."
    )


def test_the_diagram_of_chances_has_a_dot_for_each_bin_and_the_line_on_which_they_should_be():
    chart = replayed.chances(chances())

    assert_vega_lite(chart)
    dots, right = (chart["datasets"][name].to_pylist() for name in ("dots", "right"))
    assert [(dot["t"], dot["y"], dot["n"]) for dot in dots] == [(0.05, 0.04, 20), (0.7, 0.72, 8)]
    assert right == [{"t": 0.0, "y": 0.0}, {"t": 1.0, "y": 1.0}]
    assert [plain(dot["came"]) for dot in dots] == ["4.0 % of 20 times", "72.0 % of 8 times"]
    assert "70.0 % said, 72.0 % came" in plain(replayed.alt_chances(chances()))


def test_a_diagram_without_chances_is_empty():
    none = chances(skill=None)._replace(bins=chances().bins.head(0))

    assert_vega_lite(replayed.chances(none))
    assert replayed.alt_chances(none) == "Chances of a crossing and how often one came: none yet."


# The page


def latency(hours, seed=0):
    random = np.random.default_rng(seed)
    return 100 * np.exp(0.3 * np.sin(2 * np.pi * np.arange(hours) / 24) + 0.1 * random.standard_normal(hours))


def fill(store, hours, y=None, shard="a", now=None):
    """One request an hour up to this one, from the source live."""
    now = now or datetime.now(UTC).replace(tzinfo=None)
    documents = []
    for back, value in zip(range(hours, 0, -1), latency(hours) if y is None else y, strict=True):
        began = int((now.replace(minute=0, second=0, microsecond=0) - back * HOUR).replace(tzinfo=UTC).timestamp())
        documents.append(
            f'{{"name": "shop", "id": "{back:016x}", "trace_id": "1-{began:08x}-{ord(shard):024x}", '
            f'"start_time": {began}, "end_time": {began + 1}, '
            f'"annotations": {{"processing_time_ms": {float(value)!r}, "shard_id": "{shard}"}}}}'
        )
    assert segments.take(documents, "live", now, store) == []


def visit(page="accuracy", **link):
    app = AppTest.from_file(APP, default_timeout=120)
    for name, value in {"source": "live", **link}.items():
        app.query_params[name] = value
    if page != "overview":
        app.switch_page(f"../../pages/{page}.py")
    app.run()
    assert not app.exception
    assert not app.error
    return app


def words(app):
    return plain("\n".join(element.value for element in app.markdown))


def test_the_page_compares_four_models_and_replays_each_forecast(store):
    fill(store, 150)
    app = visit()

    assert re.fullmatch(r"\d+ % less error than repeating yesterday|Repeating .*|As much .*", plain(app.title[0].value))
    assert app.dataframe[0].value["model"].to_list() == [
        "Tracecast",
        "Original pipeline",
        "Yesterday again",
        "Last value",
    ]
    assert app.dataframe[0].value["mase"].notna().all()
    assert [header.value for header in app.subheader] == [
        "What was said, and what came",
        "Does 70 % mean 70 %?",
        "How far ahead",
    ]
    days = app.main.slider[0]
    newest = re.search(r"Said (.*?) 00:00 UTC: error \*\*", words(app))
    days.set_value(1)
    app.run()

    assert newest is not None
    assert f"Said {newest[1]} 00:00" not in words(app)


def test_the_page_follows_the_threshold_and_the_horizon(store):
    fill(store, 150)

    assert "within 24 hours, against how often one came, for 150 ms" in words(visit())
    assert "within 6 hours, against how often one came, for 99 ms" in words(visit(threshold="99", horizon="6"))


def test_a_history_of_two_days_says_what_is_needed(store):
    fill(store, 47)
    app = visit()

    assert app.title[0].value == "No forecast to look back on yet"
    assert not app.dataframe


def test_the_page_shows_how_far_it_is_and_a_row_for_what_is_not_there(store, monkeypatch):
    fill(store, 150)
    replays._kept.clear()
    monkeypatch.setattr(workers, "submit", lambda *_, **__: Future())
    app = visit()
    replays._kept.clear()

    assert app.title[0].value.startswith("Replaying the forecasts of the last ")
    assert app.dataframe[0].value["mase"].isna().all()
    assert re.fullmatch(r"0 of \d+ forecasts replayed", app.get("progress")[0].proto.text)


def test_a_split_is_replayed_for_the_group_that_is_chosen(store):
    fill(store, 110)
    fill(store, 110, y=2 * latency(110, 1), shard="b")
    app = visit(by="shard_id")
    groups = app.main.selectbox[0]
    first = app.dataframe[0].value
    other = next(name for name in groups.options if name != groups.value)
    groups.set_value(other)
    app.run()

    assert sorted(groups.options) == ["a", "b"]
    assert app.dataframe[0].value["mase"].to_list() != first["mase"].to_list()


# The record beside each interval


@pytest.mark.parametrize("page", ["overview", "forecast", "anomalies"])
def test_beside_each_interval_stands_how_often_it_held(store, page):
    fill(store, 110)

    assert re.search(r"The 95 % interval held \d+ % of the last \d days? \(n = \d+\)\.", words(visit(page)))


@pytest.mark.parametrize("page", ["overview", "forecast"])
def test_until_it_is_measured_nothing_is_claimed(store, page):
    fill(store, 30)

    assert "Not measured yet." in words(visit(page))


def test_overview_admits_that_repeating_yesterday_was_better(store):
    random = np.random.default_rng(0)
    now = datetime(2026, 3, 9, 12)
    shape = np.tile(random.uniform(50, 200, 24), 10)[:228]  # the same, hour by hour, day by day
    fill(store, 228, y=shape, now=now)
    told = words(visit("overview", end=now.isoformat()))

    assert re.search(r"Repeating yesterday was better over the last \d+ days: \d+ % less error\.", told)
