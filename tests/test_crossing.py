"""Exceedance and the first crossing, against plain loops over past errors and over the history."""

from dataclasses import astuple
from datetime import datetime, timedelta
from math import ceil

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.analysis.crossing import exceedance, exceedances, first_crossing
from core.analysis.forecast import fit, predict
from core.analysis.past_errors import GROUPS, paths
from core.errors import QuestionError

NOW = datetime(2026, 3, 2, 10, 25)
END = datetime(2026, 3, 2, 10)
HOUR = timedelta(hours=1)


def history(y, end=END):
    """Hourly rows that end with the hour before `end`."""
    y = np.asarray(y, dtype=float)
    return pd.DataFrame({"ds": [end - HOUR * hour for hour in range(len(y), 0, -1)], "y": y})


def latency(days, seed=0):
    """Milliseconds with a day's shape, highest towards the end of the grid's day, and a noise that lasts some hours."""
    random = np.random.default_rng(seed)
    noise = np.zeros(days * 24)
    for hour in range(1, len(noise)):
        noise[hour] = 0.6 * noise[hour - 1] + 0.15 * random.standard_normal()
    y = 100 * np.exp(0.3 * np.sin(2 * np.pi * (np.arange(len(noise)) + 9) / 24) + noise)
    y[200:212] = np.nan
    return y


def likelihood(model, horizon, threshold) -> float:
    """The probability of a crossing, where there must be one."""
    probability = first_crossing(model, horizon, threshold).probability
    assert probability is not None
    return probability


@pytest.fixture(scope="module")
def month():
    return fit(history(latency(30)), "hourly", NOW)


@pytest.fixture(scope="module")
def daily():
    return fit(history(latency(30)), "daily", NOW)


def share(above, n):
    return (above + 0.5) / (n + 1)


@pytest.mark.parametrize("threshold", [90.0, 130.0, 1000.0])
def test_an_hours_probability_is_three_parts_past_errors_and_one_part_what_that_hour_of_day_did(month, threshold):
    errors = paths(month.residual, month.level, 168)
    needed = np.log1p(threshold / month.transform.scale)
    past = [(when, y) for when, y in history(latency(30)).itertuples(index=False) if not np.isnan(y)]
    overall = sum(y > threshold for _, y in past) / len(past)
    chances = exceedance(month, 168, threshold)

    assert chances["ds"].to_list() == [END + hour * HOUR for hour in range(168)]
    for hour in (1, 2, 6, 11, 20, 168):
        first, last = next(group for group in GROUPS if group[0] <= hour <= group[1])
        pool = [error for error in errors[:, first - 1 : last].ravel() if not np.isnan(error)]
        from_errors = share(sum(month.median[hour - 1] + error > needed for error in pool), len(pool))
        same_hour = [y for when, y in past if when.hour == (END + (hour - 1) * HOUR).hour]
        from_history = (sum(y > threshold for y in same_hour) + 5 * overall) / (len(same_hour) + 5)

        assert chances["p_above"][hour - 1] == pytest.approx(0.75 * from_errors + 0.25 * from_history)


@pytest.mark.parametrize("granularity", ["hourly", "daily"])
def test_many_thresholds_at_once_say_what_each_says_alone(granularity, month, daily):
    model = {"hourly": month, "daily": daily}[granularity]
    thresholds = [90.0, 112.0, 130.0, 1000.0]

    assert exceedances(model, 9, thresholds).tolist() == [
        exceedance(model, 9, threshold)["p_above"].to_list() for threshold in thresholds
    ]


@pytest.mark.parametrize(("threshold", "horizon"), [(120.0, 24), (140.0, 24), (165.0, 5), (230.0, 168)])
def test_a_crossing_is_told_from_whole_paths_of_errors_and_from_past_blocks_as_long_as_the_horizon(
    month, threshold, horizon
):
    needed, firsts, known_paths = np.log1p(threshold / month.transform.scale), [], 0
    for path in paths(month.residual, month.level, horizon):
        if np.isfinite(path).sum() < 0.75 * horizon:
            continue
        known_paths += 1
        above = [hour for hour, error in enumerate(path) if month.median[hour] + error > needed]
        firsts += above[:1]
    y, blocks = latency(30), []
    for end in range(len(y), 0, -horizon):
        block = y[max(end - horizon, 0) : end]
        if np.isfinite(block).sum() >= 0.75 * horizon:
            blocks.append(np.nanmax(block) > threshold)
    mixed = 0.75 * share(len(firsts), known_paths) + 0.25 * share(sum(blocks), len(blocks))
    largest = exceedance(month, horizon, threshold)["p_above"].max()
    ranked = [END + sorted(firsts)[ceil(part * len(firsts) / 10) - 1] * HOUR for part in (1, 5, 9)]

    assert firsts
    assert astuple(first_crossing(month, horizon, threshold)) == (pytest.approx(max(mixed, largest)), *ranked)


