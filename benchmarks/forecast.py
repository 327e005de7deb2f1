"""The forecast against seasonal naive and the original pipeline's settings: how far off, how honest, how fast.

`python -m benchmarks.forecast [folder]`, the folder holding `series/*.csv` (`timestamp,value`, 5 minutes or an hour
apart) and `btc_usd_hourly.csv`; without one, two simulated services.

Rolling origins: 13 per series, 24 h ahead, from at most 60 days of history. MASE: mean absolute error over the mean
absolute day-to-day change of the history (Hyndman & Koehler 2006). WIS: weighted interval score of the median, the
80 % and the 95 % interval (Bracher et al. 2021). geo: geometric mean over the series of the ratio to the peer.
"""

import logging
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pandas as pd

from core.analysis import crossing, forecast

ORIGINS = 13
HORIZON = 24
HISTORY_HOURS = 60 * 24
LEAST_HISTORY_HOURS = 3 * 24
LEVELS = (0.025, 0.1, 0.5, 0.9, 0.975)
Forecaster = Callable[[pd.DataFrame], np.ndarray[Any, np.dtype[np.float64]]]


def ours(history):
    """Quantiles at LEVELS (rows) of the next hours (columns), as every forecaster here."""
    model = forecast.fit(history, "hourly", history["ds"].iloc[-1] + pd.Timedelta(hours=1))
    wide, narrow = forecast.predict(model, HORIZON, 95), forecast.predict(model, HORIZON, 80)
    columns = [wide["yhat_lower"], narrow["yhat_lower"], wide["yhat"], narrow["yhat_upper"], wide["yhat_upper"]]
    return np.array(columns)


def original(history):
    """Prophet as it comes, quantiles from its own samples; the median is its yhat."""
    from prophet import Prophet

    model = Prophet(interval_width=0.95).fit(history.dropna(), seed=1)
    future = pd.DataFrame({"ds": history["ds"].iloc[-1] + pd.to_timedelta(np.arange(1, HORIZON + 1), "h")})
    np.random.seed(0)  # Prophet draws from numpy's global generator
    values = np.quantile(model.predictive_samples(future)["yhat"], LEVELS, axis=1)
    values[2] = model.predict(future)["yhat"]
    return values


def naive(history):
    """The hour a day before; interval from the quantiles of past day-to-day changes."""
    y = history["y"].ffill().to_numpy()
    changes = np.nanquantile(y[24:] - y[:-24], LEVELS)
    changes[2] = 0  # the point is the hour itself
    return y[-24:] + changes[:, None]


FORECASTERS: dict[str, Forecaster] = {"ours": ours, "original": original, "naive": naive}


def score(values, y):
    """Mean absolute error, WIS, and whether each outcome fell inside 95 % and 80 %, of one forecast."""
    known = np.isfinite(y)
    values, y = values[:, known], y[known]
    low95, low80, middle, high80, high95 = values
    wis = 0.5 * np.abs(y - middle)
    for alpha, low, high in ((0.05, low95, high95), (0.2, low80, high80)):
        outside = np.maximum(low - y, 0) + np.maximum(y - high, 0)
        wis = wis + alpha / 2 * ((high - low) + 2 / alpha * outside)
    inside95, inside80 = (low95 <= y) & (y <= high95), (low80 <= y) & (y <= high80)
    return {"mae": np.abs(y - middle).mean(), "wis": wis.mean() / 2.5, "95": inside95.mean(), "80": inside80.mean()}


def hourly(frame, time_column, value_column):
    """Hourly means on a full grid, `ds` and `y`; NaN where nothing was measured."""
    moments = pd.to_datetime(frame[time_column], utc=True).dt.tz_localize(None)
    means = frame[value_column].groupby(moments.dt.floor("h")).mean().asfreq("h")
    return pd.DataFrame({"ds": means.index, "y": means.to_numpy()})


def load(data: Path | None) -> dict[str, pd.DataFrame]:
    """The series by name; without a folder two simulated services of 40 days."""
    if data is None:
        return {f"simulated {seed}": simulated(seed) for seed in (1, 2)}
    series = {file.stem: hourly(pd.read_csv(file), "timestamp", "value") for file in sorted(data.glob("series/*.csv"))}
    candles = data / "btc_usd_hourly.csv"
    if candles.exists():
        series["btc_volume_usd"] = hourly(pd.read_csv(candles), "timestamp", "volume_usd")
    return series


