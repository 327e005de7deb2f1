"""Anomalies as runs of buckets: where one begins and ends, and which bucket speaks for it."""

import statistics
from datetime import datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from core.analysis.anomalies import COLUMNS, day_ahead, observed_threshold, observed_unusual, predicted, strangeness
from core.analysis.forecast import fit, predict
from core.analysis.outlook import outlook

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
START = datetime(2026, 3, 2)


def buckets(values, width=HOUR, **more):
    """`bucket` and `value` from START on; None is a gap."""
    starts = [START + width * position for position in range(len(values))]
    return pd.DataFrame({"bucket": starts, "value": np.array(values, dtype=float), **more})


def rows(frame):
    """The rows with None for what is empty."""
    return [tuple(None if pd.isna(cell) else cell for cell in row) for row in frame.itertuples(index=False)]


def test_a_run_above_the_threshold_is_one_anomaly_told_by_its_highest_bucket():
    found = observed_threshold(buckets([100, 160, 180, 170, 150, 151]), 150, HOUR)

    assert list(found) == COLUMNS
    assert rows(found) == [
        ("observed_threshold", START + HOUR, START + 4 * HOUR, 180, None, None, None, 150, None),
        ("observed_threshold", START + 5 * HOUR, START + 6 * HOUR, 151, None, None, None, 150, None),
    ]


@pytest.mark.parametrize(
    "observed",
    [
        pytest.param(buckets([160, None, 170]), id="without a value"),
        pytest.param(buckets([160, 0, 170]).drop(index=1), id="without a row"),
    ],
)
def test_a_gap_ends_a_run(observed):
    found = observed_threshold(observed, 150, HOUR)

    assert (
        found[["start", "end"]].to_numpy().tolist()
        == pd.DataFrame({"start": [START, START + 2 * HOUR], "end": [START + HOUR, START + 3 * HOUR]})
        .to_numpy()
        .tolist()
    )


def test_days_in_a_row_are_one_run():
    found = observed_threshold(buckets([160, 170], DAY), 150, DAY)

    assert (found["start"][0], found["end"][0]) == (START, START + 2 * DAY)


def judged(values, strangeness, width=HOUR):
    return buckets(values, width, expected=100.0, lower=80.0, upper=120.0, strangeness=strangeness)


def test_what_is_stranger_than_five_deviations_is_unusual_and_told_by_the_strangest():
    found = observed_unusual(judged([100, 140, 20, 110, 80], [1, 5.1, 9, 5, 0]), "hourly")

    assert rows(found) == [("observed_unusual", START + HOUR, START + 3 * HOUR, 20, 100, 80, 120, None, None)]


@pytest.mark.parametrize(("granularity", "width", "apart"), [("hourly", HOUR, 3), ("daily", DAY, 1)])
def test_strange_buckets_a_few_hours_apart_are_one_anomaly_and_days_only_in_a_row(granularity, width, apart):
    for distance, runs in ((apart, 1), (apart + 1, 2)):
        strangeness = np.zeros(8)
        strangeness[[1, 1 + distance]] = 6
        found = observed_unusual(judged([100.0] * 8, strangeness, width), granularity)

        assert len(found) == runs
        assert (found["start"].iloc[0], found["end"].iloc[-1]) == (START + width, START + (2 + distance) * width)


def test_a_bucket_of_unknown_strangeness_is_not_judged():
    found = observed_unusual(judged([500.0, 500, 500], [np.nan, 7, None]), "hourly")

    assert rows(found) == [("observed_unusual", START + HOUR, START + 2 * HOUR, 500, 100, 80, 120, None, None)]


def test_what_was_expected_stands_beside_what_was_above_the_threshold():
    observed = buckets([100, 160], expected=[90.0, 95.0], lower=[80.0, 85.0], upper=[100.0, 105.0])

    assert rows(observed_threshold(observed, 150, HOUR)) == [
        ("observed_threshold", START + HOUR, START + 2 * HOUR, 160, 95, 85, 105, 150, None)
    ]


def test_a_predicted_run_is_over_the_asked_probability_and_told_by_its_likeliest_bucket():
    forecast = pd.DataFrame(
        {
            "ds": [START + hour * HOUR for hour in range(4)],
            "yhat": [100.0, 140, 145, 130],
            "yhat_lower": [90.0, 120, 125, 110],
            "yhat_upper": [110.0, 180, 190, 150],
            "p_above": [0.1, 0.51, 0.7, 0.5],
        }
    )

    assert rows(predicted(forecast, 150, 0.5, HOUR)) == [
        ("predicted", START + HOUR, START + 3 * HOUR, 145, None, 125, 190, 150, 0.7)
    ]


