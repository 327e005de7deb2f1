"""Scores against plain loops: how far off, how honest, and whether 70 % means 70 %."""

import math
from datetime import datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.analysis.accuracy import Held, advantage, by_horizon, by_origin, held
from core.analysis.forecast import fit
from core.analysis.reliability import bins, brier_skill, chances, levels, reliability

MIDNIGHT = datetime(2026, 3, 2)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def replayed(random, models=("tracecast", "last_value"), cutoffs=3, horizon=24, width=HOUR):
    """Made-up forecasts with what came; some of it is not known."""
    rows = []
    for model in models:
        for origin in range(cutoffs):
            for step in range(horizon):
                low95, low80, middle, high80, high95 = sorted(random.normal(100, 20, 5))
                rows.append(
                    {
                        "model": model,
                        "cutoff": MIDNIGHT + origin * DAY,
                        "ds": MIDNIGHT + origin * DAY + step * width,
                        "y": math.nan if random.random() < 0.1 else random.normal(100, 20),
                        "yhat": middle,
                        "lower_95": low95,
                        "lower_80": low80,
                        "upper_80": high80,
                        "upper_95": high95,
                        "scale": 5.0 + origin,
                    }
                )
    return pd.DataFrame(rows)


def score(rows):
    """n, MASE, WIS and both coverages of known rows, one by one."""
    errors, scores, inside80, inside95 = [], [], [], []
    for row in rows:
        error = abs(row["y"] - row["yhat"])
        total = 0.5 * error
        for alpha, level in ((0.2, "80"), (0.05, "95")):
            low, high = row[f"lower_{level}"], row[f"upper_{level}"]
            interval = high - low
            if row["y"] < low:
                interval += 2 / alpha * (low - row["y"])
            if row["y"] > high:
                interval += 2 / alpha * (row["y"] - high)
            total += alpha / 2 * interval
        errors.append(error / row["scale"])
        scores.append(total / 2.5 / row["scale"])
        inside80.append(row["lower_80"] <= row["y"] <= row["upper_80"])
        inside95.append(row["lower_95"] <= row["y"] <= row["upper_95"])
    return [len(rows), np.mean(errors), np.mean(scores), np.mean(inside80), np.mean(inside95)]


def reach(name, horizon):
    """First and last bucket ahead of a group, from its name."""
    if name == "all":
        return 1, horizon
    first, _, last = name.partition(" to ")
    return int(first), int(last or first)


# Scores


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 168))
def test_scores_by_horizon_are_those_of_a_plain_loop(seed, horizon):
    replays = replayed(np.random.default_rng(seed), horizon=horizon)
    known = replays.dropna().to_dict("records")

    for row in by_horizon(replays, "hourly").itertuples(index=False):
        first, last = reach(row.horizon, horizon)
        mine = [
            each
            for each in known
            if each["model"] == row.model and first <= (each["ds"] - each["cutoff"]) / HOUR + 1 <= last
        ]

        assert list(row[2:]) == pytest.approx(score(mine))


def test_scores_by_origin_are_those_of_a_plain_loop():
    replays = replayed(np.random.default_rng(1))
    table = by_origin(replays)
    known = replays.dropna().to_dict("records")

    assert len(table) == 6
    for row in table.itertuples(index=False):
        mine = [each for each in known if (each["model"], each["cutoff"]) == (row.model, row.cutoff)]

        assert list(row[2:]) == pytest.approx(score(mine))


@pytest.mark.parametrize(
    ("granularity", "width", "horizon", "names"),
    [
        pytest.param("hourly", HOUR, 24, ["1 to 6", "7 to 12", "13 to 24", "all"], id="a day of hours"),
        pytest.param("hourly", HOUR, 13, ["1 to 6", "7 to 12", "13", "all"], id="one hour in its group"),
        pytest.param("hourly", HOUR, 168, ["1 to 6", "7 to 12", "13 to 24", "25 to 168", "all"], id="a week of hours"),
        pytest.param("daily", DAY, 7, ["1", "2 to 3", "4 to 7", "all"], id="a week of days"),
        pytest.param("daily", DAY, 30, ["1", "2 to 3", "4 to 7", "8 to 30", "all"], id="a month of days"),
    ],
)
def test_groups_of_buckets_ahead_stand_in_order_model_by_model(granularity, width, horizon, names):
    replays = replayed(np.random.default_rng(2), cutoffs=20, horizon=horizon, width=width)
    table = by_horizon(replays, granularity)

    assert list(table) == ["model", "horizon", "n", "mase", "wis", "coverage_80", "coverage_95"]
    assert table["model"].to_list() == ["tracecast"] * len(names) + ["last_value"] * len(names)
    assert table["horizon"].to_list() == names * 2


def test_both_ends_of_an_interval_count_as_inside():
    row = replayed(np.random.default_rng(3), cutoffs=1, horizon=2)
    row = row.assign(y=row["upper_80"].where(row["ds"] == MIDNIGHT, row["lower_80"]))

    assert by_origin(row)["coverage_80"].to_list() == [1.0, 1.0]


def test_a_constant_series_has_coverage_but_no_error_to_compare():
    rows = replayed(np.random.default_rng(4), cutoffs=1).assign(scale=math.nan)
    table = by_origin(rows)

    assert table["mase"].isna().all()
    assert table["coverage_95"].notna().all()


