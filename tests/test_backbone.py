"""The steps of a forecast, one by one, against values worked out by hand or by a plain loop."""

from datetime import datetime
from statistics import median

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import t as student

from core.analysis.backbone import backbone, outliers, seasonal_median, seasonal_shape
from core.analysis.hours import Hours
from core.analysis.level import Level, followed
from core.analysis.past_errors import paths, pooled, quantile
from core.analysis.transform import Transform, chosen

NAN = float("nan")


def noisy_days(days, seed=0):
    """Hourly values with a day's shape and noise, some of them missing."""
    random = np.random.default_rng(seed)
    hours = np.arange(days * 24)
    z = 3 + np.sin(2 * np.pi * hours / 24) + 0.1 * random.standard_normal(len(hours))
    z[random.random(len(z)) < 0.1] = NAN
    z[0] = 3
    return z


def known(values):
    return [value for value in values if not np.isnan(value)]


# The transform


def test_the_scale_is_a_tenth_of_the_median_of_the_positive_values():
    transform = chosen(np.array([0, 20, NAN, 40, 30]))

    assert transform.scale == pytest.approx(3)
    assert transform.to_z(np.array([0, 3.0])) == pytest.approx([0, np.log(2)])
    assert transform.to_y(np.array([-1, np.log(2)])) == pytest.approx([0, 3])


def test_a_negative_value_means_no_transform_and_no_floor():
    transform = chosen(np.array([-1, 20]))

    assert transform.to_z(np.array([-1, 20])).tolist() == [-1, 20]
    assert transform.to_y(np.array([-5.0])).tolist() == [-5]


def test_without_a_positive_value_the_scale_is_one():
    assert chosen(np.array([0, 0])).scale == 1


@pytest.mark.parametrize(
    ("threshold", "level"),
    [
        pytest.param(0.3, np.log(4), id="within the bounds"),
        pytest.param(1, np.inf, id="never above the highest"),
        pytest.param(-1, -np.inf, id="always above the lowest"),
    ],
)
def test_a_threshold_outside_the_bounds_is_never_or_always_crossed(threshold, level):
    assert Transform(scale=0.1, highest=1).level(threshold) == pytest.approx(level)


# Outliers


def test_wild_hours_are_outliers_and_a_level_that_moved_is_none():
    z = noisy_days(20)
    z[150:] += 5
    z[[100, 301]] += 3
    found = set(np.flatnonzero(outliers(z, first_hour=7)))

    assert found >= {100, 301}
    assert len(found) < 10


def test_outliers_are_those_of_the_rule_worked_out_hour_by_hour():
    z, first_hour = noisy_days(6, seed=3), 5
    z[50] += 1.2
    residual = [
        value - median(known(z[(first_hour + np.arange(len(z))) % 24 == (first_hour + hour) % 24]))
        for hour, value in enumerate(z)
    ]
    left = [
        value - median(known(residual[max(hour - 12, 0) : hour + 13])) if not np.isnan(value) else NAN
        for hour, value in enumerate(residual)
    ]
    limit = 3.5 * 1.4826 * median(abs(value) for value in known(left))

    assert outliers(z, first_hour).tolist() == [abs(value) > limit for value in left]
    assert outliers(z, first_hour).any()


def test_where_most_hours_do_not_deviate_at_all_the_standard_deviation_is_the_measure():
    z = np.tile([1.0, 2.0, 3.0, 4.0], 60)
    z[100] += 10
    z[101] += 0.1

    assert np.flatnonzero(outliers(z, first_hour=0)).tolist() == [100]


# The backbone


def seasonal_by_loop(z, ahead):
    """The median of each hour's earlier days, an hour at a time."""
    padded = [*z, *[NAN] * ahead]
    days: list[float] = []
    expected: list[float] = []

    def lags(hour, back):
        return known([padded[hour - lag] for lag in back if hour >= lag])

    for hour in range(len(padded)):
        found = lags(hour, range(24, 169, 24))
        days.append(median(found) if found else days[hour - 24] if hour >= len(z) else NAN)
        weeks = lags(hour, (168, 336, 504, 672))
        expected.append((days[hour] + median(weeks)) / 2 if len(weeks) >= 2 else days[hour])
    return expected


@pytest.mark.parametrize("days", [2, 9, 33])
def test_the_seasonal_median_is_that_of_the_days_and_weeks_before(days):
    z = noisy_days(days)

    assert seasonal_median(z, 200) == pytest.approx(seasonal_by_loop(z, 200), nan_ok=True)


@pytest.mark.filterwarnings("ignore::DeprecationWarning:prophet.forecaster")  # Prophet's own, see prophet_model
def test_the_shape_is_what_prophet_itself_predicts():
    from prophet import Prophet

    start = datetime(2026, 3, 4, 5)
    z = noisy_days(15)
    moments = pd.date_range(start, periods=len(z) + 48, freq="h")
    left = np.isfinite(z) & ~outliers(z, 5)
    prophet = Prophet(growth="flat", weekly_seasonality=True, daily_seasonality=True, yearly_seasonality=False)
    prophet.uncertainty_samples = 0
    prophet.fit(pd.DataFrame({"ds": moments[: len(z)][left], "y": z[left]}), seed=1)

    assert seasonal_shape(z, Hours(start, z), 48) == pytest.approx(
        prophet.predict(pd.DataFrame({"ds": moments}))["yhat"].to_numpy(), rel=1e-9
    )