@given(st.floats(20, 500), st.integers(1, 168))
@settings(max_examples=30, deadline=None)
def test_a_crossing_is_at_least_as_likely_as_its_likeliest_hour(month, threshold, horizon):
    chances = exceedance(month, horizon, threshold)["p_above"]

    assert chances.between(0, 1).all()
    assert chances.max() <= likelihood(month, horizon, threshold) <= 1


@given(st.floats(20, 500), st.floats(0, 100))
@settings(max_examples=30, deadline=None)
def test_a_higher_threshold_is_never_likelier(month, threshold, more):
    assert (exceedance(month, 168, threshold + more)["p_above"] <= exceedance(month, 168, threshold)["p_above"]).all()
    assert likelihood(month, 24, threshold + more) <= likelihood(month, 24, threshold)


def test_errors_last_so_a_crossing_is_less_likely_than_independent_hours_would_make_it(month):
    chances = exceedance(month, 24, 150)["p_above"]

    assert chances.max() < likelihood(month, 24, 150) < 1 - (1 - chances).prod()


def test_where_no_path_crosses_there_is_a_probability_and_no_time(month):
    probability, *times = astuple(first_crossing(month, 24, 1e6))

    assert 0 < probability < 0.03
    assert times == [None, None, None]


def test_a_level_that_moved_above_the_threshold_crosses_at_once():
    y = latency(30)
    y[-48:] *= 3
    model = fit(history(y), "hourly", NOW)

    assert likelihood(model, 24, 150) > 0.75
    assert first_crossing(model, 24, 150).earliest == END


def test_before_a_path_as_long_as_the_horizon_was_seen_the_likeliest_hour_and_the_history_speak():
    y = latency(4)
    model = fit(history(y), "hourly", NOW)
    likeliest = exceedance(model, 168, 110)["p_above"].max()
    mixed = 0.75 * likeliest + 0.25 * (y > 110).mean()  # four days hold no block of seven

    assert astuple(first_crossing(model, 168, 110)) == (pytest.approx(max(mixed, likeliest)), None, None, None)


# Days


def day_paths(model, horizon):
    """Day means of each back-transformed path, a path and a day at a time; None where too little is known."""
    errors, rows = paths(model.residual, model.level, 168), []
    for path in errors:
        row = []
        for day in range(horizon):
            known_day = min(day, 6)
            error = path[24 * known_day : 24 * known_day + 24]
            moved = model.median[24 * day : 24 * day + 24] + np.where(np.isfinite(error), error, 0)
            value = (model.transform.scale * np.expm1(moved)).mean()
            row.append(value if np.isfinite(error).sum() >= 18 else None)
        rows.append(row)
    return rows


def test_days_are_told_from_the_day_means_of_whole_paths(daily):
    threshold, horizon = 112.0, 9
    midnight = datetime(2026, 3, 2)
    rows = day_paths(daily, horizon)
    y = history(latency(30)).query("ds < @midnight")["y"].to_numpy()
    by_day = [y[max(end - 24, 0) : end] for end in range(len(y), 0, -24)]
    days = [np.nanmean(day) > threshold if np.isfinite(day).sum() >= 18 else None for day in by_day]
    known_days = [day for day in days if day is not None]
    chances = exceedance(daily, horizon, threshold)

    assert chances["ds"].to_list() == [midnight + timedelta(days=day) for day in range(horizon)]
    for day in range(horizon):
        known = [row[day] for row in rows if row[day] is not None]
        from_errors = share(sum(value > threshold for value in known), len(known))
        assert chances["p_above"][day] == pytest.approx(0.75 * from_errors + 0.25 * np.mean(known_days))

    known_rows = [row for row in rows if sum(value is not None for value in row) >= 0.75 * horizon]
    firsts = sorted(
        next(day for day, value in enumerate(row) if value is not None and value > threshold)
        for row in known_rows
        if any(value is not None and value > threshold for value in row)
    )
    whole = [days[start : start + horizon] for start in range(0, len(days), horizon)]
    blocks = [any(block) for block in whole if sum(day is not None for day in block) >= 0.75 * horizon]
    mixed = 0.75 * share(len(firsts), len(known_rows)) + 0.25 * share(sum(blocks), len(blocks))
    crossing = first_crossing(daily, horizon, threshold)

    assert crossing.probability == pytest.approx(max(mixed, chances["p_above"].max()))
    assert crossing.median == midnight + timedelta(days=firsts[ceil(len(firsts) / 2) - 1])


def test_a_counted_day_is_asked_of_its_sum():
    midnight = datetime(2026, 3, 2)
    counts = history(latency(15).round(), midnight).dropna()
    model = fit(counts, "daily", NOW, stat="count")
    usual = predict(model, 1)["yhat"].iloc[0]

    assert usual > 24 * 60
    assert exceedance(model, 1, usual * 0.5)["p_above"].iloc[0] > 0.9
    assert exceedance(model, 1, usual * 1.5)["p_above"].iloc[0] < 0.1


@pytest.mark.parametrize("ask", [exceedance, first_crossing])
def test_a_horizon_out_of_reach_is_refused(month, ask):
    with pytest.raises(QuestionError, match="horizon is 169: expected 1 to 168 buckets"):
        ask(month, 169, 150)
