"""How likely a threshold is crossed, in each bucket ahead and anywhere within the horizon, and when first.

A bucket's own probability comes from the pooled errors of past forecasts, that of the horizon from whole error paths:
an hour's error and the next one's are alike, and hourly probabilities multiplied as if independent would say .62
where .43 happened. Both are drawn by a quarter to what the history itself did.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from math import ceil
from typing import Any

import numpy as np
import pandas as pd

from core.analysis.hours import Floats
from core.analysis.model import Model
from core.analysis.outlook import KNOWN_SHARE, Outlook, blocks, outlook

__all__ = ["Crossing", "exceedance", "exceedances", "first_crossing"]

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
    return pd.DataFrame({"ds": ahead.starts, "p_above": _each(model, ahead, [threshold])[0]})


def exceedances(model: Model, horizon: int, thresholds: Sequence[float]) -> Floats:
    """`p_above` of many thresholds (rows) per bucket ahead (columns), as of `exceedance` of each."""
    return _each(model, outlook(model, horizon), thresholds)


def first_crossing(model: Model, horizon: int, threshold: float) -> Crossing:
    """The first crossing within the next `horizon` buckets; parameters and limits as those of `exceedance`."""
    ahead = outlook(model, horizon)
    each = _each(model, ahead, [threshold])[0]
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


def _each(model: Model, ahead: Outlook, thresholds: Sequence[float]) -> Floats:
    """P(above the threshold), a row per threshold, a column per bucket ahead; NaN where nothing can be said."""
    if model.readiness.stage in ("none", "point"):
        return np.full((len(thresholds), len(ahead.starts)), np.nan)
    history = _shares_at_hour(ahead, np.array(thresholds))
    if not ahead.pools:
        return history
    levels = np.array([ahead.transform.level(threshold) for threshold in thresholds])
    needed = levels[:, None] - ahead.centre
    shares = np.full(needed.shape, np.nan)
    for columns, errors, _ in ahead.pools:
        if len(errors):
            above = len(errors) - np.searchsorted(np.sort(errors), needed[:, columns], side="right")
            shares[:, columns] = _share(above, len(errors))
    return PATHS_WEIGHT * shares + (1 - PATHS_WEIGHT) * history


def _shares_at_hour(ahead: Outlook, thresholds: Floats) -> Floats:
    """The history's share above at the hour of the day of each bucket ahead, drawn to its share at any hour."""
    grid = blocks(ahead.past, ahead.period)
    seen = np.isfinite(grid).sum(axis=0)
    if not seen.any():
        return np.full((len(thresholds), len(ahead.starts)), np.nan)
    above = (grid > thresholds[:, None, None]).sum(axis=1)
    overall = above.sum(axis=1, keepdims=True) / seen.sum()
    drawn: Floats = (above + SHRINK_HOURS * overall) / (seen + SHRINK_HOURS)
    return drawn[:, np.arange(len(ahead.starts)) % ahead.period]


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
