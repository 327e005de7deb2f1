"""Forecasts as they would have been said on past days, beside those of the peers, to be held against what came.

Rolling origins (Tashman 2000, "Out-of-sample tests of forecasting accuracy"): each model is fitted anew at midnight
(UTC) after midnight, to what was known then and nothing later.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pandas as pd

from core.analysis import peers
from core.analysis.forecast import fit, predict
from core.analysis.hours import FIT_DAYS, WIDTH, Floats, Moments, complete_hours
from core.analysis.model import Model
from core.analysis.outlook import day_means

__all__ = ["COLUMNS", "MODELS", "ORIGINS", "SEASON", "Said", "known_at", "origins", "outcomes", "reach", "said"]

MODELS = ("tracecast", "original", "seasonal_naive", "last_value")
ORIGINS = 28
SEASON = {"hourly": 24, "daily": 7}  # buckets after which seasonal naive repeats itself, and over which MASE scales
REACHES = {"hourly": (24, 168), "daily": (7, 30)}  # buckets ahead; the shorter takes half the time
BOUNDS = ["lower_95", "lower_80", "yhat", "upper_80", "upper_95"]  # as the rows of `peers.LEVELS`
COLUMNS = ["model", "cutoff", "ds", *BOUNDS, "scale"]

_DAY = timedelta(days=1)


@dataclass(frozen=True, eq=False)
class Said:
    """What one model said at one origin.

    `frame`: one row per bucket ahead: `model`, `cutoff` and `ds` (naive UTC), `yhat`,
    `lower_80`, `upper_80`, `lower_95`, `upper_95` (the measure's unit; NaN where nothing could be said), and `scale`:
    the mean absolute change over a season in the history known then, by which errors become comparable (NaN where
    there is none, or nothing changed). `fitted`: Tracecast's own, from which the chances of any threshold can be told.
    """

    frame: pd.DataFrame
    fitted: Model | None


def origins(history: pd.DataFrame, granularity: str, end: datetime, horizon: int, stat: str = "avg") -> list[datetime]:
    """The last 28 midnights, oldest first, whose `horizon` had passed by `end`; fewer where the history is short.

    A forecast has an interval, and so something to measure, from 48 observed hours on.
    """
    newest = (end - horizon * WIDTH[granularity]).replace(hour=0, minute=0, second=0, microsecond=0)
    midnights = [newest - back * _DAY for back in reversed(range(ORIGINS))]
    return [
        midnight for midnight in midnights if complete_hours(history, midnight, stat).stage not in ("none", "point")
    ]


def known_at(history: pd.DataFrame, cutoff: datetime) -> pd.DataFrame:
    """The rows (`ds`, `y`) that a forecast made at `cutoff` may see."""
    return history[(history["ds"] < cutoff) & (history["ds"] >= cutoff - FIT_DAYS * _DAY)]


def reach(granularity: str, horizon: int) -> int:
    """How far ahead forecasts are replayed for a look at `horizon` buckets, so that few horizons take new ones."""
    return next(reach for reach in REACHES[granularity] if horizon <= reach)


def said(model: str, known: pd.DataFrame, granularity: str, cutoff: datetime, horizon: int, stat: str = "avg") -> Said:
    """What `model`, one of `MODELS`, says at `cutoff` (a midnight) of the next `horizon` buckets, from the hourly
    history `known` (`ds`, `y`).
    """
    past, starts = _buckets(known, granularity, cutoff, stat)
    season = SEASON[granularity]
    fitted = None
    if model == "tracecast":
        fitted = fit(known, granularity, cutoff, stat=stat)
        quantiles = _quantiles(fitted, horizon)
    elif model == "original":
        quantiles = peers.original(past, starts, horizon)
    else:
        quantiles = peers.repeated(past, horizon, season if model == "seasonal_naive" else 1)
    origin = np.datetime64(cutoff, "us")
    ahead = origin + np.arange(horizon) * np.timedelta64(WIDTH[granularity])
    frame = pd.DataFrame({"model": model, "cutoff": origin, "ds": ahead, **dict(zip(BOUNDS, quantiles, strict=True))})
    return Said(frame.assign(scale=_scale(past, season)), fitted)


def outcomes(history: pd.DataFrame, granularity: str, cutoff: datetime, horizon: int, stat: str = "avg") -> Floats:
    """What came in the `horizon` buckets after `cutoff`, NaN where that is not known; a day as of a daily forecast."""
    hours = complete_hours(history, cutoff + horizon * WIDTH[granularity], stat).values
    size = horizon * int(WIDTH[granularity] / WIDTH["hourly"])
    came = np.concatenate([np.full(max(size - len(hours), 0), np.nan), hours[max(len(hours) - size, 0) :]])
    return came if granularity == "hourly" else _days(came, stat)


def _buckets(known: pd.DataFrame, granularity: str, cutoff: datetime, stat: str) -> tuple[Floats, Moments]:
    """The complete buckets before `cutoff` on a full grid, and their starts."""
    hours = complete_hours(known, cutoff, stat)
    values = hours.values if granularity == "hourly" else _days(hours.values, stat)
    width = np.timedelta64(WIDTH[granularity])
    return values, np.datetime64(cutoff, "us") - width * np.arange(len(values), 0, -1)


def _days(hours: Floats, stat: str) -> Floats:
    return day_means(hours) * (24 if stat in ("count", "volume") else 1)


def _quantiles(model: Model, horizon: int) -> Floats:
    """The rows of `peers.LEVELS`; NaN where the model says nothing."""
    wide, narrow = (predict(model, horizon, interval).reindex(range(horizon)) for interval in (95, 80))
    ends = [wide["yhat_lower"], narrow["yhat_lower"], wide["yhat"], narrow["yhat_upper"], wide["yhat_upper"]]
    return np.array(ends, dtype=float)


def _scale(past: Floats, season: int) -> float:
    changes = np.abs(past[season:] - past[:-season])
    changes = changes[np.isfinite(changes)]
    return float(changes.mean()) if changes.any() else np.nan
