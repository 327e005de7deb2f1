"""Looking back: what past midnights said, held against what came."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import cast

import numpy as np
import pandas as pd
import streamlit as st

from core import backtests, replays
from core import question as asking
from core.aggregates import column, metrics, threshold
from core.ahead import forecast
from core.analysis import anomalies as found
from core.analysis import cost as costing
from core.analysis import metrics as statements
from core.analysis.accuracy import Held
from core.analysis.accuracy import held as held_of
from core.analysis.backtest import SEASON, Said, outcomes
from core.analysis.cost import Cost
from core.analysis.hours import Floats
from core.analysis.model import Model
from core.asked import READ_ALOUD, Key, about_ahead, fit_end, histories, history_of, of_group, table, version, window
from core.backtests import Backtest, Reliability
from core.question import Question, bucket_start, bucket_width

__all__ = [
    "Backtest",
    "Cost",
    "Held",
    "Reliability",
    "accuracy",
    "anomalies",
    "backtest",
    "cost",
    "held",
    "reliability",
]

UNUSUAL_REACH = timedelta(days=60)  # a refit for each day: what is unusual is looked for this far back
HELD_OVER = timedelta(days=14)
REFIT_GROUPS = 12  # the largest ones, where each takes dozens of fits


def anomalies(question: Question, now: datetime) -> pd.DataFrame:
    """What should not be, ahead (`predicted`) and in the window.

    `source, measure, unit`[`, group`]`, kind, start, end, value, expected, lower, upper, threshold, probability`.

    Unusual buckets are looked for in the last 60 days of the window, and with `by` in the 12 largest groups.
    """
    width = bucket_width(question.granularity)
    line = threshold(question, now)
    ahead, seen = forecast(question, now), metrics(question, now)
    start, end = bucket_start(window(question, now).start, question.granularity), fit_end(question, now)
    asked = replace(about_ahead(question), horizon=None)
    frames = []
    for group, observed, unusual in _judged(asked, start, end, version(question.source), seen):
        predicted = found.predicted(of_group(ahead, group), line, question.p, width)
        parts = [predicted, unusual, found.observed_threshold(observed, line, width)]
        frames.append(pd.concat(parts, ignore_index=True).assign(group=group))
    return table(question, pd.concat(frames, ignore_index=True))


def backtest(question: Question, now: datetime, group: str | None = None) -> Backtest:
    """The forecasts of the last 28 midnights, as far as they are replayed: the first question begins that, and it goes
    on in the background. With `by` those of `group`.
    """
    return backtests.backtest(_backtest(about_ahead(question), group, fit_end(question, now)))


def accuracy(question: Question, now: datetime) -> pd.DataFrame:
    """`source, measure, unit`[`, group`]`, model, horizon, n, mase, wis, coverage_80, coverage_95`, the latter as
    `analysis.accuracy.by_horizon` says; no rows where no day of the history can be replayed.

    Waits until all are. With `by` those of the 12 largest groups.
    """
    asked, end = about_ahead(question), fit_end(question, now)
    plans = {group: _backtest(asked, group, end) for group, _ in histories(asked, end)[:REFIT_GROUPS]}
    for plan in plans.values():
        backtests.backtest(plan)  # all of them begin before the first is waited for
    tables = [backtests.accuracy(plan).assign(group=group) for group, plan in plans.items()]
    return table(question, pd.concat(tables, ignore_index=True))


def reliability(question: Question, now: datetime, group: str | None = None) -> Reliability:
    """Whether the chances of a crossing that those forecasts said came true, as soon as they are there."""
    plan = _backtest(about_ahead(question), group, fit_end(question, now))
    return backtests.reliability(plan, threshold(question, now), question.p)


def held(question: Question, now: datetime, group: str | None = None) -> Held | None:
    """How forecasts a day ahead, the ones by which anomalies are found, did over the last 14 days.

    None as long as that is not known: the workers are at it, or there was no interval. With `by` those of `group`.
    """
    about = replace(about_ahead(question), horizon=None), group, fit_end(question, now), version(question.source)
    plan, before = _last_days(*about)
    answers = replays.fits(plan)
    if not all(answer.done() and not answer.exception() for answer in answers):
        return None
    return _held(*about, plan, before, [answer.result() for answer in answers])


def cost(question: Question, now: datetime, group: str | None = None) -> Cost | None:
    """What thresholds would have cost over the last 14 days, warning at a chance above `p`, by the forecasts of
    `held`; waits until these are there. None where they said nothing. With `by` those of `group`.
    """
    asked, end = replace(about_ahead(question), horizon=None), fit_end(question, now)
    plan, _ = _last_days(asked, group, end, version(question.source))
    if not plan.origins:
        return None
    days = [
        (cast(Model, answer.result().fitted), origin.came)
        for answer, origin in zip(replays.fits(plan), plan.origins, strict=True)
    ]
    content = tuple((_key(asked, origin), origin.came.tobytes()) for origin in plan.origins)
    tried = tuple(costing.lines(np.concatenate([came for _, came in days])))
    many, own = (_said(content, lines, days) for lines in (tried, (threshold(question, now),)))
    return costing.cost(many, own, question.p, end - HELD_OVER)


@st.cache_resource(max_entries=32, show_spinner=False, hash_funcs=READ_ALOUD)  # a copy for each reader is 3 ms
def _judged(
    asked: Question, start: datetime, end: datetime, version: int, _seen: pd.DataFrame
) -> list[tuple[str | None, pd.DataFrame, pd.DataFrame]]:
    """For each group the complete buckets of `_seen` (of `metrics`), in the largest with what the midnight before
    expected of them and how strange they were, and the anomalies that were unusual:
    `bucket, value`[`, expected, lower, upper`]`, strangeness`.
    """
    complete = _seen[_seen["complete"]].rename(columns={column(asked): "value"})
    since = max(bucket_start(start, "daily"), bucket_start(end, "daily") - UNUSUAL_REACH)
    midnights = pd.date_range(since, end, freq="D", inclusive="left", unit="us")
    long = dict(histories(asked, end, end - since + statements.HISTORY)[:REFIT_GROUPS])
    judged = []
    for group, _ in histories(asked, end):
        observed = of_group(complete, group)[["bucket", "value"]]
        days = _judgements(asked, _days(asked, long[group], midnights)) if group in long else []
        if days:
            observed = observed.merge(pd.concat(days, ignore_index=True), on="bucket", how="left")
        else:
            observed = observed.assign(strangeness=np.nan)
        judged.append((group, observed, found.observed_unusual(observed, asked.granularity)))
    return judged


def _judgements(asked: Question, plan: replays.Plan) -> list[pd.DataFrame]:
    """What each midnight of `plan` expected of its day, and how strange what came was."""
    answers = [answer.result() for answer in replays.fits(plan)]
    return [
        expected.assign(strangeness=_strangeness(_key(asked, origin), origin.came, cast(Model, answer.fitted)))
        for expected, origin, answer in zip(_expected(asked, plan, answers), plan.origins, answers, strict=True)
    ]


def _days(asked: Question, history: pd.DataFrame, midnights: pd.DatetimeIndex) -> replays.Plan:
    """The forecasts of each of `midnights` for the day after it."""
    cutoffs = [midnight.to_pydatetime() for midnight in midnights]
    return replays.plan(history, asked.granularity, asked.stat, cutoffs, found.DAY_AHEAD_BUCKETS[asked.granularity])


def _expected(asked: Question, plan: replays.Plan, answers: list[Said]) -> list[pd.DataFrame]:
    """What each midnight of `plan` expected of its day: `bucket`, `expected`, `lower`, `upper`; perhaps no rows."""
    return [
        _day_ahead(_key(asked, origin), asked.interval, cast(Model, answer.fitted))
        for origin, answer in zip(plan.origins, answers, strict=True)
    ]


def _key(asked: Question, origin: replays.Origin) -> Key:
    return origin.content, asked.granularity, asked.stat, origin.cutoff


@st.cache_data(max_entries=4096, show_spinner=False)
def _day_ahead(key: Key, interval: int, _fitted: Model) -> pd.DataFrame:
    return found.day_ahead(_fitted, interval)


@st.cache_data(max_entries=4096, show_spinner=False)
def _strangeness(key: Key, came: Floats, _fitted: Model) -> Floats:
    return found.strangeness(_fitted, came)


@st.cache_resource(max_entries=64, show_spinner=False, hash_funcs=READ_ALOUD)
def _last_days(asked: Question, group: str | None, end: datetime, version: int) -> tuple[replays.Plan, list[Floats]]:
    """The midnights whose days fall into the last 14, and for each what came a season before its day."""
    since = bucket_start(end - HELD_OVER, "daily")
    season = SEASON[asked.granularity] * bucket_width(asked.granularity)
    history = history_of(asked, group, end, end - since + statements.HISTORY + season)
    midnights = pd.date_range(since, end, freq="D", inclusive="left", unit="us")
    plan = _days(asked, history, midnights[midnights > history["ds"].min()])
    return plan, [
        outcomes(history, plan.granularity, origin.cutoff - season, plan.horizon, plan.stat) for origin in plan.origins
    ]


@st.cache_data(max_entries=64, show_spinner=False, hash_funcs=READ_ALOUD)
def _held(
    asked: Question,
    group: str | None,
    end: datetime,
    version: int,
    _plan: replays.Plan,
    _before: list[Floats],
    _answers: list[Said],
) -> Held | None:
    days = [
        expected.assign(came=origin.came, before=before)
        for expected, origin, before in zip(_expected(asked, _plan, _answers), _plan.origins, _before, strict=True)
        if len(expected)
    ]
    if not days:
        return None
    record = pd.concat(days, ignore_index=True)
    return held_of(record[record["bucket"] >= end - HELD_OVER])


@st.cache_data(max_entries=256, show_spinner=False)
def _said(
    content: tuple[tuple[Key, bytes], ...], lines: tuple[float, ...], _days: list[tuple[Model, Floats]]
) -> costing.Chances:
    """What the midnights of `content`, each with what came after it, said of `lines`: up to some 170 kB."""
    return costing.chances(_days, lines)


def _backtest(asked: Question, group: str | None, end: datetime) -> backtests.Plan:
    ahead = asking.horizon(asked)
    history = history_of(asked, group, end, backtests.reach(asked.granularity, ahead))
    return backtests.plan(history, asked.granularity, asked.stat, end, ahead)