def test_nothing_found_is_a_frame_with_all_columns_that_joins_the_others():
    nothing = observed_threshold(buckets([160]).head(0), 150, HOUR)
    something = observed_threshold(buckets([160]), 150, HOUR)

    assert list(nothing) == COLUMNS
    assert nothing.dtypes.to_list() == something.dtypes.to_list()
    assert len(pd.concat([nothing, something])) == 1


@pytest.mark.parametrize(("granularity", "ahead"), [("hourly", 24), ("daily", 1)])
def test_a_model_of_midnight_expects_the_day_after_it(granularity, ahead):
    random = np.random.default_rng(0)
    y = 100 + 20 * np.sin(2 * np.pi * np.arange(240) / 24) + random.standard_normal(240)
    history = pd.DataFrame({"ds": [START - HOUR * back for back in range(240, 0, -1)], "y": y})
    model = fit(history, granularity, START)
    expectation = day_ahead(model, 80)

    assert list(expectation) == ["bucket", "expected", "lower", "upper"]
    assert expectation.to_numpy().tolist() == predict(model, ahead, 80).to_numpy().tolist()
    assert expectation["bucket"].iloc[[0, -1]].to_list() == [START, START + (ahead - 1) * HOUR]


# Strangeness


def wave(hours, seed=1):
    random = np.random.default_rng(seed)
    return 100 + 20 * np.sin(2 * np.pi * np.arange(hours) / 24) + 3 * random.standard_normal(hours)


def model_of(y, granularity="hourly"):
    """Fitted to the hours before START."""
    times = [START - HOUR * back for back in range(len(y), 0, -1)]
    return fit(pd.DataFrame({"ds": times, "y": y}), granularity, START)


def mean_of_both(model, past, came, size, fewest):
    """As the formula reads, a bucket at a time."""
    ahead = outlook(model, len(came))
    errors = [error for error in ahead.errors.ravel() if not np.isnan(error)]
    root_mean_square = max((sum(error**2 for error in errors) / len(errors)) ** 0.5, 0.01)
    scores, known = [], list(past)
    for y, centre in zip(came, ahead.centre, strict=True):
        week = [value for value in known[-size:] if not np.isnan(value)]
        known.append(y)
        if np.isnan(y) or len(week) < fewest:
            scores.append(np.nan)
            continue
        deviation = max(statistics.stdev(week), 0.01 * abs(statistics.fmean(week)))
        expected = abs(float(ahead.transform.to_z(np.array(y))) - centre) / root_mean_square
        scores.append((expected + abs(y - statistics.fmean(week)) / deviation) / 2)
    return scores


def test_strangeness_is_the_mean_of_two_distances_each_in_its_own_deviations():
    y = wave(264)
    y[30:40] = np.nan
    y[[245, 250]] = 200, np.nan
    model = model_of(y[:240])

    assert strangeness(model, y[240:]) == pytest.approx(
        mean_of_both(model, y[:240], y[240:], 168, 24), rel=1e-9, nan_ok=True
    )


def test_a_day_is_held_against_its_forecast_and_four_weeks_of_days():
    days = wave(40 * 24).reshape(40, 24)
    model = model_of(days.ravel(), "daily")
    came = np.array([150.0])

    assert strangeness(model, came) == pytest.approx(mean_of_both(model, days.mean(axis=1), came, 28, 7))


def test_what_came_later_changes_nothing():
    y = wave(264)
    later = y.copy()
    later[250:] = 1e6
    model = model_of(y[:240])

    assert strangeness(model, later[240:])[:10].tolist() == strangeness(model, y[240:])[:10].tolist()


def test_a_spike_is_strange_and_a_usual_day_is_not():
    y = wave(264)
    model = model_of(y[:240])
    usual = strangeness(model, y[240:])
    y[250] = 300

    assert usual.max() < 3
    assert np.flatnonzero(strangeness(model, y[240:]) > 5).tolist() == [10]


def test_a_value_that_never_changed_is_strange_when_it_does():
    came = np.full(24, 100.0)
    came[5] = 130

    assert np.flatnonzero(strangeness(model_of(np.full(240, 100.0)), came) > 5).tolist() == [5]


def test_after_a_week_of_nothing_anything_is_strange_and_nothing_is_not():
    y = np.concatenate([wave(50 * 24), np.zeros(8 * 24)])
    came = np.zeros(24)
    came[3] = 2.0
    scores = strangeness(model_of(y), came)

    assert scores[3] == np.inf
    assert scores[2] < 5


def test_a_value_below_what_the_scale_holds_is_strange_not_an_error():
    came = wave(24)
    came[4] = -500

    assert np.isfinite(strangeness(model_of(wave(240)), came)).all()
    assert strangeness(model_of(wave(240)), came)[4] > 5


@pytest.mark.parametrize("hours", [10, 30])
def test_without_past_errors_nothing_is_strange(hours):
    assert not np.isfinite(strangeness(model_of(wave(hours)), wave(24))).any()
