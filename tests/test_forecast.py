"""The forecast as a whole: what holds for any history, and what is said of short and odd ones."""

import os
import pickle
import subprocess
import sys
from dataclasses import astuple
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.analysis.crossing import Crossing, exceedance, first_crossing
from core.analysis.forecast import fit, predict, readiness
from core.analysis.past_errors import paths, quantile
from core.errors import QuestionError

NOW = datetime(2026, 3, 2, 10, 25)  # a Monday
END = datetime(2026, 3, 2, 10)
HOUR = timedelta(hours=1)


def history(y, end=END):
    """Hourly rows that end with the hour before `end`."""
    y = np.asarray(y, dtype=float)
    return pd.DataFrame({"ds": [end - HOUR * hour for hour in range(len(y), 0, -1)], "y": y})


def latency(days, seed=0):
    """Milliseconds with a day's shape and a skewed noise that lasts some hours."""
    random = np.random.default_rng(seed)
    noise = np.zeros(days * 24)
    for hour in range(1, len(noise)):
        noise[hour] = 0.6 * noise[hour - 1] + 0.08 * random.standard_normal()
    return 100 * np.exp(0.3 * np.sin(2 * np.pi * np.arange(len(noise)) / 24) + noise)


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


# What a forecast is made of


def test_the_point_is_the_median_brought_back_and_the_interval_the_quantiles_of_its_group(month):
    errors = paths(month.residual, month.level, 24)
    frame = predict(month, 24, 80)

    for hour, first, last in [(1, 1, 1), (3, 2, 3), (9, 7, 12), (24, 13, 24)]:
        group = errors[:, first - 1 : last]
        low, high = quantile(group[np.isfinite(group)], np.array([0.1, 0.9]), 720, last)
        middle, scale = month.median[hour - 1], month.transform.scale
        assert frame.loc[hour - 1, ["yhat_lower", "yhat", "yhat_upper"]].to_list() == pytest.approx(
            [scale * np.expm1(middle + low), scale * np.expm1(middle), scale * np.expm1(middle + high)]
        )


def test_the_first_bucket_follows_the_last_complete_one(month, daily):
    assert predict(month, 3)["ds"].to_list() == [END, END + HOUR, END + 2 * HOUR]
    assert predict(daily, 2)["ds"].to_list() == [datetime(2026, 3, 2), datetime(2026, 3, 3)]


def test_a_longer_horizon_changes_nothing_of_a_shorter_one(month, daily):
    for model, far in [(month, 168), (daily, 30)]:
        whole = predict(model, far)
        for horizon in (1, 5, 26):
            pd.testing.assert_frame_equal(predict(model, horizon), whole.head(horizon))


def test_a_day_is_the_mean_of_its_hours_and_a_counted_day_their_sum():
    midnight = datetime(2026, 3, 2)
    rows = history(latency(15).round(), midnight)

    for stat, factor in [("avg", 1), ("count", 24)]:
        hourly = predict(fit(rows, "hourly", midnight, stat=stat), 168)["yhat"].to_numpy()
        days = predict(fit(rows, "daily", NOW, stat=stat), 7)
        assert days["yhat"].to_numpy() == pytest.approx(hourly.reshape(7, 24).mean(axis=1) * factor)
        assert (days["yhat_lower"] < days["yhat"]).all()
        assert (days["yhat_upper"] > days["yhat"]).all()


def test_the_interval_of_a_day_comes_from_the_day_means_of_whole_paths(daily):
    errors = paths(daily.residual, daily.level, 168)
    yhat = predict(daily, 10)["yhat"]

    def spread(day, last_error_day):
        middle = daily.median[24 * (day - 1) : 24 * day]
        means = []
        for path in errors[:, 24 * (last_error_day - 1) : 24 * last_error_day]:
            if np.isfinite(path).sum() >= 18:
                moved = middle + np.where(np.isfinite(path), path, 0)
                means.append((daily.transform.scale * np.expm1(moved)).mean() - yhat[day - 1])
        return yhat[day - 1] + quantile(
            np.array(means), np.array([0.1, 0.9]), daily.hours.observed, 24 * last_error_day
        )

    for day, last_error_day in [(1, 1), (4, 4), (9, 7)]:
        row = predict(daily, 10, 80).loc[day - 1, ["yhat_lower", "yhat_upper"]]
        assert row.to_list() == pytest.approx(spread(day, last_error_day))


