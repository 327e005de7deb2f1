"""One fit: the hourly history of one measure, and what it takes to look ahead from its end without another."""

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pandas as pd

from core.analysis.backbone import backbone
from core.analysis.hours import Floats, Hours, Readiness, complete_hours, last_complete, readiness
from core.analysis.level import Level, followed
from core.analysis.transform import Transform, chosen

__all__ = ["LONGEST", "Model", "fit"]

LONGEST = {"hourly": 168, "daily": 30}  # buckets ahead
HOURS_AHEAD = {"hourly": 168, "daily": 30 * 24}


@dataclass(frozen=True, eq=False)
class Model:
    """Frozen and picklable. Arrays by hour of the history have the length of `hours.values`, NaN is missing.

    `median`: the hourly median from `first` on, on the scale of `transform`; empty where no point can be said.
    `residual`: what the backbone left of the history, on that scale. `summed`: a day is the sum of its hours, else
    their mean.
    """

    granularity: str
    summed: bool
    first: datetime  # start of the first forecast bucket
    hours: Hours
    transform: Transform
    residual: Floats
    level: Level
    median: Floats
    readiness: Readiness

    @property
    def has_spread(self) -> bool:
        """Intervals and probabilities from past errors can be said."""
        return len(self.median) > 0 and self.readiness.stage != "point"


def fit(history: pd.DataFrame, granularity: str, now: datetime, *, stat: str = "avg") -> Model:
    """Fit the complete hours of the 60 days before `now`; nothing at or after `now` is used, nor `history` changed.

    `history`: one row per hour, for both granularities: `ds` (start of the hour, naive UTC), `y` (the measure's unit);
    see `hours.complete_hours` for holes. `granularity`: `hourly` or `daily`, which cuts the history at the last
    midnight. `stat`: `count` and `volume` are 0 in an empty hour and add up over a day, an `error_rate` stays within
    0 and 1, all others are means.
    """
    first = last_complete(now, granularity)
    hours = complete_hours(history, first, stat)
    summed = stat in ("count", "volume")
    transform = chosen(hours.values, highest=1.0 if stat == "error_rate" else np.inf)
    ready = readiness(history, now, granularity, stat=stat)
    if ready.stage == "none" or (ready.intermittent and ready.stage != "point"):
        nothing = np.empty(0)
        return Model(granularity, summed, first, hours, transform, nothing, followed(nothing), nothing, ready)
    z = transform.to_z(hours.values)
    ahead = HOURS_AHEAD[granularity]
    expected = backbone(z, hours, ahead)
    residual = z - expected[: len(z)]
    level = followed(residual)
    median = expected[len(z) :] + level.correction(np.arange(1.0, ahead + 1))[-1]
    return Model(granularity, summed, first, hours, transform, residual, level, median, ready)