def simulated(seed, days=40):
    """A latency in ms with a day's shape, skewed noise that lasts, two wild hours and a level that moves once."""
    random = np.random.default_rng(seed)
    hours = np.arange(days * 24)
    noise = np.zeros(len(hours))
    for hour, shock in enumerate(random.standard_normal(len(hours) - 1), start=1):
        noise[hour] = 0.7 * noise[hour - 1] + 0.08 * shock
    level = np.where(hours < len(hours) * 2 // 3, 0, 0.3)
    y = 80 * np.exp(level + 0.25 * np.sin(2 * np.pi * (hours - 8) / 24) + noise)
    y[random.integers(0, len(y), 2)] *= 5
    return pd.DataFrame({"ds": pd.Timestamp("2026-01-01") + pd.to_timedelta(hours, "h"), "y": y})


def backtest(series):
    """One row per origin and forecaster of one series: its scores, errors and WIS over the history's own scale."""
    rows = []
    for origin in np.linspace(LEAST_HISTORY_HOURS, len(series) - HORIZON, ORIGINS).astype(int):
        history = series.iloc[max(origin - HISTORY_HOURS, 0) : origin]
        y = history["y"].to_numpy()
        scale = np.nanmean(np.abs(y[24:] - y[:-24]))
        outcome = series["y"].iloc[origin : origin + HORIZON].to_numpy()
        if not np.isfinite(outcome).any():
            continue
        for name, forecaster in FORECASTERS.items():
            result = score(forecaster(history), outcome)
            rows.append({"model": name, **result, "mase": result["mae"] / scale, "wis": result["wis"] / scale})
    return pd.DataFrame(rows)


def geo(ratios):
    """Geometric mean: half as good and twice as good cancel out."""
    return float(np.exp(np.log(ratios).mean()))


def seconds(job, repeats=15):
    """Median wall time of a job, after one run that is not counted."""
    job()
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        job()
        times.append(time.perf_counter() - began)
    return median(times)


def ours_whole(history):
    """All that a page asks for at once."""
    model = forecast.fit(history, "hourly", history["ds"].iloc[-1] + pd.Timedelta(hours=1))
    forecast.predict(model, HORIZON)
    crossing.exceedance(model, HORIZON, 150)
    crossing.first_crossing(model, HORIZON, 150)


def original_whole(history):
    """The original pipeline's fit and prediction, without any probability."""
    from prophet import Prophet

    model = Prophet(interval_width=0.95).fit(history, seed=1)
    model.predict(model.make_future_dataframe(HORIZON, freq="h", include_history=False))


def run(data: Path | None) -> None:
    """Print the table of accuracy, a line per series, and the times."""
    logging.disable(logging.ERROR)  # Prophet and cmdstanpy report every fit
    results = pd.concat(
        {name: backtest(series).groupby("model").mean() for name, series in load(data).items()}, names=["series"]
    )
    by_model = {column: results[column].unstack("model") for column in results}
    mase, wis = by_model["mase"], by_model["wis"]
    print(f"{len(mase)} series, {ORIGINS} origins each, {HORIZON} h ahead; MASE, and coverage of ours")
    print(mase.assign(covers_95=by_model["95"]["ours"], covers_80=by_model["80"]["ours"]).round(2).to_string())
    print("\nmodel      geo MASE to naive  to original  won against original  geo WIS to naive  95 % (p10)    80 %")
    for name in FORECASTERS:
        print(
            f"{name:10} {geo(mase[name] / mase['naive']):17.2f} {geo(mase[name] / mase['original']):12.2f}"
            f" {(mase[name] < mase['original']).sum():14} of {len(mase)} {geo(wis[name] / wis['naive']):17.2f}"
            f" {by_model['95'][name].mean():7.2f} ({by_model['95'][name].quantile(0.1):.2f})"
            f" {by_model['80'][name].mean():7.2f}"
        )
    history = simulated(3, days=30)
    print(
        f"\n30 days of hours, median: fit, predict, interval and probabilities"
        f" {1000 * seconds(lambda: ours_whole(history)):.0f} ms; the original's fit and predict"
        f" {1000 * seconds(lambda: original_whole(history)):.0f} ms"
    )


if __name__ == "__main__":
    run(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
