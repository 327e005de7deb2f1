"""How good forecasts were, from nothing but what they said and what came.

`replays` throughout: rows as of `backtest.Said.frame`, of any models and origins, with `y` beside them: what came, NaN
where that is not known. A row whose middle or outcome is not known counts nowhere.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from core.analysis.hours import WIDTH

__all__ = ["ALL", "Held", "advantage", "by_horizon", "by_origin", "held"]

GROUPS = {"hourly": (6, 12, 24, 168), "daily": (1, 3, 7, 30)}  # buckets ahead up to which accuracy is told as one
ALL = "all"
SCORES = ["mase", "wis", "coverage_80", "coverage_95"]
ROUNDING = 1e-6  # errors of a smaller share of the values are those of floating point
OUTSIDE = {"80": 0.2, "95": 0.05}  # the share that may fall outside an interval of so many per cent


def by_horizon(replays: pd.DataFrame, granularity: str) -> pd.DataFrame:
    """`model, horizon, n, mase, wis, coverage_80, coverage_95`: each model over groups of buckets ahead, then over all.

    `horizon`: `1 to 6`, `7 to 12`, `13 to 24`, `25 to 168` hours or `1`, `2 to 3`, `4 to 7`, `8 to 30` days after the
    cutoff, the last one as far as the rows reach, or `all`. `n`: outcomes. `mase`: mean absolute error over `scale`
    (Hyndman & Koehler 2006, "Another look at measures of forecast accuracy"). `wis`: weighted interval score of the
    middle, the 80 and the 95 % interval over `scale` (Bracher et al. 2021, "Evaluating epidemic forecasts in an
    interval format"). Coverage: the share of outcomes inside, 0 to 1, both ends included.
    """
    if replays.empty or (rows := _scored(replays)).empty:
        return pd.DataFrame(columns=["model", "horizon", "n", *SCORES])
    ahead = (rows["ds"] - rows["cutoff"]) // WIDTH[granularity] + 1
    names = _group_names(GROUPS[granularity], int(ahead.max()))
    group = np.searchsorted(GROUPS[granularity], ahead)
    rows = pd.concat([rows.assign(horizon=np.array([*names, ALL])[group]), rows.assign(horizon=ALL)])
    return _means(rows, {"model": list(replays["model"].unique()), "horizon": [*names, ALL]})


def by_origin(replays: pd.DataFrame) -> pd.DataFrame:
    """`model, cutoff, n, mase, wis, coverage_80, coverage_95`: the same of each forecast alone, oldest first."""
    if replays.empty or (rows := _scored(replays)).empty:
        return pd.DataFrame(columns=["model", "cutoff", "n", *SCORES])
    return _means(rows, {"model": list(replays["model"].unique()), "cutoff": None})


def advantage(ours: float, peers: float) -> float | None:
    """How much less error the better of the two made, as a share of the other's; negative where that is the peer's.

    None where either is not known, or both are 0.
    """
    if not ours + peers > 0:
        return None
    return 1 - ours / peers if ours <= peers else peers / ours - 1


class Held(NamedTuple):
    """How forecasts a day ahead did."""

    share: float  # of the outcomes inside the interval, 0 to 1
    n: int  # outcomes
    days: int  # from the first of these to the last
    advantage: float | None  # over seasonal naive, as of `advantage`, where both said something


def held(days: pd.DataFrame) -> Held | None:
    """How forecasts did whose outcome is known; None without any.

    `days`: one row per bucket forecast: `bucket` (naive UTC), `expected`, `lower`, `upper`, `came`, and `before`: the
    value a season earlier, which seasonal naive would have said. NaN is not known.
    """
    known = days.dropna(subset=["lower", "came"])
    if known.empty:
        return None
    inside = (known["lower"] <= known["came"]) & (known["came"] <= known["upper"])
    both = known.dropna(subset=["before"])
    ours, peers = ((both[said] - both["came"]).abs().sum() for said in ("expected", "before"))
    if ours + peers < ROUNDING * both["came"].abs().sum():
        ours = peers = 0.0
    days_long = (known["bucket"].max() - known["bucket"].min()).days + 1
    return Held(float(inside.mean()), len(known), days_long, advantage(float(ours), float(peers)))


def _scored(replays: pd.DataFrame) -> pd.DataFrame:
    """The rows that count: `model, cutoff, ds`, and of each `mase`, `wis`, `coverage_80`, `coverage_95`."""
    rows = replays.dropna(subset=["y", "yhat"])
    error = (rows["y"] - rows["yhat"]).abs()
    scores = {"mase": error / rows["scale"]}
    wis = 0.5 * error
    for name, outside in OUTSIDE.items():
        lower, upper = rows[f"lower_{name}"], rows[f"upper_{name}"]
        missed = (lower - rows["y"]).clip(lower=0) + (rows["y"] - upper).clip(lower=0)
        wis = wis + outside / 2 * (upper - lower) + missed
        scores[f"coverage_{name}"] = ((lower <= rows["y"]) & (rows["y"] <= upper)).where(lower.notna()).astype(float)
    scores["wis"] = wis / (len(OUTSIDE) + 0.5) / rows["scale"]
    return rows[["model", "cutoff", "ds"]].assign(**scores)


def _means(rows: pd.DataFrame, keys: dict[str, list[str] | None]) -> pd.DataFrame:
    """The mean of each score over the rows that share the values of `keys`, in the order given with them."""
    order = {
        name: pd.Categorical(rows[name], values, ordered=True) if values is not None else rows[name]
        for name, values in keys.items()
    }
    groups = rows.assign(**order).groupby(list(keys), observed=True)
    scores = groups[SCORES].mean()
    means = pd.concat([groups.size().rename("n"), scores], axis=1).reset_index()
    return means.astype({name: "str" for name, values in keys.items() if values is not None})


def _group_names(ends: Sequence[int], reach: int) -> list[str]:
    """`1 to 6`, `7 to 12` …, up to `reach` buckets ahead."""
    starts = [1, *(end + 1 for end in ends)]
    groups = [(start, min(end, reach)) for start, end in zip(starts, ends, strict=False) if start <= reach]
    return [f"{start}" if start == end else f"{start} to {end}" for start, end in groups]
