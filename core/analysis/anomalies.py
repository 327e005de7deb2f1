"""Anomalies: runs of buckets that should not be, predicted or observed.

Every frame returned has the columns of `COLUMNS`, one row per run of consecutive buckets, oldest first: `kind`,
`start` and `end` (naive UTC, `end` exclusive), the rest from the run's worst bucket, NaN where it has no meaning for
that kind. A gap ends a run. `width` is that of a bucket.
"""

from datetime import timedelta

import numpy as np
import pandas as pd

from core.analysis.forecast import Model, predict

__all__ = ["COLUMNS", "day_ahead", "observed_threshold", "observed_unusual", "predicted"]

COLUMNS = ["kind", "start", "end", "value", "expected", "lower", "upper", "threshold", "probability"]
DAY_AHEAD_BUCKETS = {"hourly": 24, "daily": 1}


def predicted(forecast: pd.DataFrame, threshold: float, p: float, width: timedelta) -> pd.DataFrame:
    """Runs of buckets ahead that are above the threshold with a probability over `p`; the worst is the likeliest.

    `forecast`: `ds`, `yhat` (the `value` of the anomaly), `yhat_lower`, `yhat_upper`, `p_above`.
    """
    names = {"ds": "bucket", "yhat": "value", "yhat_lower": "lower", "yhat_upper": "upper", "p_above": "probability"}
    buckets = forecast.rename(columns=names).assign(threshold=threshold)
    return _runs("predicted", buckets, buckets["probability"] - p, width)


def observed_threshold(observed: pd.DataFrame, threshold: float, width: timedelta) -> pd.DataFrame:
    """Runs of buckets above the threshold; the worst is the highest. `observed`: complete ones, `bucket`, `value`."""
    buckets = observed.assign(threshold=threshold)
    return _runs("observed_threshold", buckets, buckets["value"] - threshold, width)


def observed_unusual(observed: pd.DataFrame, expectation: pd.DataFrame, width: timedelta) -> pd.DataFrame:
    """Runs of buckets outside the interval said a day ahead, on either side; the worst is the farthest outside.

    `observed`: complete ones, `bucket`, `value`. `expectation`: as of `day_ahead`; a bucket without one is not judged.
    """
    buckets = observed.merge(expectation, on="bucket", how="inner")
    outside = np.maximum(buckets["value"] - buckets["upper"], buckets["lower"] - buckets["value"])
    return _runs("observed_unusual", buckets, outside, width)


def day_ahead(model: Model, interval: float = 95) -> pd.DataFrame:
    """What a model fitted at a midnight (UTC) expects of the day after it: `bucket`, `expected`, `lower`, `upper`.

    24 hours, or for a daily model the day itself; `predict` says what is missing when. Fitted at each midnight of a
    window these add up to the expectation of `observed_unusual`.
    """
    prediction = predict(model, DAY_AHEAD_BUCKETS[model.granularity], interval)
    return prediction.set_axis(["bucket", "expected", "lower", "upper"], axis=1)


def _runs(kind: str, buckets: pd.DataFrame, excess: pd.Series, width: timedelta) -> pd.DataFrame:
    """Runs of consecutive buckets whose `excess` is above 0; each is told by the bucket of its largest excess."""
    flagged = buckets.assign(excess=excess)[excess > 0].sort_values("bucket", ignore_index=True)
    run = (flagged["bucket"].diff() != width).cumsum()
    runs = flagged.groupby(run)
    worst = flagged.loc[runs["excess"].idxmax()].reset_index(drop=True)
    reach = runs["bucket"].agg(["min", "max"]).reset_index(drop=True)
    told = worst.assign(kind=kind, start=reach["min"], end=reach["max"] + width).reindex(columns=COLUMNS)
    return told.astype({"kind": "str"} | dict.fromkeys(COLUMNS[3:], "float64"))
