"""A backtest as pages and tables tell it: how far it has come, what each model scored, whether chances came true."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pandas as pd
import streamlit as st

from core import replays
from core.analysis import reliability as chanced
from core.analysis.accuracy import ALL, advantage, by_horizon, by_origin
from core.analysis.backtest import ORIGINS, origins, outcomes
from core.analysis.hours import FIT_DAYS, WIDTH
from core.analysis.model import Model
from core.analysis.reliability import Reliability

__all__ = ["Backtest", "Plan", "Reliability", "accuracy", "backtest", "plan", "reach", "reliability"]

DRAWN_BUCKETS = 24  # before a forecast, at least
CHUNK = 30 * timedelta(days=1)


@dataclass(frozen=True, eq=False)
class Plan:
    """The forecasts to replay, and `observed`: `bucket, value`, what came from well before the first of them on, gaps
    null.
    """

    forecasts: replays.Plan
    observed: pd.DataFrame
    content: str  # by which answers are kept


@dataclass(frozen=True, eq=False)
class Backtest:
    """As far as it has come. What it says of a model is whole: it is left out until all its forecasts are there."""

    cutoffs: list[datetime]  # of the forecasts, oldest first; none where no day of the history can be replayed
    total: int  # forecasts of all models
    done: int
    failed: list[str]  # a text for each that could not be made
    by_horizon: pd.DataFrame  # as of `analysis.accuracy`
    by_origin: pd.DataFrame
    rows: pd.DataFrame  # as of `replays.Replays.rows`
    observed: pd.DataFrame

    @property
    def advantage(self) -> float | None:
        """Tracecast's over seasonal naive, as of `analysis.accuracy`; None while one of them is not there."""
        errors = self.by_horizon[self.by_horizon["horizon"] == ALL].set_index("model")["mase"].astype(float)
        return advantage(errors.get("tracecast", np.nan), errors.get("seasonal_naive", np.nan))


def reach(granularity: str, horizon: int) -> timedelta:
    """How far before its end a backtest looks."""
    return (FIT_DAYS + ORIGINS + 1) * timedelta(days=1) + horizon * WIDTH[granularity]


def plan(history: pd.DataFrame, granularity: str, stat: str, end: datetime, horizon: int) -> Plan:
    """The last 28 midnights of `history` (hourly `ds`, `y`) whose `horizon` had passed by `end`."""
    return _plan(replays.digest(history), granularity, stat, end, horizon, history)


def backtest(plan: Plan) -> Backtest:
    """The forecasts of `plan`: begins with this if it has not, and goes on in the background."""
    running = replays.replays(plan.forecasts)
    rows, horizons, forecasts = _scored(plan.content, tuple(running.complete), running)
    cutoffs = [origin.cutoff for origin in plan.forecasts.origins]
    return Backtest(cutoffs, running.total, running.done, running.failed, horizons, forecasts, rows, plan.observed)


def accuracy(plan: Plan) -> pd.DataFrame:
    """`Backtest.by_horizon` of all models: waits for them, and raises what went wrong."""
    running = replays.replays(plan.forecasts, again=True)
    running.wait()
    return by_horizon(running.rows(), plan.forecasts.granularity)


def reliability(plan: Plan, threshold: float, p: float) -> Reliability:
    """Whether the chances of a crossing came true, as soon as Tracecast's own forecasts are there."""
    fitted = replays.replays(plan.forecasts).fitted()
    own, levels = (_chances(plan.content, bool(fitted), line, plan, fitted) for line in (threshold, None))
    return chanced.reliability(own, levels, p)


@st.cache_resource(max_entries=64, show_spinner=False)
def _plan(digest: str, granularity: str, stat: str, end: datetime, horizon: int, _history: pd.DataFrame) -> Plan:
    cutoffs = origins(_history, granularity, end, horizon, stat)
    forecasts = replays.plan(_history, granularity, stat, cutoffs, horizon)
    observed = pd.DataFrame({"bucket": pd.Series(dtype="M8[us]"), "value": pd.Series(dtype=float)})
    if cutoffs:
        first = cutoffs[0] - max(2 * horizon, DRAWN_BUCKETS) * WIDTH[granularity]
        observed = _observed(_history, granularity, stat, first, cutoffs[-1] + horizon * WIDTH[granularity])
    return Plan(forecasts, observed, f"{digest} {granularity} {stat} {end} {horizon}")


def _observed(history: pd.DataFrame, granularity: str, stat: str, start: datetime, end: datetime) -> pd.DataFrame:
    buckets = pd.date_range(start, end, freq=WIDTH[granularity], inclusive="left", unit="us")
    size = CHUNK // WIDTH[granularity]  # more than `outcomes` looks back
    chunks = [
        outcomes(history, granularity, buckets[first].to_pydatetime(), min(size, len(buckets) - first), stat)
        for first in range(0, len(buckets), size)
    ]
    return pd.DataFrame({"bucket": buckets, "value": np.concatenate(chunks)})


@st.cache_resource(max_entries=64, show_spinner=False)
def _scored(
    content: str, complete: tuple[str, ...], _running: replays.Replays
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    rows = _running.rows()
    return rows, by_horizon(rows, _running.plan.granularity), by_origin(rows)


@st.cache_resource(max_entries=64, show_spinner=False)
def _chances(
    content: str,
    complete: bool,
    line: float | None,
    _plan: Plan,
    _fitted: list[tuple[replays.Origin, Model]],
) -> pd.DataFrame:
    """Those of crossing `line`; without one, the levels of each history."""
    ahead = _plan.forecasts.horizon
    tables = [
        chanced.chances(model, ahead, origin.came, chanced.levels(model, ahead) if line is None else [line])
        for origin, model in _fitted
    ]
    return pd.concat(tables, ignore_index=True) if tables else chanced.none()
