"""The backbone of a forecast: what the hour of the day and of the week leads to expect, before any recent news.

Prophet (Taylor & Letham 2018, "Forecasting at scale") with a flat trend, blended with a seasonal median: two
forecasts that err differently (Bates & Granger 1969, "The combination of forecasts").
"""

import logging
import warnings
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from core.analysis.hours import FULL_HOURS, Floats, Hours, Moments

__all__ = ["backbone", "fitted_prophet", "outliers", "seasonal_median", "seasonal_shape", "warm"]

PROPHET_SHARE = 0.6
OUTLIER_DEVIATIONS = 3.5
DEVIATION_OF_NORMAL = 1.4826  # standard deviation of a normal distribution over its median absolute deviation
DAILY_LAGS = range(24, 169, 24)
WEEKLY_LAGS = range(168, 673, 168)
DAILY_ORDER, WEEKLY_ORDER = 4, 3  # Prophet's own
CHATTY_LOGGERS = ("prophet", "prophet.models", "prophet.plot", "cmdstanpy")  # a line a fit; what fails still raises


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
    fitted = np.isfinite(z) & ~outliers(z, hours.start.hour)
    weekly = hours.span >= FULL_HOURS
    start = np.datetime64(hours.start, "us")
    model = _fit(start + np.flatnonzero(fitted) * np.timedelta64(1, "h"), z[fitted], weekly=weekly)
    # Prophet.predict builds the same sum through a dozen frames, in ten times the time.
    days = start.astype("datetime64[h]").astype(np.int64) / 24 + np.arange(len(z) + ahead) / 24
    terms = _fourier(days, 1, DAILY_ORDER)
    if weekly:
        terms = np.hstack([_fourier(days, 7, WEEKLY_ORDER), terms])
    shape: Floats = (model.params["m"][0, 0] + (terms * model.params["beta"][0]).sum(axis=1)) * model.y_scale
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


def warm() -> None:
    """Import Prophet and fit it once: two seconds that the first forecast need not wait for."""
    moments = np.datetime64("2026-01-01", "us") + np.arange(48) * np.timedelta64(1, "h")
    _fit(moments, np.sin(np.arange(48.0)), weekly=False)


def fitted_prophet(moments: Moments, y: Floats, **settings: Any) -> Any:
    """A Prophet of these settings, fitted to `y` (all known) at `moments`: silent, and without files left behind."""
    for name in CHATTY_LOGGERS:
        logging.getLogger(name).disabled = True  # their levels they set themselves, at import and later
    # Prophet 1.5 passes pandas arguments that pandas 4 will refuse: not ours to mend, nor a user's to read.
    warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"prophet\.")
    from prophet import Prophet  # takes two seconds, which the start of the process does not wait for

    model: Any = Prophet(**settings)
    # Stan's interface takes arrays too; the lists that Prophet makes of them cost a quarter of a fit.
    model.stan_backend.prepare_data = lambda init, data: (init, data)
    model.regressor_column_matrix = _all_added
    with TemporaryDirectory() as folder:  # Stan's own would stay until the process ends
        return model.fit(pd.DataFrame({"ds": moments, "y": y}), seed=1, output_dir=folder)


def _all_added(features: pd.DataFrame, modes: dict[str, list[str]]) -> tuple[pd.DataFrame, dict[str, list[str]]]:
    """Which of Prophet's terms are added and which multiplied, where no setting multiplies any.

    Prophet finds that out with a pivot table and ten frames, for a quarter of a fit.
    """
    modes["additive"].append("additive_terms")
    added = [int(name != "zeros") for name in features]  # the one that stands where there is none
    return pd.DataFrame({"additive_terms": added, "multiplicative_terms": 0}), modes


def _fit(moments: Moments, z: Floats, *, weekly: bool) -> Any:
    return fitted_prophet(
        moments,
        z,
        growth="flat",
        daily_seasonality=DAILY_ORDER,
        weekly_seasonality=WEEKLY_ORDER if weekly else False,
        yearly_seasonality=False,
        uncertainty_samples=0,
    )


def _fourier(days: Floats, period: int, order: int) -> Floats:
    """Prophet's terms, one row per moment (days since 1970): sin and cos of each harmonic in turn."""
    angles = 2 * np.pi * np.outer(days / period, np.arange(1, order + 1))
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