def test_nothing_replayed_yet_is_an_empty_table_with_all_columns():
    nothing = replayed(np.random.default_rng(5)).head(0)

    assert list(by_horizon(nothing, "hourly")) == ["model", "horizon", "n", "mase", "wis", "coverage_80", "coverage_95"]
    assert by_horizon(nothing, "hourly").empty


@pytest.mark.parametrize(
    ("ours", "peers", "expected"),
    [(0.75, 1.0, 0.25), (1.0, 0.75, -0.25), (1.0, 1.0, 0.0), (0.0, 1.0, 1.0), (0.0, 0.0, None), (math.nan, 1.0, None)],
)
def test_an_advantage_is_the_share_of_error_that_the_better_one_spares(ours, peers, expected):
    assert advantage(ours, peers) == (expected if expected is None else pytest.approx(expected))


# The record beside an interval


def days(came, before, lower=90.0):
    """Hours around midnight that were all expected to be 100, at most 110."""
    buckets = [MIDNIGHT + (hour - 1) * HOUR for hour in range(len(came))]
    return pd.DataFrame(
        {"bucket": buckets, "expected": 100.0, "lower": lower, "upper": 110.0, "came": came, "before": before}
    )


def test_what_held_counts_known_outcomes_and_compares_with_yesterday():
    record = days([110.0, 111, math.nan, 100], [math.nan, 90.0, 100, 100], lower=[90, 90, 90, math.nan])

    assert held(record) == Held(0.5, 2, 1, 1 - 11 / 21)


def test_of_days_without_a_yesterday_only_the_interval_is_told():
    assert held(days([100.0, 200] * 12, [math.nan] * 24)) == Held(0.5, 24, 1, None)


def test_errors_of_rounding_favour_nobody():
    record = days([100.0 + 1e-12] * 24, [100.0 + 1e-12] * 24)

    assert held(record) == Held(1.0, 24, 1, None)


def test_without_an_outcome_nothing_held():
    assert held(days([math.nan], [1.0])) is None


# Chances


@pytest.fixture(scope="module")
def model():
    random = np.random.default_rng(0)
    y = 100 * np.exp(0.3 * np.sin(2 * np.pi * np.arange(480) / 24) + 0.1 * random.standard_normal(480))
    return fit(pd.DataFrame({"ds": [MIDNIGHT - HOUR * back for back in range(480, 0, -1)], "y": y}), "hourly", MIDNIGHT)


def test_levels_are_percentiles_of_the_history(model):
    assert levels(model, 24) == pytest.approx(np.quantile(model.hours.values, [0.9, 0.95, 0.99]))


def test_a_chance_stands_beside_the_usual_share_and_what_came(model):
    came = np.full(24, 120.0)
    came[20] = 160
    table = chances(model, 24, came, [150.0, 170.0])
    highest = [max(model.hours.values[hour : hour + 24]) for hour in range(480 - 23)]

    assert list(table) == ["threshold", "said", "usual", "crossed"]
    assert table["said"].is_monotonic_decreasing
    assert table["usual"].to_list() == pytest.approx(
        [np.mean([high > line for high in highest]) for line in (150, 170)]
    )
    assert table["crossed"].to_list() == [1, 0]


@pytest.mark.parametrize(("missing", "crossed"), [(6, 0.0), (7, None)])
def test_a_horizon_of_which_too_much_is_missing_is_not_judged(model, missing, crossed):
    came = np.array([math.nan] * missing + [120.0] * (24 - missing))
    seen = chances(model, 24, came, [150.0])["crossed"].iloc[0]

    assert (None if math.isnan(seen) else seen) == crossed


def said(pairs, usual=0.5):
    return pd.DataFrame(
        [(1.0, chance, usual, crossed) for chance, crossed in pairs], columns=["threshold", "said", "usual", "crossed"]
    )


def test_a_bin_tells_what_came_of_chances_alike():
    table = bins(said([(0.05, 0), (0.07, 1), (0.7, 1), (0.75, 0), (0.79, 1), (0.99, 1), (0.5, math.nan)]))

    assert table["said"].to_list() == pytest.approx([0.06, (0.7 + 0.75 + 0.79) / 3, 0.99])
    assert table["came"].to_list() == pytest.approx([0.5, 2 / 3, 1])
    assert table["n"].to_list() == [2, 3, 1]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 1)), max_size=30))
def test_every_chance_is_in_one_bin_and_bins_stand_in_order(pairs):
    table = bins(said(pairs))

    assert table["n"].sum() == len(pairs)
    assert table["said"].is_monotonic_increasing


def test_a_warning_is_a_chance_of_crossing_the_threshold_above_the_one_to_warn_at():
    own, others = said([(0.6, 1), (0.7, 0), (0.5, 1), (0.9, math.nan), (0.2, 0)]), said([(0.99, 1)])
    told = reliability(own, others, 0.5)

    assert (told.warnings, told.came_true, told.crossings, told.said) == (2, 1, 2, 5)


def test_skill_compares_squared_errors_with_those_of_the_usual_share():
    pairs = [(0.9, 1), (0.2, 0), (0.6, 1)]
    ours = sum((chance - crossed) ** 2 for chance, crossed in pairs)
    usual = sum((0.3 - crossed) ** 2 for _, crossed in pairs)

    assert brier_skill(said(pairs, usual=0.3)) == pytest.approx(1 - ours / usual)


@pytest.mark.parametrize("pairs", [[], [(0.1, 0), (0.2, 0)]], ids=["nothing said", "the usual share was never wrong"])
def test_without_a_doubt_there_is_no_skill(pairs):
    assert brier_skill(said(pairs, usual=0.0)) is None
