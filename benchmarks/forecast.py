"""The forecast against its peers: how far off, how honest, how fast.

`python -m benchmarks.forecast [folder]`, the folder holding `series/*.csv` (`timestamp,value`, 5 minutes or an hour
apart) and `btc_usd_hourly.csv`; without one, two simulated services.

Rolling origins: 13 per series, 24 h ahead, from at most 60 days of history. MASE: mean absolute error over the mean
absolute day-to-day change of the history (Hyndman & Koehler 2006). WIS: weighted interval score of the median, the
80 % and the 95 % interval (Bracher et al. 2021). geo: geometric mean over the series of the ratio to the peer.
Calibration error: mean distance, over the chances said, between a bin's mean chance and how often it came.
"""

import logging
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pandas as pd
from statsmodels.tsa.exponential_smoothing.ets import ETSModel
from statsmodels.tsa.forecasting.theta import ThetaModel

from core.analysis import crossing, forecast, peers, reliability

ORIGINS = 13
HORIZON = 24
WEEK = 168
HISTORY_HOURS = 60 * 24
LEAST_HISTORY_HOURS = 3 * 24
SHORT_HOURS = (48, 60, 72, 96, 120, 144, 168)
DAYS_14, DAYS_28 = 14 * 24, 28 * 24
Values = np.ndarray[Any, np.dtype[np.float64]]
Forecaster = Callable[[pd.DataFrame, int], Values]


def fitted(history):
    return forecast.fit(history, "hourly", history["ds"].iloc[-1] + pd.Timedelta(hours=1))


def quantiles(model, horizon):
    """Rows as of `peers.LEVELS`."""
    wide, narrow = forecast.predict(model, horizon, 95), forecast.predict(model, horizon, 80)
    columns = [wide["yhat_lower"], narrow["yhat_lower"], wide["yhat"], narrow["yhat_upper"], wide["yhat_upper"]]
    return np.array(columns)


def ours(history, horizon):
    """Quantiles at `peers.LEVELS` (rows) of the next hours (columns), as every forecaster here."""
    return quantiles(fitted(history), horizon)


def original(history, horizon):
    """Prophet as it comes: the original pipeline sets no more than the width of the interval."""
    return peers.original(history["y"].to_numpy(), history["ds"].to_numpy(), horizon)


def naive(history, horizon):
    """The hour a day before."""
    return peers.repeated(history["y"].to_numpy(), horizon, 24)


def theta(history, horizon):
    """Assimakopoulos & Nikolopoulos 2000, after a seasonal adjustment where a test finds a day's shape."""
    result = ThetaModel(without_gaps(history), period=24).fit()
    wide, narrow = (result.prediction_intervals(horizon, alpha=alpha) for alpha in (0.05, 0.2))
    middle = result.forecast(horizon)
    return np.array([wide["lower"], narrow["lower"], middle, narrow["upper"], wide["upper"]])


def ets(history, horizon):
    """Exponential smoothing with additive error, a damped trend and a day's shape."""
    y = without_gaps(history)
    model = ETSModel(y, error="add", trend="add", damped_trend=True, seasonal="add", seasonal_periods=24)
    said = model.fit(disp=False).get_prediction(start=len(y), end=len(y) + horizon - 1)
    wide, narrow = (said.summary_frame(alpha=alpha) for alpha in (0.05, 0.2))
    return np.array([wide["pi_lower"], narrow["pi_lower"], wide["mean"], narrow["pi_upper"], wide["pi_upper"]])


def without_gaps(history):
    """Both of statsmodels' need every hour: a missing one is that of the day before, at the start that of the next."""
    y = pd.Series(history["y"].to_numpy(), index=pd.DatetimeIndex(history["ds"], freq="h"))
    return y.fillna(y.shift(24)).interpolate(limit_direction="both")


FORECASTERS: dict[str, Forecaster] = {
    "Tracecast": ours,
    "original": original,
    "naive": naive,
    "Theta": theta,
    "ETS": ets,
}


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


def cuts(series, least, horizon):
    """History and what came after it, at 13 origins spread over the series; fewer where nothing is known after one,
    and none in a series that is too short.
    """
    if len(series) < least + horizon:
        return
    for origin in np.linspace(least, len(series) - horizon, ORIGINS).astype(int):
        outcome = series["y"].iloc[origin : origin + horizon].to_numpy()
        if np.isfinite(outcome).any():
            yield series.iloc[max(origin - HISTORY_HOURS, 0) : origin], outcome


