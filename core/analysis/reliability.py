"""Does 70 % mean 70 %? Chances of a crossing that were said, held against whether one came."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from core.analysis.crossing import first_crossing
from core.analysis.hours import Floats
from core.analysis.model import Model
from core.analysis.outlook import KNOWN_SHARE, outlook
from core.analysis.usual import crossed_share

__all__ = ["LEVELS", "Reliability", "bins", "brier_skill", "chances", "levels", "none", "reliability"]

LEVELS = (0.9, 0.95, 0.99)  # of the history, as thresholds: lines that are crossed often enough to count
COLUMNS = ["threshold", "said", "usual", "crossed"]
EDGES = (0.1, 0.2, 0.4, 0.6, 0.8, 0.9)  # between the bins


def levels(model: Model, horizon: int) -> list[float]:
    """The 90th, 95th and 99th percentile of the buckets that `model` was fitted to."""
    past = outlook(model, horizon).past
    return [float(level) for level in np.quantile(past[np.isfinite(past)], LEVELS)]


def none() -> pd.DataFrame:
    """No chances."""
    return pd.DataFrame(columns=COLUMNS, dtype=float)


def chances(model: Model, horizon: int, came: Floats, thresholds: list[float]) -> pd.DataFrame:
    """What `model` said of a crossing in its next `horizon` buckets, of which `came` is known now (NaN is missing).

    One row per threshold: `threshold`, `said` (0 to 1), `usual` (the share of earlier stretches as long that had one,
    NaN where there are under two), `crossed` (0 or 1; NaN where under 75 % of the buckets are known).
    """
    past = pd.Series(outlook(model, horizon).past)
    known = np.isfinite(came).mean() >= KNOWN_SHARE
    rows = [
        (
            threshold,
            first_crossing(model, horizon, threshold).probability,
            crossed_share(past, horizon, threshold),
            float((came > threshold).any()) if known else None,
        )
        for threshold in thresholds
    ]
    return pd.DataFrame(rows, columns=COLUMNS, dtype=float)


class Reliability(NamedTuple):
    """Whether chances of a crossing came true."""

    bins: pd.DataFrame  # as of `bins`
    skill: float | None  # as of `brier_skill`
    said: int  # chances that could be held against what came
    warnings: int  # forecasts whose chance to cross the threshold was above the one to warn at
    came_true: int  # of these
    crossings: int  # forecasts that a crossing of the threshold followed, warned of or not


def reliability(own: pd.DataFrame, levels: pd.DataFrame, p: float) -> Reliability:
    """Of the chances to cross the threshold (`own`) and the levels of each history, rows as of `chances`; a chance
    above `p` is a warning.
    """
    both = pd.concat([own, levels], ignore_index=True)
    warnings = own[(own["said"] > p) & own["crossed"].notna()]
    table = bins(both)
    came_true, crossings = (int(rows["crossed"].sum()) for rows in (warnings, own))
    return Reliability(table, brier_skill(both), int(table["n"].sum()), len(warnings), came_true, crossings)


def bins(said: pd.DataFrame) -> pd.DataFrame:
    """Chances by how high they were: `said` (their mean), `came` (the share that a crossing followed), `n`; ascending,
    without a row for a bin that is empty.
    """
    rows = said.dropna(subset=["said", "crossed"])
    groups = rows.groupby(np.searchsorted(EDGES, rows["said"], side="right"))
    return groups.agg(said=("said", "mean"), came=("crossed", "mean"), n=("said", "size")).reset_index(drop=True)


def brier_skill(said: pd.DataFrame) -> float | None:
    """1 is perfect, 0 no better than always saying the `usual` share, negative worse (Brier 1950, "Verification of
    forecasts expressed in terms of probability"). None where nothing is known, or the usual share was never wrong.
    """
    rows = said.dropna()
    usual = float(((rows["usual"] - rows["crossed"]) ** 2).sum())
    return 1 - float(((rows["said"] - rows["crossed"]) ** 2).sum()) / usual if usual > 0 else None