# What holds for any history


@pytest.mark.parametrize("factor", [1e-3, 1e-9, 1e9])
def test_a_forecast_has_no_unit_of_its_own(month, factor):
    scaled = fit(history(latency(30) * factor), "hourly", NOW)

    assert predict(scaled, 168).iloc[:, 1:].to_numpy() == pytest.approx(
        predict(month, 168).iloc[:, 1:].to_numpy() * factor, rel=1e-4
    )
    assert first_crossing(scaled, 24, 130 * factor) == first_crossing(month, 24, 130)


def test_a_level_that_doubled_a_day_and_a_half_ago_moves_the_forecast_by_more_than_half_of_that(month):
    moved = latency(30)
    moved[-36:] *= 2
    ratio = predict(fit(history(moved), "hourly", NOW), 24)["yhat"] / predict(month, 24)["yhat"]

    assert ratio.median() > 1.5
    assert ratio.max() < 2.2


@given(st.integers(1, 168), st.integers(50, 99))
@settings(max_examples=30, deadline=None)
def test_an_interval_holds_its_point_and_stays_within_twice_what_was_seen(month, horizon, interval):
    frame = predict(month, horizon, interval)
    most = np.maximum(frame["yhat"], 2 * month.hours.values.max())

    assert (frame["yhat_lower"].between(0, 0.995 * frame["yhat"])).all()
    assert (frame["yhat_upper"] >= 1.005 * frame["yhat"]).all()
    assert (frame["yhat_upper"] <= most).all()


def test_a_higher_interval_is_wider(month):
    widths = [predict(month, 24, level).eval("yhat_upper - yhat_lower") for level in (50, 80, 95, 99)]

    assert all((narrow < wide).all() for narrow, wide in pairwise(widths))


@pytest.mark.parametrize("granularity", ["hourly", "daily"])
def test_nothing_at_or_after_the_last_complete_bucket_is_used(granularity):
    past = history(latency(20))
    later = pd.DataFrame({"ds": [END, END + HOUR * 30], "y": [1e6, 1e6]})
    cut = past if granularity == "hourly" else past[past["ds"] < datetime(2026, 3, 2)]

    model = fit(pd.concat([later, past.sample(frac=1, random_state=1)]), granularity, NOW)

    pd.testing.assert_frame_equal(predict(model, 7), predict(fit(cut, granularity, NOW), 7))


def test_nothing_older_than_60_days_is_used_and_the_history_is_left_as_it_was():
    rows = history(np.concatenate([np.full(240, 1e6), latency(60)]))
    before = rows.copy()
    model = fit(rows, "hourly", NOW)

    pd.testing.assert_frame_equal(predict(model, 24), predict(fit(rows.tail(1440), "hourly", NOW), 24))
    pd.testing.assert_frame_equal(rows, before)


def test_the_same_input_gives_the_same_output_bit_for_bit_in_another_process_that_says_and_leaves_nothing(
    month, tmp_path
):
    program = """if True:
        from tests.test_forecast import *
        model = fit(history(latency(30)), "hourly", NOW)
        print(predict(model, 168).to_csv(), exceedance(model, 168, 130).to_csv(), first_crossing(model, 24, 130))
        print([file for file in Path(os.environ["TMPDIR"]).rglob("*") if file.is_file()])
    """
    other = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parent.parent,
        env=os.environ | {"TMPDIR": str(tmp_path)},
    )

    assert other.stdout == (
        f"{predict(month, 168).to_csv()} {exceedance(month, 168, 130).to_csv()} {first_crossing(month, 24, 130)}\n[]\n"
    )
    assert other.stderr == ""


def test_a_model_is_small_and_survives_pickling():
    model = fit(history(latency(60)), "daily", NOW)
    pickled = pickle.dumps(model)

    assert len(pickled) < 200_000
    pd.testing.assert_frame_equal(predict(pickle.loads(pickled), 30), predict(model, 30))  # noqa: S301 - our own bytes


# Short and odd histories


