"""What a threshold would have cost, against a plain loop over the buckets."""

import itertools
from datetime import datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.analysis.cost import Chances, chances, curve, lines, suggested
from core.analysis.crossing import exceedance
from core.analysis.forecast import fit

START = datetime(2026, 3, 2)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def said(p_above, came, line=100.0):
    """One line; hours from a midnight on, as the midnight before each said."""
    hours = np.datetime64(START, "us") + np.arange(len(came)) * np.timedelta64(1, "h")
    return Chances(
        hours,
        hours.astype("M8[D]").astype("M8[us]"),
        np.array(came, dtype=float),
        np.array([line]),
        np.array([p_above], dtype=float),
    )


def row(chances, p=0.5):
    """Warnings, real ones, crossings, unannounced ones, and the lead in hours."""
    _, *counts, lead = curve(chances, p).iloc[0]
    return (*counts, None if pd.isna(lead) else lead / HOUR)


def test_a_warning_is_a_run_of_hours_over_p_and_real_if_one_of_them_was_above():
    p_above = [0, 0.6, 0.7, 0, 0.9, 0.5, 0.6]
    came = [50, 50, 120, 50, 90, 200, 50]

    assert row(said(p_above, came)) == (3, 1, 2, 1, 2)


def test_a_higher_p_warns_less():
    p_above = [0, 0.6, 0.7, 0, 0.9, 0.5, 0.6]

    assert row(said(p_above, [50] * 7), 0.65)[0] == 2
    assert row(said(p_above, [50] * 7), 0.95) == (0, 0, 0, 0, None)


def test_what_is_not_known_makes_a_warning_neither_real_nor_false():
    assert row(said([0.9, 0, 0.9, 0.9], [np.nan, 50, np.nan, 120])) == (1, 1, 1, 0, 3)


def test_where_nothing_could_be_said_a_crossing_was_unannounced():
    assert row(said([np.nan, np.nan], [50, 120])) == (0, 0, 1, 1, None)


def test_a_crossing_that_ran_already_was_not_announced_by_the_next_midnight():
    came = [50] * 23 + [120] * 4
    p_above = [0] * 24 + [0.9] * 3

    assert row(said(p_above, came)) == (1, 1, 1, 1, None)


def test_a_crossing_that_was_warned_of_in_a_later_hour_was_announced_from_its_midnight_on():
    came = [50] * 10 + [120] * 4
    p_above = [0] * 12 + [0.9] * 2

    assert row(said(p_above, came)) == (1, 1, 1, 0, 10)


def loop(chances, line, p):
    """The definitions of the module, a bucket at a time."""
    hours = list(zip(chances.buckets, chances.made, chances.came, chances.p_above[line], strict=True))
    above = [came > chances.lines[line] for _, _, came, _ in hours]
    warned = [chance > p for _, _, _, chance in hours]

    def runs(flags):
        groups = itertools.groupby(range(len(flags)), key=lambda index: flags[index])
        return [list(group) for flag, group in groups if flag]

    warnings = [run for run in runs(warned) if any(not np.isnan(hours[index][2]) for index in run)]
    real = [run for run in warnings if any(above[index] for index in run)]
    leads = []
    for run in runs(above):
        began = hours[run[0]][0]
        in_time = [began - hours[index][1] for index in run if warned[index] and hours[index][1] <= began]
        leads += in_time[:1]
    crossings = len(runs(above))
    middle = sorted(leads)[len(leads) // 2] / np.timedelta64(1, "h") if leads else None
    return len(warnings), len(real), crossings, crossings - len(leads), middle


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.05, 0.3, 0.5, 0.95]))
@settings(max_examples=30, deadline=None)
def test_every_line_is_what_a_plain_loop_counts(seed, p):
    random = np.random.default_rng(seed)
    came = 100 + 30 * random.standard_normal(60)
    came[random.integers(0, 60, 8)] = np.nan
    p_above = np.sort(random.random((5, 60)), axis=0)[::-1]
    p_above[:, :7] = np.nan
    one = said(p_above[0], came)
    many = Chances(one.buckets, one.made, came, np.array([60.0, 90, 100, 120, 200]), p_above)
    counted = curve(many, p)

    assert counted["threshold"].to_list() == [60, 90, 100, 120, 200]
    for line in range(5):
        _, *counts, lead = counted.iloc[line]
        assert (*counts, None if pd.isna(lead) else lead / HOUR) == loop(many, line, p)


