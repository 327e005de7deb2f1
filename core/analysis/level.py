"""What the last day says that the backbone does not know: a level that lasts, and a deviation that fades.

Intercept correction after Clements & Hendry 1996 ("Intercept corrections and structural change"), damped after
Gardner & McKenzie 1985 ("Forecasting trends in time series"). It is what lets a forecast follow a deployment.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from core.analysis.hours import Floats

__all__ = ["LEVEL_HALF_LIFE_HOURS", "Level", "followed"]

LEVEL_HALF_LIFE_HOURS = 200
LEVEL_HOURS, LEVEL_OBSERVED = 24, 6  # a level is the median of a day, of a quarter of it at least
GAP_HOURS = 6  # how long a deviation outlives the last observation
PERSISTENCE_UNKNOWN, PERSISTENCE_MOST, PERSISTENCE_PAIRS = 0.5, 0.98, 24


@dataclass(frozen=True, eq=False)
class Level:
    """`level[t]` and `deviation[t]` as known at the end of hour `t`, never NaN.

    `persistence`: the share of a deviation that is left an hour later.
    """

    level: Floats
    deviation: Floats
    persistence: float

    def correction(self, hours_ahead: Floats) -> Floats:
        """C(t, h): what the news at each `t` (rows) adds to the backbone `hours_ahead` later (columns, from 1)."""
        lasting = 0.5 ** (hours_ahead / LEVEL_HALF_LIFE_HOURS)
        fading = self.persistence**hours_ahead
        return np.outer(self.level, lasting) + np.outer(self.deviation, fading)


def followed(residual: Floats) -> Level:
    """Level and deviation of an hourly residual (NaN is missing), each from what was known by then.

    Level: the median of the day up to the hour; with under six observed hours in it the last level, at first 0.
    Deviation: residual minus level; in a gap the last one for six hours, then 0.
    """
    series = pd.Series(residual)
    level = series.rolling(LEVEL_HOURS, min_periods=LEVEL_OBSERVED).median().ffill().fillna(0)
    deviation = series - level
    return Level(
        level.to_numpy(),
        deviation.ffill(limit=GAP_HOURS).fillna(0).to_numpy(),
        _persistence(deviation.to_numpy()),
    )


def _persistence(deviation: Floats) -> float:
    """Regression of a deviation on the one an hour before, over pairs of observed hours (NaN is missing)."""
    before, after = deviation[:-1], deviation[1:]
    pairs = np.isfinite(before) & np.isfinite(after)
    before, after = before[pairs], after[pairs]
    square = float((before * before).sum())
    if len(before) < PERSISTENCE_PAIRS or square == 0:
        return PERSISTENCE_UNKNOWN
    return min(max(float((before * after).sum()) / square, 0), PERSISTENCE_MOST)