@pytest.mark.parametrize("granularity", ["hourly", "daily"])
@pytest.mark.parametrize("y", [[], [5.0], [None] * 100, latency(1)[:23]], ids=["empty", "one", "all null", "23 hours"])
def test_under_24_observed_hours_nothing_is_said(y, granularity):
    model = fit(history(y), granularity, NOW)
    frame, chances = predict(model, 7), exceedance(model, 7, 150)

    assert (list(frame), len(frame)) == (["ds", "yhat", "yhat_lower", "yhat_upper"], 0)
    assert (list(chances), len(chances)) == (["ds", "p_above"], 0)
    assert first_crossing(model, 7, 150) == Crossing(None, None, None, None)


@pytest.mark.parametrize("hours", [24, 47])
def test_from_24_observed_hours_a_point_alone_is_said(hours):
    model = fit(history(latency(2)[:hours]), "hourly", NOW)
    frame = predict(model, 24)

    assert frame["yhat"].between(40, 250).all()
    assert frame[["yhat_lower", "yhat_upper"]].isna().all(axis=None)
    assert exceedance(model, 24, 150)["p_above"].isna().to_list() == [True] * 24
    assert first_crossing(model, 24, 150) == Crossing(None, None, None, None)


def test_from_48_observed_hours_all_is_said_even_of_the_farthest_hour():
    model = fit(history(latency(2)), "hourly", NOW)

    assert predict(model, 168).notna().all(axis=None)
    assert exceedance(model, 168, 150)["p_above"].between(0, 1).all()
    assert 0 < likelihood(model, 168, 150) < 1


def test_of_an_intermittent_history_only_shares_are_said():
    y = np.where(np.arange(240) % 4 == 0, 0, latency(10))  # 10:00 UTC begins with a zero hour, 60 of 240 are
    model = fit(history(y), "hourly", NOW)
    share = (y > 90).mean()

    assert model.readiness.intermittent
    assert predict(model, 24).drop(columns="ds").isna().all(axis=None)
    assert exceedance(model, 24, 90)["p_above"].iloc[0] == pytest.approx((0 + 5 * share) / (10 + 5))
    assert astuple(first_crossing(model, 24, 90)) == (pytest.approx(10.5 / 11), None, None, None)


ODD = {
    "constant": np.full(300, 7.0),
    "exactly periodic": 100 + 10 * np.sin(2 * np.pi * np.arange(400) / 24),
    "exactly periodic, short": 100 + 10 * np.sin(2 * np.pi * np.arange(60) / 24),
    "negative": latency(15) - 100,
    "all negative": -latency(15),
    "huge": latency(15) * 1e12,
    "tiny": latency(15) * 1e-8,
    "from tiny to huge": np.r_[np.full(300, 1e-6), 1e12],
    "a week without data": np.r_[latency(10), np.full(168, np.nan), latency(10)],
    "every other hour": np.where(np.arange(360) % 2, np.nan, latency(15)),
    "growing without end": np.exp(np.arange(400) / 20),
    "infinite once": np.where(np.arange(360) == 100, np.inf, latency(15)),
    "one wild hour": np.where(np.arange(360) == 100, 1e9, latency(15)),
    "stopped a week ago": np.r_[latency(15), np.full(168, np.nan)],
}


@pytest.mark.parametrize("y", ODD.values(), ids=ODD)
def test_an_odd_history_gets_a_finite_forecast(y):
    model = fit(history(y), "hourly", NOW)
    frame = predict(model, 168)
    seen = np.abs(y[np.isfinite(y)]).max()

    assert np.isfinite(frame.drop(columns="ds").to_numpy()).all()
    assert (frame["yhat_lower"] < frame["yhat"]).all()
    assert (frame["yhat"] < frame["yhat_upper"]).all()
    assert (frame["yhat_upper"] <= np.maximum(frame["yhat"], 2 * seen)).all()
    assert 0 < likelihood(model, 24, 150) < 1


def test_a_constant_history_goes_on_within_half_a_per_cent():
    frame = predict(fit(history(np.full(300, 7.0)), "hourly", NOW), 24)

    assert frame["yhat"].to_list() == pytest.approx([7] * 24)
    assert frame["yhat_lower"].to_list() == pytest.approx([7 * 0.995] * 24)
    assert frame["yhat_upper"].to_list() == pytest.approx([7 * 1.005] * 24)