def scaled(history, values, outcome):
    """`score`, the error and WIS over the history's own scale."""
    y = history["y"].to_numpy()
    return over(np.nanmean(np.abs(y[24:] - y[:-24])), values, outcome)


def over(scale, values, outcome):
    """`score`, the error and WIS over `scale`."""
    result = score(values, outcome)
    return {**result, "mase": result["mae"] / scale, "wis": result["wis"] / scale}


def backtest(series):
    """One row per origin and forecaster of one series: its scores 24 h ahead, and how much history there was."""
    return pd.DataFrame(
        {"model": name, "hours": len(history), **scaled(history, forecaster(history, HORIZON), outcome)}
        for history, outcome in cuts(series, LEAST_HISTORY_HOURS, HORIZON)
        for name, forecaster in FORECASTERS.items()
    )


def week(series):
    """The same of hours 25 to 168, Tracecast and naive."""
    return pd.DataFrame(
        {"model": name, **scaled(history, FORECASTERS[name](history, WEEK)[:, HORIZON:], outcome[HORIZON:])}
        for history, outcome in cuts(series, WEEK, WEEK)
        if np.isfinite(outcome[HORIZON:]).any()
        for name in ("Tracecast", "naive")
    )


def days(series):
    """The same of days, from midnight to midnight UTC, at up to 13 midnights after a week of them: Tracecast and the
    last day again. `ahead`: 1, 2 to 7, or 8 to 30; those that the series is too short for are left out.
    """
    by_day = series.groupby(series["ds"].dt.floor("D"))["y"].agg(["mean", "count"])
    means = by_day["mean"].where(by_day["count"] == 24)
    means = means[means.index >= series["ds"].iloc[0]]
    rows = []
    for reach in (7, 30):
        last = len(means) - reach
        for origin in np.unique(np.linspace(7, last, ORIGINS).astype(int)) if last >= 7 else ():
            midnight = means.index[origin]
            history = series[series["ds"] < midnight].tail(HISTORY_HOURS)
            past, outcome = means.to_numpy()[:origin], means.to_numpy()[origin : origin + reach]
            said = {
                "Tracecast": quantiles(forecast.fit(history, "daily", midnight), reach),
                "last day": peers.repeated(past, reach, 1),
            }
            scale = np.nanmean(np.abs(np.diff(past)))
            for first, last in ((1, 1), (2, 7)) if reach == 7 else ((8, 30),):
                span = slice(first - 1, last)
                if np.isfinite(outcome[span]).any():
                    for name, values in said.items():
                        scores = over(scale, values[:, span], outcome[span])
                        rows.append({"model": name, "hours": len(history), "ahead": first, **scores})
    return pd.DataFrame(rows, columns=["model", "hours", "ahead", "mae", "wis", "95", "80", "mase"])


def short(series):
    """The same of Tracecast on the first two to seven days of each series, where 48 hours of them are known and an
    interval is said, and of naive.
    """
    return pd.DataFrame(
        {"model": name, **scaled(series.iloc[:hours], FORECASTERS[name](series.iloc[:hours], HORIZON), outcome)}
        for hours in SHORT_HOURS
        if np.isfinite(outcome := series["y"].iloc[hours : hours + HORIZON].to_numpy()).any()
        and series["y"].iloc[:hours].notna().sum() >= SHORT_HOURS[0]
        for name in ("Tracecast", "naive")
    )


def chances(series):
    """What Tracecast said of high percentiles of each history: of every hour ahead, and of the next 24 h as a whole.

    Two frames as of `reliability.chances`.
    """
    each, any_hour = [], []
    for history, outcome in cuts(series, LEAST_HISTORY_HOURS, HORIZON):
        model = fitted(history)
        thresholds = reliability.levels(model, HORIZON)
        any_hour.append(reliability.chances(model, HORIZON, outcome, thresholds))
        past = history["y"].dropna()
        for threshold, said in zip(thresholds, crossing.exceedances(model, HORIZON, thresholds), strict=True):
            came = np.where(np.isfinite(outcome), outcome > threshold, np.nan)
            each.append(pd.DataFrame({"said": said, "usual": (past > threshold).mean(), "crossed": came}))
    return pd.concat(each), pd.concat(any_hour)


