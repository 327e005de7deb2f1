"""The history a forecast may see: complete hours on a full grid, and whether they are enough to say something."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

__all__ = [
    "FIT_DAYS",
    "FULL_HOURS",
    "INTERMITTENT_SHARE",
    "INTERVAL_HOURS",
    "POINT_HOURS",
    "STOPPED_HOURS",
    "WEEK_HOURS",
    "WIDTH",
    "Floats",
    "Hours",
    "Moments",
    "Readiness",
    "Stage",
    "complete_hours",
    "last_complete",
    "readiness",
]

Floats = NDArray[np.float64]
Moments = NDArray[np.datetime64]
Stage = Literal["none", "point", "short", "no_week", "full"]

FIT_DAYS = 60  # a longer history made no forecast better
POINT_HOURS = 24  # observed; below this a fitted day's shape explodes
INTERVAL_HOURS = 48  # observed; below this there is no past forecast to take an error from
WEEK_HOURS = 7 * 24  # from the first observed hour to the last; below this the history is "short"
FULL_HOURS = 14 * 24  # the same; below this a weekly cycle would be fitted to a single week
STOPPED_HOURS = 6  # missing in a row at the end: the data stopped
INTERMITTENT_SHARE = 0.2  # of observed hours that are zero; above it only shares are said

HOUR = timedelta(hours=1)
WIDTH: dict[str, timedelta] = {"hourly": HOUR, "daily": timedelta(days=1)}


@dataclass(frozen=True, eq=False)
class Hours:
    """A full hourly grid: `values[i]` belongs to the hour that starts `i` hours after `start`; NaN is missing.

    The first value is never missing, the last ones may be; with no observed hour `values` is empty.
    """

    start: datetime
    values: Floats

    @property
    def observed(self) -> int:
        """How many hours have a value."""
        return int(np.isfinite(self.values).sum())

    @property
    def span(self) -> int:
        """Hours from the first observed one to the last, both included."""
        seen = np.flatnonzero(np.isfinite(self.values))
        return int(seen[-1]) + 1 if len(seen) else 0

    @property
    def intermittent(self) -> bool:
        """More than a fifth of the observed hours are zero."""
        return int((self.values == 0).sum()) > INTERMITTENT_SHARE * self.observed

    @property
    def stage(self) -> Stage:
        """How much may be said; see `Readiness`."""
        if self.observed < POINT_HOURS:
            return "none"
        if self.observed < INTERVAL_HOURS:
            return "point"
        if self.span < WEEK_HOURS:
            return "short"
        return "no_week" if self.span < FULL_HOURS else "full"


@dataclass(frozen=True)
class Readiness:
    """What a history is good for, as a page says it in words.

    `stage`: `none` (no forecast), `point` (no interval, no probability), `short` (all, under a week of history),
    `no_week` (all, no weekly cycle yet), `full`. `intermittent`: only shares are said, from
    stage `short` on. `stopped_since`: the end of the last observed hour when nothing came in the last six hours.
    `ready_at`: when the next stage comes if each hour from now on is observed; None at `full`.
    """

    observed_hours: int
    stage: Stage
    intermittent: bool
    stopped_since: datetime | None
    ready_at: datetime | None


def last_complete(now: datetime, granularity: str) -> datetime:
    """End of the last complete bucket, which is the start of the first one to forecast."""
    hour = now.replace(minute=0, second=0, microsecond=0)
    return hour if granularity == "hourly" else hour.replace(hour=0)


def complete_hours(history: pd.DataFrame, end: datetime, stat: str = "avg") -> Hours:
    """The complete hours of the 60 days before `end`, which is on the hour.

    `history`: `ds` (naive UTC, hourly), `y`; rows in any order, hours without a row or with a NaN or infinite `y` are
    missing, and of two rows of one hour the later counts. With `stat` `count` or `volume` an hour without a row is 0
    from the first observed hour to the last (before and after there was nothing to count), while a NaN stays missing:
    that is how an excluded hour is told from an empty one. An `error_rate` is held within 0 and 1.
    """
    moments = history["ds"].to_numpy(dtype="datetime64[us]")
    values = history["y"].to_numpy(dtype=np.float64, na_value=np.nan)
    past = moments < np.datetime64(end, "us")  # False for NaT
    back = -((moments[past] - np.datetime64(end, "us")) // np.timedelta64(1, "h"))  # 1 is the last hour before the end
    values = np.where(np.isfinite(values[past]), values[past], np.nan)
    if stat == "error_rate":
        values = np.clip(values, 0, 1)
    counted = stat in ("count", "volume")
    seen = back[np.isfinite(values)]
    if not len(seen) or seen.min() > FIT_DAYS * 24:
        return Hours(end, np.empty(0))
    size = min(int(seen.max()), FIT_DAYS * 24)
    grid = np.full(size, 0.0 if counted else np.nan)
    inside = back <= size
    grid[size - back[inside]] = values[inside]
    if counted:
        grid[size - int(seen.min()) + 1 :] = np.nan
    missing_first = int(np.argmax(np.isfinite(grid)))  # the window may begin within a gap
    return Hours(end - (size - missing_first) * HOUR, grid[missing_first:])


def readiness(history: pd.DataFrame, now: datetime, granularity: str = "hourly", *, stat: str = "avg") -> Readiness:
    """What the history before `now` is good for; parameters as those of `forecast.fit`."""
    end = last_complete(now, granularity)
    hour = last_complete(now, "hourly")
    hours = complete_hours(history, end, stat)
    latest = complete_hours(history, hour, stat)
    silent = len(latest.values) - latest.span
    return Readiness(
        observed_hours=hours.observed,
        stage=hours.stage,
        intermittent=hours.intermittent,
        stopped_since=hour - silent * HOUR if silent >= STOPPED_HOURS else None,
        ready_at=_ready_at(latest, hours.stage, hour, granularity),
    )


def _ready_at(latest: Hours, stage: Stage, hour: datetime, granularity: str) -> datetime | None:
    """When the stage after `stage` comes if each hour from `hour` on is observed."""
    if stage == "full":
        return None
    first = latest.start
    reached = {
        "none": hour + (POINT_HOURS - latest.observed) * HOUR,
        "point": hour + (INTERVAL_HOURS - latest.observed) * HOUR,
        "short": first + WEEK_HOURS * HOUR,
        "no_week": first + FULL_HOURS * HOUR,
    }[stage]
    following = last_complete(hour, granularity) + WIDTH[granularity]
    bucket = last_complete(reached, granularity)
    return max(following, bucket if bucket == reached else bucket + WIDTH[granularity])