def test_an_error_rate_stays_a_share():
    rates = np.clip(latency(15) / 160, 0, 1.2)
    model = fit(history(rates), "hourly", NOW, stat="error_rate")

    assert model.hours.values.max() == 1
    assert predict(model, 168, 99).drop(columns="ds").max(axis=None) <= 1
    assert exceedance(model, 24, 1)["p_above"].max() < 0.01


def test_a_counted_hour_without_a_row_is_zero_and_an_excluded_one_is_missing():
    rows = history(np.full(100, 50.0)).drop(index=[20, 21])
    rows.loc[40, "y"] = np.nan
    counted = fit(rows, "hourly", NOW, stat="count").hours.values
    measured = fit(rows, "hourly", NOW).hours.values

    assert counted[[20, 21]].tolist() == [0, 0]
    assert np.flatnonzero(np.isnan(counted)).tolist() == [40]
    assert np.flatnonzero(np.isnan(measured)).tolist() == [20, 21, 40]


def test_a_count_is_not_known_to_be_zero_after_the_last_observed_hour():
    stopped = history(np.full(100, 50.0), END - 8 * HOUR)

    assert np.isnan(fit(stopped, "hourly", NOW, stat="count").hours.values[-8:]).all()


@pytest.mark.parametrize(("granularity", "horizon"), [("hourly", 0), ("hourly", 169), ("daily", 31)])
def test_a_horizon_out_of_reach_is_refused(month, daily, granularity, horizon):
    model = month if granularity == "hourly" else daily

    with pytest.raises(QuestionError, match=f"horizon is {horizon}: expected 1 to"):
        predict(model, horizon)


# Readiness


@pytest.mark.parametrize(
    ("hours", "stage", "ready_in"),
    [
        (0, "none", 24),
        (23, "none", 1),
        (24, "point", 24),
        (47, "point", 1),
        (48, "short", 120),
        (167, "short", 1),
        (168, "no_week", 168),
        (335, "no_week", 1),
        (336, "full", None),
    ],
)
def test_each_stage_comes_with_its_hour_and_says_when_the_next_does(hours, stage, ready_in):
    ready = readiness(history(latency(20)[:hours]), NOW)

    assert (ready.observed_hours, ready.stage) == (hours, stage)
    assert ready.ready_at == (None if ready_in is None else END + ready_in * HOUR)


@pytest.mark.parametrize(
    ("hours", "stage", "ready_at"),
    [
        pytest.param(20, "none", datetime(2026, 3, 3), id="10 hours until midnight: a point from the next one on"),
        pytest.param(36, "point", datetime(2026, 3, 3), id="26 until midnight, 50 at the next"),
        pytest.param(12, "none", datetime(2026, 3, 3), id="2 until midnight, 26 at the next"),
        pytest.param(58, "short", datetime(2026, 3, 7), id="the week is full at a midnight"),
        pytest.param(59, "short", datetime(2026, 3, 7), id="an hour into a day that does not count yet"),
    ],
)
def test_a_daily_forecast_is_ready_at_a_midnight(hours, stage, ready_at):
    ready = readiness(history(latency(20)[:hours]), NOW, "daily")

    assert (ready.observed_hours, ready.stage, ready.ready_at) == (hours - 10, stage, ready_at)


def test_holes_delay_what_counts_hours_but_not_what_counts_days():
    y = latency(10)
    y[10:-30] = np.nan
    ready = readiness(history(y), NOW)

    assert (ready.observed_hours, ready.stage, ready.ready_at) == (40, "point", END + 8 * HOUR)


@pytest.mark.parametrize(
    ("silent", "since"),
    [pytest.param(5, None, id="five hours"), pytest.param(6, END - 6 * HOUR, id="six hours")],
)
@pytest.mark.parametrize("granularity", ["hourly", "daily"])
def test_six_missing_hours_at_the_end_mean_that_the_data_stopped(silent, since, granularity):
    assert readiness(history(latency(20), END - silent * HOUR), NOW, granularity).stopped_since == since


@pytest.mark.parametrize(("zeros", "intermittent"), [(20, False), (21, True)])
def test_more_than_a_fifth_of_zeros_is_intermittent(zeros, intermittent):
    y = np.r_[np.zeros(zeros), np.ones(100 - zeros)]

    assert readiness(history(y), NOW).intermittent is intermittent
    assert fit(history(y), "hourly", NOW).readiness == readiness(history(y), NOW)
