"""What a threshold would have cost: the warnings it would have brought, and the crossings it would have missed.

Told from the forecasts of past midnights, each for the day after it, by the rule that makes a predicted anomaly. A
**warning** is a run of buckets each with a chance of being above the line of more than `p`; it was **real** if one of
its buckets was above, and does not count where none of them is known. A **crossing** is a run of buckets that were
above; it came **announced** if a midnight before it began, or as it began, warned of one of its buckets, and then its
lead is the time from that midnight to its beginning.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from math import ceil, floor, log10
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from core.analysis.crossing import exceedances
from core.analysis.hours import WIDTH, Floats, Moments
from core.analysis.model import Model

__all__ = ["Chances", "Cost", "chances", "cost", "curve", "lines", "suggested"]

Flags = NDArray[np.bool_]

MOST_LINES = 60
FEWEST_REAL = 0.5  # of the warnings of a line that is suggested
DAYS_PER_WARNING = 2  # at least: a line that is crossed daily is no news


@dataclass(frozen=True, eq=False)
class Chances:
    """The chance of each past bucket to be above each of some lines, as the midnight before it said, and what came.

    `buckets` and `made`: starts of the buckets (consecutive ones, oldest first) and their midnights (naive UTC).
    `came`: NaN is not known. `p_above`: a row per line, a column per bucket; NaN where nothing could be said.
    """

    buckets: Moments
    made: Moments
    came: Floats
    lines: Floats
    p_above: Floats


class Cost(NamedTuple):
    """What thresholds would have cost: rows as of `curve`."""

    curve: pd.DataFrame  # of the lines that were tried, perhaps none
    chosen: pd.Series  # of the threshold in force
    suggested: pd.Series | None
    days: int  # from the first bucket that was told to the last


def cost(many: Chances, own: Chances, p: float, since: datetime) -> Cost | None:
    """What `own` (of the threshold in force, one line) and `many` lines (of the same midnights) come to from `since`
    on (naive UTC), warning above `p`. None where nothing was said of anything that came.
    """
    many, own = _since(many, since), _since(own, since)
    told = own.buckets[np.isfinite(own.p_above[0]) & np.isfinite(own.came)]
    if not len(told):
        return None
    days = int((told[-1] - told[0]) / np.timedelta64(1, "D")) + 1
    tried = curve(many, p)
    return Cost(tried, curve(own, p).iloc[0], suggested(tried, days), days)


def lines(came: Floats) -> list[float]:
    """Round, evenly spaced lines to try, some 60: from the median of what came to as far above its 95th percentile as
    that is above the median. None where nothing varies above 0.
    """
    known = came[np.isfinite(came)]
    if not len(known):
        return []
    low, high = np.quantile(known, [0.5, 0.95])
    low, top = max(float(low), 0.0), float(known.max())
    high = float(2 * high - low) if high > low else 2 * top - low
    if not high > low:
        return []
    step = _round_up((high - low) / (MOST_LINES - 1))
    return [float(f"{step * number:.12g}") for number in range(max(floor(low / step), 1), ceil(high / step) + 1)]


def chances(days: Sequence[tuple[Model, Floats]], lines: Sequence[float]) -> Chances:
    """What each of `days` (a model fitted at a midnight, and what came in the buckets after it) said of `lines`.

    Consecutive midnights, oldest first; one day's buckets are the day's hours, or the day.
    """
    buckets, made, said = [], [], []
    for model, came in days:
        start, width = np.datetime64(model.first, "us"), np.timedelta64(WIDTH[model.granularity])
        buckets.append(start + np.arange(len(came)) * width)
        made.append(np.full(len(came), start))
        each = exceedances(model, len(came), lines)
        said.append(each if each.size else np.full((len(lines), len(came)), np.nan))
    came = np.concatenate([came for _, came in days])
    p_above = np.concatenate(said, axis=1)
    return Chances(np.concatenate(buckets), np.concatenate(made), came, np.array(lines), p_above)


def curve(chances: Chances, p: float) -> pd.DataFrame:
    """One row per line: `threshold`, `warnings`, `real`, `crossings`, `unannounced` (counts), and `lead`, the middle
    one of the announced crossings (timedelta, NaT without any).
    """
    warned, above = chances.p_above > p, chances.came > chances.lines[:, None]
    rows = [_row(chances, *flags) for flags in zip(warned, above, strict=True)]
    counts = pd.DataFrame(rows, columns=["warnings", "real", "crossings", "unannounced", "lead"])
    counts["lead"] = counts["lead"].astype("m8[us]")
    counts.insert(0, "threshold", chances.lines)
    return counts


def suggested(curve: pd.DataFrame, days: float) -> pd.Series | None:
    """The row of the lowest line at which half of the warnings were real, and there was one in two days at most."""
    rare = curve["warnings"].between(1, days / DAYS_PER_WARNING)
    good = curve[rare & (curve["real"] >= FEWEST_REAL * curve["warnings"])]
    return None if good.empty else good.iloc[0]


def _since(chances: Chances, since: datetime) -> Chances:
    kept = chances.buckets >= np.datetime64(since, "us")
    columns = (chances.buckets[kept], chances.made[kept], chances.came[kept])
    return Chances(*columns, chances.lines, chances.p_above[:, kept])


def _row(chances: Chances, warned: Flags, above: Flags) -> tuple[int, int, int, int, np.timedelta64]:
    warnings = [run for run in _runs(warned) if np.isfinite(chances.came[run]).any()]
    crossings = _runs(above)
    leads = []
    for run in crossings:
        began = chances.buckets[run.start]
        in_time = warned[run] & (chances.made[run] <= began)
        if in_time.any():
            leads.append(began - chances.made[run][in_time.argmax()])
    real = sum(bool(above[run].any()) for run in warnings)
    lead = sorted(leads)[len(leads) // 2] if leads else np.timedelta64("NaT", "us")
    return len(warnings), real, len(crossings), len(crossings) - len(leads), lead


def _runs(flags: Flags) -> list[slice]:
    """Where consecutive ones are true."""
    edges = np.diff(np.concatenate([[0], flags.astype(np.int8), [0]]))
    return [slice(*ends) for ends in zip(np.flatnonzero(edges == 1), np.flatnonzero(edges == -1), strict=True)]


def _round_up(least: float) -> float:
    """The smallest of 1, 2, 2.5 and 5 times a power of ten that is not under `least`."""
    power = 10.0 ** floor(log10(least))
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= least * (1 - 1e-9))
