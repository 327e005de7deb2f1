"""Past forecasts as they would have been said: from what was known then, by Tracecast and by its peers."""

import pickle
from datetime import datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from core.analysis import peers
from core.analysis.backtest import MODELS, known_at, origins, outcomes, reach, said
from core.analysis.forecast import fit, predict

MIDNIGHT = datetime(2026, 3, 2)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def history(y, end=MIDNIGHT):
    """Hourly rows that end with the hour before `end`."""
    y = np.asarray(y, dtype=float)
    return pd.DataFrame({"ds": pd.Series([end - HOUR * back for back in range(len(y), 0, -1)], dtype="M8[us]"), "y": y})


def latency(days, seed=0):
    random = np.random.default_rng(seed)
    shape = 0.3 * np.sin(2 * np.pi * np.arange(days * 24) / 24)
    return 100 * np.exp(shape + 0.1 * random.standard_normal(days * 24))


# Origins


def test_origins_are_the_last_28_midnights_whose_horizon_has_passed():
    found = origins(history(latency(60)), "hourly", MIDNIGHT + 13 * HOUR, 24)

    assert found == [MIDNIGHT - back * DAY for back in range(28, 0, -1)]


@pytest.mark.parametrize(
    ("granularity", "horizon", "newest"),
    [
        pytest.param("hourly", 13, MIDNIGHT, id="today's midnight"),
        pytest.param("hourly", 14, MIDNIGHT - DAY, id="an hour of it is not known yet"),
        pytest.param("daily", 7, MIDNIGHT - 7 * DAY, id="a week of days"),
    ],
)
def test_the_newest_origin_is_as_new_as_its_horizon_allows(granularity, horizon, newest):
    assert origins(history(latency(60)), granularity, MIDNIGHT + 13 * HOUR, horizon)[-1] == newest


def test_a_short_history_has_fewer_origins_the_first_after_two_days():
    assert origins(history(latency(5)), "hourly", MIDNIGHT, 24) == [
        MIDNIGHT - 3 * DAY,
        MIDNIGHT - 2 * DAY,
        MIDNIGHT - DAY,
    ]
    assert origins(history(latency(2)), "hourly", MIDNIGHT, 24) == []


def test_what_is_known_at_an_origin_are_the_sixty_days_before_it():
    known = known_at(history(latency(80)), MIDNIGHT - 2 * DAY)

    assert known["ds"].iloc[0] == MIDNIGHT - 62 * DAY
    assert known["ds"].iloc[-1] == MIDNIGHT - 2 * DAY - HOUR


# Outcomes


def test_an_outcome_is_what_came_hour_by_hour_with_holes():
    hours = history(np.arange(1.0, 49)).drop(index=[25])

    assert outcomes(hours, "hourly", MIDNIGHT - DAY, 3).tolist() == pytest.approx([25, np.nan, 27], nan_ok=True)


def test_hours_that_have_not_come_are_not_known():
    came = outcomes(history([1.0, 2, 3]), "hourly", MIDNIGHT - HOUR, 3)

    assert came.tolist() == pytest.approx([3, np.nan, np.nan], nan_ok=True)


@pytest.mark.parametrize(("stat", "expected"), [("avg", 12.5), ("volume", 300.0)])
def test_a_days_outcome_is_the_mean_of_its_hours_or_their_sum(stat, expected):
    assert outcomes(history(np.arange(1.0, 25)), "daily", MIDNIGHT - DAY, 1, stat).tolist() == [expected]


def test_a_day_of_which_too_much_is_missing_is_not_known():
    assert np.isnan(outcomes(history(latency(2)).iloc[:-7], "daily", MIDNIGHT - DAY, 1)).all()


# What is said


@pytest.mark.parametrize("granularity", ["hourly", "daily"])
@pytest.mark.parametrize("model", MODELS)
def test_every_model_says_a_middle_and_two_intervals_for_each_bucket_ahead(model, granularity):
    frame = said(model, history(latency(21)), granularity, MIDNIGHT, 30).frame
    width = HOUR if granularity == "hourly" else DAY

    assert frame["ds"].to_list() == [MIDNIGHT + step * width for step in range(30)]
    assert set(frame["model"]) == {model}
    assert set(frame["cutoff"]) == {MIDNIGHT}
    assert frame[["lower_95", "lower_80", "yhat", "upper_80", "upper_95"]].notna().all(axis=None)
    assert (frame["lower_95"] <= frame["lower_80"]).all()
    assert (frame["lower_80"] <= frame["upper_80"]).all()
    assert (frame["upper_80"] <= frame["upper_95"]).all()


def test_tracecasts_part_is_its_own_forecast_and_the_fit_comes_with_it():
    hours = history(latency(21))
    answer = said("tracecast", hours, "hourly", MIDNIGHT, 24)
    expected = predict(fit(hours, "hourly", MIDNIGHT), 24, 80)

    assert answer.frame["yhat"].to_list() == expected["yhat"].to_list()
    assert answer.frame["upper_80"].to_list() == expected["yhat_upper"].to_list()
    assert answer.fitted is not None
    assert said("last_value", hours, "hourly", MIDNIGHT, 24).fitted is None


