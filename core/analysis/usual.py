"""What is usual: the plain yardsticks beside the last value and beside the chance of a crossing."""

from datetime import datetime

import pandas as pd

__all__ = ["crossed_share", "usual"]


def usual(buckets: pd.DataFrame, column: str, bucket: datetime, granularity: str) -> float | None:
    """Median of `column` over the complete buckets before `bucket` at its hour of day (of all days for `daily`).

    `buckets`: `bucket` (naive UTC), `complete`, `column` (float, null in a gap). None where no such bucket has a value.
    """
    before = buckets[buckets["complete"] & (buckets["bucket"] < bucket)]
    if granularity == "hourly":
        before = before[before["bucket"].dt.hour == bucket.hour]
    middle = before[column].median()
    return None if pd.isna(middle) else float(middle)


def crossed_share(values: pd.Series, horizon: int, threshold: float) -> float | None:
    """Share, 0 to 1, of the stretches of `horizon` consecutive buckets in which one was above `threshold`.

    `values`: one a bucket, in order, null in a gap; a stretch with nothing but gaps does not count. None under two
    stretches that do not overlap.
    """
    if len(values) < 2 * horizon:
        return None
    highest = values.rolling(horizon, min_periods=1).max().iloc[horizon - 1 :].dropna()
    return float((highest > threshold).mean()) if len(highest) else None
