"""A model seen at its granularity: the same past, centre and error paths, be the bucket an hour or a day."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from core.analysis.hours import WIDTH, Floats, Moments
from core.analysis.model import LONGEST, Model
from core.analysis.past_errors import GROUPS, HOURS_OF_PATHS, paths, pooled
from core.analysis.transform import Transform
from core.errors import QuestionError

__all__ = ["KNOWN_SHARE", "Outlook", "Pool", "blocks", "day_means", "outlook"]

KNOWN_SHARE = 0.75  # of a day's hours, or of a path's buckets: with fewer the whole is not known


class Pool(NamedTuple):
    """The errors (known ones, flat) that speak for the buckets ahead in `columns`, the last of which ends that many
    `hours` ahead.
    """

    columns: slice
    errors: Floats
    hours: int


@dataclass(frozen=True, eq=False)
class Outlook:
    """The buckets of a horizon and what they are told from.

    `starts`: of the buckets ahead (datetime64[us], naive UTC). `past`: the buckets of the history, oldest first, the
    last one just before `starts[0]`; NaN is missing. `period`: after how many buckets an hour of the day returns
    (1 for days). `centre` and `errors` (one row per path, one column per bucket ahead) are on the scale of
    `transform`; no row and no pool where no spread can be said, no centre where no point can.
    """

    starts: Moments
    past: Floats
    period: int
    transform: Transform
    centre: Floats
    errors: Floats
    pools: list[Pool]


def outlook(model: Model, horizon: int) -> Outlook:
    """The next `horizon` buckets, none at stage `none`; QuestionError where the model does not reach so far."""
    longest = LONGEST[model.granularity]
    if not 1 <= horizon <= longest:
        raise QuestionError(f"horizon is {horizon}: expected 1 to {longest} buckets of a {model.granularity} forecast")
    if model.readiness.stage == "none":
        horizon = 0
    starts = np.datetime64(model.first, "us") + np.arange(horizon) * np.timedelta64(WIDTH[model.granularity])
    if model.granularity == "daily":
        return _days(model, horizon, starts)
    return _hours(model, horizon, starts)


def blocks(values: Floats, size: int) -> Floats:
    """One row per block of `size` buckets, counted back from the end; the oldest is filled up with NaN."""
    return np.concatenate([np.full(-len(values) % size, np.nan), values]).reshape(-1, size)


def _hours(model: Model, horizon: int, starts: Moments) -> Outlook:
    """Hours on the scale of the fit; errors pooled over groups of hours ahead, each group whole at any horizon."""
    groups = [group for group in GROUPS if group[0] <= horizon]
    errors, pools = np.empty((0, horizon)), []
    if model.has_spread:
        errors = paths(model.residual, model.level, groups[-1][1])
        for first, last in groups:
            pool = pooled(errors[:, first - 1 : last], errors[:, :last])
            pools.append(Pool(slice(first - 1, min(last, horizon)), pool, last))
    return Outlook(starts, model.hours.values, 24, model.transform, model.median[:horizon], errors[:, :horizon], pools)


def _days(model: Model, horizon: int, starts: Moments) -> Outlook:
    """Days in the measure's unit: what the hourly median and each hourly path, back-transformed, make of a day.

    Days past the seventh take the errors of the seventh. In a day that is known well enough an hour whose error is
    missing counts as its median, and a missing hour of the past as the mean of the others.
    """
    hours_in_sum = 24 if model.summed else 1
    past = day_means(model.hours.values) * hours_in_sum
    in_unit = replace(model.transform, scale=None)
    by_day = model.median[: 24 * horizon].reshape(-1, 24)
    centre = model.transform.to_y(by_day).mean(axis=1) * hours_in_sum
    errors, pools = np.empty((0, horizon)), []
    if model.has_spread:
        hourly = paths(model.residual, model.level, min(24 * horizon, HOURS_OF_PATHS))
        errors = np.empty((len(hourly), horizon))
        for day in range(horizon):
            error = hourly[:, : 24 * (day + 1)][:, -24:]
            known = np.isfinite(error)
            means = model.transform.to_y(by_day[day] + np.where(known, error, 0)).mean(axis=1) * hours_in_sum
            errors[:, day] = np.where(known.mean(axis=1) >= KNOWN_SHARE, means - centre[day], np.nan)
            pool = pooled(errors[:, day], errors[:, : day + 1])
            pools.append(Pool(slice(day, day + 1), pool, min(24 * (day + 1), HOURS_OF_PATHS)))
    return Outlook(starts, past, 1, in_unit, centre, errors, pools)


def day_means(values: Floats) -> Floats:
    """Mean of each day, counted back from the end of the hours (NaN is missing, and a day of which too much is)."""
    days = blocks(values, 24)
    known = np.isfinite(days)
    means = np.where(known, days, 0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    return np.where(known.mean(axis=1) >= KNOWN_SHARE, means, np.nan)