@pytest.mark.parametrize("model", MODELS)
def test_nothing_from_the_origin_on_is_used(model):
    hours = history(latency(10))
    later = history(np.concatenate([latency(10), 1e6 + latency(2)]), MIDNIGHT + 2 * DAY)

    pd.testing.assert_frame_equal(
        said(model, later, "hourly", MIDNIGHT, 24).frame,
        said(model, hours, "hourly", MIDNIGHT, 24).frame,
        check_exact=True,
    )


def test_what_is_said_fits_through_a_pipe():
    answer = said("tracecast", history(latency(60)), "hourly", MIDNIGHT, 24)

    assert len(pickle.dumps(answer)) < 100_000


@pytest.mark.parametrize(
    "y",
    [
        pytest.param([100.0] * 72, id="constant"),
        pytest.param([0.0] * 60 + [1.0] * 12, id="intermittent"),
        pytest.param(-latency(3), id="negative"),
        pytest.param(1e12 * latency(3), id="huge"),
        pytest.param(1e-6 * latency(3), id="tiny"),
        pytest.param([], id="empty"),
        pytest.param([5.0], id="one hour"),
    ],
)
@pytest.mark.parametrize("model", MODELS)
def test_odd_histories_raise_and_warn_of_nothing(model, y):
    for granularity in ("hourly", "daily"):
        frame = said(model, history(y), granularity, MIDNIGHT, 7).frame

        assert not np.isinf(frame[["yhat", "lower_95", "upper_95"]]).any(axis=None)


def test_few_horizons_take_forecasts_of_their_own():
    assert [reach("hourly", horizon) for horizon in (1, 24, 25, 168)] == [24, 24, 168, 168]
    assert [reach("daily", horizon) for horizon in (1, 7, 8, 30)] == [7, 7, 30, 30]


# The scale of errors


def test_the_scale_is_the_mean_change_from_day_to_day_of_what_was_known():
    y = latency(10)
    y[30] = np.nan
    changes = [abs(y[hour] - y[hour - 24]) for hour in range(24, 240) if hour not in (30, 54)]

    assert said("last_value", history(y), "hourly", MIDNIGHT, 24).frame["scale"].unique() == pytest.approx(
        [np.mean(changes)]
    )


def test_days_are_scaled_by_their_change_from_week_to_week():
    y = latency(20)
    days = y.reshape(20, 24).mean(axis=1)
    scale = np.mean([abs(days[day] - days[day - 7]) for day in range(7, 20)])

    assert said("last_value", history(y), "daily", MIDNIGHT, 7).frame["scale"].unique() == pytest.approx([scale])


@pytest.mark.parametrize("y", [latency(1), [100.0] * 72], ids=["nothing to compare with", "no change"])
def test_without_a_change_there_is_no_scale(y):
    assert said("last_value", history(y), "hourly", MIDNIGHT, 24).frame["scale"].isna().all()


# Peers


def test_repeating_a_season_says_the_same_hour_of_the_last_day_that_has_it():
    past = np.arange(72.0)
    past[[70, 71]] = np.nan
    middle = peers.repeated(past, 48, 24)[2]

    assert middle.tolist() == [*range(48, 70), 46, 47] * 2


def test_the_last_value_is_the_last_that_is_known():
    assert peers.repeated(np.array([1.0, 7.0, np.nan]), 3, 1)[2].tolist() == [7, 7, 7]


def test_the_interval_of_a_repeated_value_comes_from_changes_over_as_long():
    past = latency(10)
    quantiles = peers.repeated(past, 30, 24)
    one_day = sorted(past[hour] - past[hour - 24] for hour in range(24, 240))
    two_days = sorted(past[hour] - past[hour - 48] for hour in range(48, 240))

    assert quantiles[4, 0] - past[-24] == pytest.approx(np.quantile(one_day, 0.975))
    assert quantiles[0, 29] - past[-24 + 5] == pytest.approx(np.quantile(two_days, 0.025))


def test_the_last_values_interval_widens_hour_by_hour():
    past = np.random.default_rng(1).standard_normal(400).cumsum()
    quantiles = peers.repeated(past, 24, 1)
    six_hours = [past[hour] - past[hour - 6] for hour in range(6, 400)]

    assert quantiles[3, 5] - past[-1] == pytest.approx(np.quantile(six_hours, 0.9))


def test_the_originals_settings_are_prophets_own_and_draw_the_same_each_time():
    from prophet import Prophet

    y = latency(14)
    hours = history(y)
    starts = hours["ds"].to_numpy("M8[us]")
    before = np.random.get_state(legacy=False)["state"]["key"].tolist()
    first, second = (peers.original(y, starts, 24) for _ in range(2))
    expected = Prophet(interval_width=0.95).fit(hours, seed=1)
    ahead = expected.make_future_dataframe(24, freq="h", include_history=False)

    assert first.tolist() == second.tolist()
    assert np.random.get_state(legacy=False)["state"]["key"].tolist() == before
    assert first[2].tolist() == pytest.approx(expected.predict(ahead)["yhat"].to_list())
