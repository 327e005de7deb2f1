"""The backbone of a forecast: what the hour of the day and of the week leads to expect, before any recent news.

Prophet with a flat trend, blended with a seasonal median: two forecasts that err differently (Bates & Granger 1969,
"The combination of forecasts").
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from core.analysis.hours import FULL_HOURS, Floats, Hours
from core.analysis.prophet_model import flat

__all__ = ["backbone", "outliers", "seasonal_median", "seasonal_shape"]

PROPHET_SHARE = 0.6
OUTLIER_DEVIATIONS = 3.5
DEVIATION_OF_NORMAL = 1.4826  # standard deviation of a normal distribution over its median absolute deviation
DAILY_LAGS = range(24, 169, 24)
WEEKLY_LAGS = range(168, 673, 168)
DAILY_ORDER, WEEKLY_ORDER = 4, 3  # Prophet's own


def backbone(z: Floats, hours: Hours, ahead: int) -> Floats:
    """B over the past and `ahead` hours after it, on the scale of `z` (the transformed values of `hours`)."""
    shape = seasonal_shape(z, hours, ahead)
    seasonal = seasonal_median(z, ahead)
    return np.where(np.isnan(seasonal), shape, PROPHET_SHARE * shape + (1 - PROPHET_SHARE) * seasonal)


def outliers(z: Floats, first_hour: int) -> NDArray[np.bool_]:
    """True for hours that would bend the fit (Hampel's rule); they are left out of the fit only.

    `first_hour`: hour of the day of `z[0]`. An hour is compared with its hour of the day, after what a day around it
    has in common is taken off, so that a moved level is no outlier.
    """
    hour_of_day = (first_hour + np.arange(len(z))) % 24
    series = pd.Series(z)
    usual = series.groupby(hour_of_day).transform("median")
    residual = series - usual
    residual = (residual - residual.rolling(25, center=True, min_periods=6).median()).to_numpy()
    known = residual[np.isfinite(residual)]
    if not len(known):
        return np.zeros(len(z), dtype=bool)
    deviation = DEVIATION_OF_NORMAL * np.median(np.abs(known)) or known.std()
    apart: NDArray[np.bool_] = np.abs(residual) > OUTLIER_DEVIATIONS * deviation
    return apart


def seasonal_shape(z: Floats, hours: Hours, ahead: int) -> Floats:
    """Prophet's flat trend and cycles over the past and `ahead` hours after it, fitted without the outliers."""
    known = np.isfinite(z) & ~outliers(z, hours.start.hour)
    days = (np.datetime64(hours.start, "h").astype(np.int64) + np.arange(len(z) + ahead)) / 24
    terms = _fourier(days, 1, DAILY_ORDER)
    if hours.span >= FULL_HOURS:
        terms = np.hstack([_fourier(days, 7, WEEKLY_ORDER), terms])
    past = np.flatnonzero(known)
    level, weights = flat(days[past], z[past], terms[past])
    shape: Floats = level + (terms * weights).sum(axis=1)
    return shape


def seasonal_median(z: Floats, ahead: int) -> Floats:
    """S over the past and `ahead` hours after it: each hour from the same hour of earlier days; NaN where none is.

    The median of the hours 1 to 7 days before that are there; in the future, where none is, that of the hour a day
    before. With two or more of the hours 1 to 4 weeks before, the mean of that and of their median.
    `z`: at least a day.
    """
    size = len(z)
    padded = np.concatenate([z, np.full(ahead, np.nan)])
    daily = _median(_lagged(padded, DAILY_LAGS))
    for start in range(size, size + ahead, 24):
        day = daily[start : start + 24]
        np.copyto(day, daily[start - 24 : start - 24 + len(day)], where=np.isnan(day))
    weeks = _lagged(padded, WEEKLY_LAGS)
    enough = np.isfinite(weeks).sum(axis=0) >= 2
    return np.where(enough, (daily + _median(weeks)) / 2, daily)


def _fourier(days: Floats, period: int, order: int) -> Floats:
    """Prophet's terms, one row per moment (days since 1970): sin and cos of each harmonic in turn."""
    angles = np.outer(2 * np.pi * days, np.arange(1, order + 1) / period)
    return np.stack([np.sin(angles), np.cos(angles)], axis=2).reshape(len(days), 2 * order)


def _lagged(z: Floats, lags: range) -> Floats:
    """One row per lag: `z` that many hours before, NaN where the grid had not begun."""
    rows = np.full((len(lags), len(z)), np.nan)
    for row, lag in zip(rows, lags, strict=True):
        row[lag:] = z[: max(len(z) - lag, 0)]
    return rows


def _median(rows: Floats) -> Floats:
    """Median of each column's known values, NaN where there is none (np.nanmedian warns, and is slow)."""
    ordered = np.sort(rows, axis=0)  # NaN last
    known = np.isfinite(rows).sum(axis=0)
    columns = np.arange(rows.shape[1])
    lower, upper = np.maximum(known - 1, 0) // 2, known // 2
    middle: Floats = (ordered[lower, columns] + ordered[upper, columns]) / 2
    return middle