def test_the_backbone_is_six_parts_shape_and_four_parts_seasonal_median_or_the_shape_alone():
    z = noisy_days(4)
    hours = Hours(datetime(2026, 3, 4), z)
    shape, seasonal = seasonal_shape(z, hours, 24), seasonal_median(z, 24)

    blended = np.where(np.isnan(seasonal), shape, 0.6 * shape + 0.4 * seasonal)

    assert np.isnan(seasonal[:24]).all()
    assert backbone(z, hours, 24) == pytest.approx(blended)


# The level correction


def test_the_level_is_the_median_of_the_last_day_and_the_deviation_what_is_left():
    residual = noisy_days(5, seed=1) - 3
    residual[60:90] = NAN
    level = followed(residual)
    expected_level: list[float] = []
    expected_deviation: list[float] = []
    for hour, value in enumerate(residual):
        day = known(residual[max(hour - 23, 0) : hour + 1])
        expected_level.append(median(day) if len(day) >= 6 else expected_level[-1] if hour >= 6 else 0)
        near = [back for back in range(7) if hour >= back and not np.isnan(residual[hour - back])]
        last = hour - near[0] if near else None
        expected_deviation.append(0 if last is None else residual[last] - expected_level[last])
        assert np.isnan(value) or last == hour

    assert level.level == pytest.approx(expected_level)
    assert level.deviation == pytest.approx(expected_deviation)


def test_persistence_is_the_regression_of_a_deviation_on_the_one_before():
    residual = noisy_days(5, seed=2) - 3
    level = followed(residual)
    pairs = [
        (residual[hour] - level.level[hour], residual[hour + 1] - level.level[hour + 1])
        for hour in range(len(residual) - 1)
        if not np.isnan(residual[hour]) and not np.isnan(residual[hour + 1])
    ]

    assert level.persistence == pytest.approx(sum(a * b for a, b in pairs) / sum(a * a for a, _ in pairs))


@pytest.mark.parametrize(
    ("residual", "persistence"),
    [
        pytest.param(np.tile([1.0, -1.0], 50), 0, id="not below 0"),
        pytest.param(1.1 ** np.arange(100.0), 0.98, id="not above .98"),
        pytest.param(np.arange(24.0), 0.5, id="under 24 pairs"),
        pytest.param(np.zeros(100), 0.5, id="nothing deviates"),
    ],
)
def test_persistence_is_held_within_bounds_and_a_half_where_it_is_not_known(residual, persistence):
    assert followed(residual).persistence == persistence


def test_the_correction_halves_the_level_in_200_hours_and_the_deviation_by_its_persistence():
    level = Level(np.array([2.0]), np.array([1.0]), 0.5)

    assert level.correction(np.array([1.0, 2.0, 200.0])) == pytest.approx(
        np.array([[2 * 0.5**0.005 + 0.5, 2 * 0.5**0.01 + 0.25, 1 + 0.5**200]])
    )


# Errors of the past


def test_an_error_is_what_came_less_what_the_correction_would_have_said_widened_with_the_hours_ahead():
    residual = noisy_days(9, seed=4) - 3
    level = followed(residual)
    errors = paths(residual, level, 168)

    assert errors.shape == (len(residual) - 23, 168)
    for t, h, ramp in [(23, 1, 1 + 0.1 / 24), (60, 24, 1.1), (30, 96, 1.15), (40, 168, 1.2)]:
        said = level.level[t] * 0.5 ** (h / 200) + level.deviation[t] * level.persistence**h
        assert errors[t - 23, h - 1] == pytest.approx((residual[t + h] - said) * ramp, nan_ok=True)
    assert np.isnan(errors[-1]).all()


def test_a_group_with_under_ten_errors_borrows_all():
    few, all_of_them = np.array([[1.0, NAN]] * 9), np.arange(40.0).reshape(4, 10)

    assert pooled(few, all_of_them).tolist() == list(range(40))
    assert pooled(np.array([[1.0, NAN]] * 10), all_of_them).tolist() == [1.0] * 10


def test_a_quantile_is_half_a_student_t_and_half_the_errors_own():
    errors = np.array([-2.0, -1, -1, 0, 1, 1, 2, 3, 100])
    held = np.clip(errors, -4 * 1.4826, 4 * 1.4826)  # the median of |error| is 1
    spread = np.sqrt((held**2).mean())

    for observed_hours, hours_ahead, degrees in ((240, 24, 9), (48, 24, 2), (240, 168, 3), (336, 168, 7)):
        wider = student.ppf(0.975, degrees) / 1.96
        for p, own in ((0.25, -1), (0.5, 1), (0.75, 2)):
            assert quantile(errors, np.array([p]), observed_hours, hours_ahead) == pytest.approx(
                [0.5 * student.ppf(p, degrees) * spread + 0.5 * own * wider]
            )


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50), st.integers(48, 1440), st.integers(1, 168))
@settings(max_examples=50, deadline=None)
def test_quantiles_never_cross(errors, observed_hours, hours_ahead):
    p = np.array([0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99])
    quantiles = quantile(np.array(errors), p, observed_hours, hours_ahead)

    assert (np.diff(quantiles) >= 0).all()
