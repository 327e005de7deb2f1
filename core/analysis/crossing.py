"""How likely a threshold is crossed, in each bucket ahead and anywhere within the horizon, and when first.

A bucket's own probability comes from the pooled errors of past forecasts, that of the horizon from whole error paths:
an hour's error and the next one's are alike, and hourly probabilities multiplied as if independent would say .62
where .43 happened. Both are drawn by a quarter to what the history itself did.
"""

from dataclasses import dataclass
from datetime import datetime
from math import ceil
from typing import Any

import numpy as np
import pandas as pd

from core.analysis.hours import Floats
from core.analysis.model import Model
from core.analysis.outlook import KNOWN_SHARE, Outlook, blocks, outlook

__all__ = ["Crossing", "exceedance", "first_crossing"]

PATHS_WEIGHT = 0.75  # the rest is the history's
SHRINK_HOURS = 5  # how many hours of the day the overall share counts for, beside those seen at that hour
PERCENTILES = (10, 50, 90)


@dataclass(frozen=True)
class Crossing:
    """The first bucket above the threshold within the horizon.

    `probability`: that there is one. `earliest`, `median`, `latest`: starts (naive UTC) of the first bucket above in
    the 10th, 50th and 90th percentile of the past error paths that cross. None where nothing can be said.
    """

    probability: float | None = None
    earliest: datetime | None = None
    median: datetime | None = None
    latest: datetime | None = None


def exceedance(model: Model, horizon: int, threshold: float) -> pd.DataFrame:
    """`ds` (start of the bucket, naive UTC) and `p_above`, the probability that its value is above the threshold.

    No rows at stage `none`, NaN at `point`; for an intermittent history the share of the history alone.
    QuestionError where `horizon` is out of the model's reach.
    """
    ahead = outlook(model, horizon)
    return pd.DataFrame({"ds": ahead.starts, "p_above": _each(model, ahead, threshold)})


def first_crossing(model: Model, horizon: int, threshold: float) -> Crossing:
    """The first crossing within the next `horizon` buckets; parameters and limits as those of `exceedance`."""
    ahead = outlook(model, horizon)
    each = _each(model, ahead, threshold)
    if not np.isfinite(each).any():
        return Crossing()
    largest = float(np.nanmax(each))
    history = _share_of_blocks(ahead.past, horizon, threshold)
    if not ahead.pools:
        return Crossing(max(history, largest))
    known = np.isfinite(ahead.errors).mean(axis=1) >= KNOWN_SHARE
    above = ahead.centre + ahead.errors[known] > ahead.transform.level(threshold)
    crossing = above.any(axis=1)
    # With no path long enough to have been seen, the likeliest bucket is all that the paths can say.
    path_share = float(_share(crossing.sum(), len(crossing))) if len(crossing) else largest
    probability = max(PATHS_WEIGHT * path_share + (1 - PATHS_WEIGHT) * history, largest)
    firsts = np.sort(above[crossing].argmax(axis=1))
    if not len(firsts):
        return Crossing(probability)
    nearest_ranks = [ceil(percentile * len(firsts) / 100) for percentile in PERCENTILES]
    return Crossing(probability, *(ahead.starts[firsts[rank - 1]].item() for rank in nearest_ranks))


def _each(model: Model, ahead: Outlook, threshold: float) -> Floats:
    """P(above the threshold) per bucket ahead; NaN where nothing can be said."""
    if model.readiness.stage in ("none", "point"):
        return np.full(len(ahead.starts), np.nan)
    history = _share_at_hour(ahead, threshold)
    if not ahead.pools:
        return history
    needed = ahead.transform.level(threshold) - ahead.centre
    shares = np.full(len(needed), np.nan)
    for columns, errors in ahead.pools:
        if len(errors):
            above = len(errors) - np.searchsorted(np.sort(errors), needed[columns], side="right")
            shares[columns] = _share(above, len(errors))
    return PATHS_WEIGHT * shares + (1 - PATHS_WEIGHT) * history


def _share_at_hour(ahead: Outlook, threshold: float) -> Floats:
    """The history's share above at the hour of the day of each bucket ahead, drawn to its share at any hour."""
    index = np.flatnonzero(np.isfinite(ahead.past))
    if not len(index):
        return np.full(len(ahead.starts), np.nan)
    above = ahead.past[index] > threshold
    hour = index % ahead.period
    seen = np.bincount(hour, minlength=ahead.period)
    drawn = (np.bincount(hour, above, ahead.period) + SHRINK_HOURS * above.mean()) / (seen + SHRINK_HOURS)
    shares: Floats = drawn[(len(ahead.past) + np.arange(len(ahead.starts))) % ahead.period]
    return shares


def _share_of_blocks(past: Floats, size: int, threshold: float) -> float:
    """Of past blocks as long as the horizon, the share with a bucket above; without a block that of the buckets."""
    rows = blocks(past, size)
    rows = rows[np.isfinite(rows).mean(axis=1) >= KNOWN_SHARE]
    if len(rows):
        return float(_share((rows > threshold).any(axis=1).sum(), len(rows)))
    return float((past[np.isfinite(past)] > threshold).mean())


def _share(above: Any, n: int) -> Any:
    """So many of `n` (a number or an array) as a probability that is never quite 0 or 1."""
    return (above + 0.5) / (n + 1)