# Lines


def test_lines_are_round_and_reach_from_the_median_to_twice_as_far_as_the_highest_twentieth():
    came = 100 + 10 * np.random.default_rng(0).standard_normal(336)
    came[:5] = 900
    tried = lines(np.append(came, np.nan))
    middle, high = np.quantile(came, [0.5, 0.95])

    assert 25 <= len(tried) <= 62
    assert tried[0] <= middle < tried[1]
    assert tried[-2] < 2 * high - middle <= tried[-1]
    assert all(f"{line:.4g}" == f"{line:.12g}" for line in tried)


def test_what_is_nearly_always_the_same_is_tried_up_to_its_top():
    tried = lines(np.array([1.0] * 99 + [4.0]))

    assert (tried[0], tried[-1]) == (1.0, 7.0)


@pytest.mark.parametrize("scale", [1e-6, 1, 1e12])
def test_lines_go_with_the_unit(scale):
    assert 25 <= len(lines(scale * np.arange(1, 337))) <= 62


@pytest.mark.parametrize("came", [[], [np.nan] * 3, [5.0] * 24, [0.0] * 24, [-3.0, -2.0, -1.0]])
def test_where_nothing_varies_above_zero_there_is_no_line_to_try(came):
    assert lines(np.array(came)) == []


# Chances


@pytest.mark.parametrize(("granularity", "size"), [("hourly", 24), ("daily", 1)])
def test_each_day_says_what_its_midnight_said(granularity, size):
    random = np.random.default_rng(0)
    y = 100 + 20 * np.sin(2 * np.pi * np.arange(12 * 24) / 24) + 5 * random.standard_normal(12 * 24)
    days = []
    for midnight in (START - DAY, START):
        known = int((midnight - START) / HOUR) + 240
        history = pd.DataFrame({"ds": [START + HOUR * (hour - 240) for hour in range(known)], "y": y[:known]})
        days.append((fit(history, granularity, midnight), np.full(size, float(known))))
    told = chances(days, [90.0, 115.0])

    assert told.buckets.tolist() == [START - DAY + (HOUR if size > 1 else DAY) * step for step in range(2 * size)]
    assert told.made.tolist() == [START - DAY] * size + [START] * size
    assert told.came.tolist() == [216.0] * size + [240.0] * size
    expected = [exceedance(model, size, 115.0)["p_above"].to_list() for model, _ in days]
    assert told.p_above[1].tolist() == expected[0] + expected[1]


def test_a_midnight_that_could_say_nothing_leaves_its_day_unknown():
    nothing = fit(pd.DataFrame({"ds": [START], "y": [1.0]}), "hourly", START)

    assert np.isnan(chances([(nothing, np.zeros(24))], [1.0, 2.0]).p_above).all()
    assert chances([(nothing, np.zeros(24))], []).p_above.shape == (0, 24)


# What is suggested


def counted(*rows):
    return pd.DataFrame(rows, columns=["threshold", "warnings", "real"])


def test_the_lowest_line_is_suggested_at_which_half_of_few_warnings_were_real():
    found = suggested(counted((100, 20, 15), (110, 8, 7), (120, 7, 3), (130, 6, 3), (140, 4, 4)), 14)

    assert found is not None
    assert found["threshold"] == 130


def test_without_a_warning_that_came_true_nothing_is_suggested():
    assert suggested(counted((100, 20, 15), (120, 7, 3), (130, 0, 0)), 14) is None
