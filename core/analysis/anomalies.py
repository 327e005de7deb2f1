"""Anomalies: runs of buckets that should not be, predicted or observed.

Every frame returned has the columns of `COLUMNS`, one row per run of consecutive buckets, oldest first: `kind`,
`start` and `end` (naive UTC, `end` exclusive), the rest from the run's worst bucket, NaN where it has no meaning for
that kind. A gap ends a run. `width` is that of a bucket.

What is unusual is told by two yardsticks at once, since each alone cries wolf: what the midnight before expected, and
the week before. On labelled incidents of real services that finds about half of them, and half to three quarters of
what it finds is one. Of days it has not been held against labels.
"""

from datetime import timedelta

import numpy as np
import pandas as pd

from core.analysis.forecast import Model, predict
from core.analysis.hours import WIDTH, Floats
from core.analysis.outlook import outlook

__all__ = ["COLUMNS", "day_ahead", "observed_threshold", "observed_unusual", "predicted", "strangeness"]

COLUMNS = ["kind", "start", "end", "value", "expected", "lower", "upper", "threshold", "probability"]
DAY_AHEAD_BUCKETS = {"hourly": 24, "daily": 1}
STRANGE = 5.0  # deviations, from what was expected and from the days before
ROLLING = {"hourly": (168, 24), "daily": (28, 7)}  # buckets before, and how many of them must be known
APART = {"hourly": timedelta(hours=3), "daily": timedelta(days=1)}  # strange buckets no farther apart are one anomaly
LEAST_DEVIATION = 0.01  # of an error on the scale of the fit, and of a week in shares of its mean


def predicted(forecast: pd.DataFrame, threshold: float, p: float, width: timedelta) -> pd.DataFrame:
    """Runs of buckets ahead that are above the threshold with a probability over `p`; the worst is the likeliest.

    `forecast`: `ds`, `yhat` (the `value` of the anomaly), `yhat_lower`, `yhat_upper`, `p_above`.
    """
    names = {"ds": "bucket", "yhat": "value", "yhat_lower": "lower", "yhat_upper": "upper", "p_above": "probability"}
    buckets = forecast.rename(columns=names).assign(threshold=threshold)
    return _runs("predicted", buckets, buckets["probability"] - p, width)


def observed_threshold(observed: pd.DataFrame, threshold: float, width: timedelta) -> pd.DataFrame:
    """Runs of buckets above the threshold; the worst is the highest.

    `observed`: complete ones, `bucket`, `value`, and what is known of `expected`, `lower`, `upper`.
    """
    buckets = observed.assign(threshold=threshold)
    return _runs("observed_threshold", buckets, buckets["value"] - threshold, width)


def observed_unusual(observed: pd.DataFrame, granularity: str) -> pd.DataFrame:
    """Runs of buckets that were strange on either side, a few hours apart at most; the worst is the strangest.

    `observed`: complete ones, `bucket`, `value`, `expected`, `lower`, `upper`, `strangeness`; with a null there a
    bucket is not judged.
    """
    strange = observed["strangeness"] - STRANGE
    return _runs("observed_unusual", observed, strange, WIDTH[granularity], APART[granularity])


def day_ahead(model: Model, interval: float = 95) -> pd.DataFrame:
    """What a model fitted at a midnight (UTC) expects of the day after it: `bucket`, `expected`, `lower`, `upper`.

    24 hours, or for a daily model the day itself; `predict` says what is missing when.
    """
    prediction = predict(model, DAY_AHEAD_BUCKETS[model.granularity], interval)
    return prediction.set_axis(["bucket", "expected", "lower", "upper"], axis=1)


def strangeness(model: Model, came: Floats) -> Floats:
    """How far each bucket of the day after a midnight was from what is usual, by nothing that came after it.

    `model`: fitted at that midnight. `came`: the buckets of `day_ahead`, NaN is missing. The mean of two distances,
    both in standard deviations: from what the midnight expected, on the scale of the fit, over the root mean square of
    past errors as far ahead; and from the mean of the week before (of days: four weeks). NaN where either is not known.
    """
    ahead = outlook(model, DAY_AHEAD_BUCKETS[model.granularity])
    errors = ahead.errors[np.isfinite(ahead.errors)]
    if not len(errors):
        return np.full(len(ahead.starts), np.nan)
    inside = np.maximum(came, ahead.transform.lowest)  # below it the scale of the fit has no value
    from_the_expected = np.abs(ahead.transform.to_z(inside) - ahead.centre)
    deviations = from_the_expected / max(np.sqrt(np.mean(errors**2)), LEAST_DEVIATION)
    both: Floats = (deviations + _from_the_days_before(ahead.past, came, *ROLLING[model.granularity])) / 2
    return both


def _from_the_days_before(past: Floats, came: Floats, size: int, fewest: int) -> Floats:
    """|z| of each of `came` by the `size` buckets before it."""
    values = pd.Series(np.concatenate([past, came])[-size - len(came) :])
    before = values.shift(1).rolling(size, min_periods=fewest)
    mean = before.mean().to_numpy()
    deviation = np.maximum(before.std().to_numpy(), LEAST_DEVIATION * np.abs(mean))
    distance = np.abs(values.to_numpy() - mean)
    where_all_are_zero = np.where(distance > 0, np.inf, distance)
    deviations: Floats = np.divide(distance, deviation, out=where_all_are_zero, where=deviation != 0)
    return deviations[-len(came) :]


def _runs(
    kind: str, buckets: pd.DataFrame, excess: pd.Series, width: timedelta, apart: timedelta | None = None
) -> pd.DataFrame:
    """Runs of buckets whose `excess` is above 0, each told by the bucket of its largest excess.

    A run goes on where the next one starts no later than `apart` (by default the width of a bucket) after the last.
    """
    starts, over = buckets["bucket"].to_numpy("M8[us]"), excess.to_numpy("float64")
    flagged = np.flatnonzero(over > 0)
    flagged = flagged[np.argsort(starts[flagged], kind="stable")]
    breaks = np.flatnonzero(np.diff(starts[flagged]) > np.timedelta64(apart or width)) + 1
    runs = np.split(flagged, breaks) if len(flagged) else []
    worst = [run[np.argmax(over[run])] for run in runs]
    told = {
        "kind": pd.array([kind] * len(runs), "str"),
        "start": starts[[run[0] for run in runs]],
        "end": starts[[run[-1] for run in runs]] + np.timedelta64(width),
    }
    unknown = np.full(len(buckets), np.nan)
    for column in COLUMNS[3:]:
        told[column] = (buckets[column].to_numpy("float64") if column in buckets else unknown)[worst]
    return pd.DataFrame(told)
