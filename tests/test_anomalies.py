"""Anomalies as runs of buckets: where one begins and ends, and which bucket speaks for it."""

from datetime import datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from core.analysis.anomalies import COLUMNS, day_ahead, observed_threshold, observed_unusual, predicted
from core.analysis.forecast import fit, predict

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


def test_what_lies_outside_the_interval_on_either_side_is_unusual_and_told_by_the_farthest():
    observed = buckets([100, 121, 60, 110, 80, 79])
    expectation = observed[["bucket"]].assign(expected=100.0, lower=80.0, upper=120.0)
    found = observed_unusual(observed, expectation, HOUR)

    assert rows(found) == [
        ("observed_unusual", START + HOUR, START + 3 * HOUR, 60, 100, 80, 120, None, None),
        ("observed_unusual", START + 5 * HOUR, START + 6 * HOUR, 79, 100, 80, 120, None, None),
    ]


def test_a_bucket_without_an_expectation_is_not_judged():
    observed = buckets([500, 500, 500])
    expectation = observed[["bucket"]].assign(expected=100.0, lower=[80, 80, np.nan], upper=[120, 120, np.nan])
    found = observed_unusual(observed, expectation.tail(2), HOUR)

    assert rows(found) == [("observed_unusual", START + HOUR, START + 2 * HOUR, 500, 100, 80, 120, None, None)]


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


def test_a_spike_is_unusual_against_the_day_ahead():
    random = np.random.default_rng(1)
    y = 100 + 20 * np.sin(2 * np.pi * np.arange(264) / 24) + random.standard_normal(264)
    y[250] = 200
    times = [START - HOUR * back for back in range(240, -24, -1)]
    expectation = day_ahead(fit(pd.DataFrame({"ds": times[:240], "y": y[:240]}), "hourly", START), 99)
    found = observed_unusual(pd.DataFrame({"bucket": times, "value": y}), expectation, HOUR)

    assert found["start"].to_list() == [START + 10 * HOUR]
    assert found["value"].to_list() == [200]