def calibration_error(said):
    """Of frames as of `reliability.chances`."""
    table = reliability.bins(said)
    return float(((table["said"] - table["came"]).abs() * table["n"]).sum() / table["n"].sum())


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
    model = fitted(history)
    forecast.predict(model, HORIZON)
    crossing.exceedance(model, HORIZON, 150)
    crossing.first_crossing(model, HORIZON, 150)


def original_whole(history):
    """The original pipeline's fit and prediction, without any probability."""
    from prophet import Prophet

    model = Prophet(interval_width=0.95).fit(history, seed=1)
    model.predict(model.make_future_dataframe(HORIZON, freq="h", include_history=False))


def by_series(test, data):
    """Means per series of a test's scores: a frame per score, series in rows, models in columns."""
    means = pd.concat(
        {name: rows.groupby("model").mean() for name, series in data.items() if len(rows := test(series))},
        names=["series"],
    )
    return {column: means[column].unstack("model") for column in means}


def compared(title, scores, peer):
    """One line: Tracecast against a peer."""
    mase, wis, inside = (scores[column] for column in ("mase", "wis", "95"))
    print(
        f"{title:54} geo MASE to {peer} {geo(mase['Tracecast'] / mase[peer]):.2f}, geo WIS"
        f" {geo(wis['Tracecast'] / wis[peer]):.2f}, 95 % covers {inside['Tracecast'].mean():.2f}"
        f" ({len(mase)} series)"
    )


def table(scores):
    """The forecasters one below another."""
    mase, wis = scores["mase"], scores["wis"]
    print("\nmodel      geo MASE to naive  to original  won against original  geo WIS to naive  95 % (p10)    80 %")
    for name in FORECASTERS:
        print(
            f"{name:10} {geo(mase[name] / mase['naive']):17.2f} {geo(mase[name] / mase['original']):12.2f}"
            f" {(mase[name] < mase['original']).sum():14} of {len(mase)} {geo(wis[name] / wis['naive']):17.2f}"
            f" {scores['95'][name].mean():7.2f} ({scores['95'][name].quantile(0.1):.2f})"
            f" {scores['80'][name].mean():7.2f}"
        )


def run(data: Path | None) -> None:
    """Print the table of accuracy, a line per series, what else is promised, and the times."""
    logging.disable(logging.ERROR)  # Prophet and cmdstanpy report every fit
    warnings.filterwarnings("ignore", module="statsmodels")  # of fits that do not converge; their forecasts count
    loaded = load(data)
    tests = {name: backtest(series) for name, series in loaded.items()}
    scores = by_series(lambda series: series, tests)
    print(f"{len(tests)} series, {ORIGINS} origins each, {HORIZON} h ahead; MASE, and coverage of Tracecast")
    inside = {f"covers_{width}": scores[width]["Tracecast"] for width in ("95", "80")}
    print(scores["mase"].assign(**inside).round(2).to_string())
    table(scores)
    print()
    compared("history of 28 days and more", by_series(lambda rows: rows[rows["hours"] >= DAYS_28], tests), "original")
    compared("7 days ahead, hours 25 to 168", by_series(week, loaded), "naive")
    compared("history of 2 to 7 days", by_series(short, loaded), "naive")
    daily = {name: days(series) for name, series in loaded.items()}
    for ahead, title in ((1, "days: the next one"), (2, "days: the 2nd to the 7th"), (8, "days: the 8th to the 30th")):
        for is_short, what in ((False, "14 days of history and more"), (True, "7 to 14")):
            chosen = {
                name: rows[(rows["ahead"] == ahead) & ((rows["hours"] < DAYS_14) == is_short)]
                for name, rows in daily.items()
            }
            if any(map(len, chosen.values())):
                compared(f"{title}, {what}", by_series(lambda rows: rows, chosen), "last day")
    each, any_hour = (pd.concat(frames) for frames in zip(*map(chances, loaded.values()), strict=True))
    for title, said in (("an hour above the line", each), ("a crossing within 24 h", any_hour)):
        print(
            f"{title:34} Brier skill over the history's share {reliability.brier_skill(said):+.2f},"
            f" calibration error {calibration_error(said):.3f} ({len(said.dropna()):,} chances)"
        )
    history = simulated(3, days=30)
    print(
        f"\n30 days of hours, median: fit, predict, interval and probabilities"
        f" {1000 * seconds(lambda: ours_whole(history)):.0f} ms; the original's fit and predict"
        f" {1000 * seconds(lambda: original_whole(history)):.0f} ms"
    )


if __name__ == "__main__":
    run(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
