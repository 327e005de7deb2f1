"""The forecast of one measure: fit once, then look as far ahead as the model reaches.

Prophet with a flat trend on a log scale, blended with a seasonal median (`backbone`), corrected by the level of the
last day (`level`), with intervals from past errors (`past_errors`). Naive UTC throughout, no clock, no randomness:
the same input gives the same output, bit for bit.
"""

import numpy as np
import pandas as pd

from core.analysis.hours import Floats, Readiness, readiness
from core.analysis.model import Model, fit
from core.analysis.outlook import Outlook, outlook
from core.analysis.past_errors import quantile
from core.analysis.prophet_model import warm

__all__ = ["Model", "Readiness", "fit", "predict", "readiness", "warm"]

NARROWEST = 0.005  # half an interval at least, as a share of the median
MOST_TIMES_SEEN = 2  # an interval's upper end at most, in times the largest value seen


def predict(model: Model, horizon: int, interval: float = 95) -> pd.DataFrame:
    """Median and interval of the next `horizon` buckets, in the measure's unit.

    `interval`: per cent of outcomes that should fall inside. Returns `ds` (start of the bucket, naive UTC), `yhat` (the
    median; of a day: what the hourly medians make of it), `yhat_lower`, `yhat_upper`; lower <= yhat <= upper. No rows
    at stage `none`; `yhat` alone at `point`; no number at all for an intermittent history. QuestionError where
    `horizon` is out of the model's reach.
    """
    ahead = outlook(model, horizon)
    unknown = np.full(len(ahead.starts), np.nan)
    yhat = ahead.transform.to_y(ahead.centre) if len(ahead.centre) else unknown
    lower, upper = _bounds(ahead, yhat, interval, model.hours.observed) if ahead.pools else (unknown, unknown)
    return pd.DataFrame({"ds": ahead.starts, "yhat": yhat, "yhat_lower": lower, "yhat_upper": upper})


def _bounds(ahead: Outlook, yhat: Floats, interval: float, observed_hours: int) -> tuple[Floats, Floats]:
    """Lower and upper end of the interval per bucket ahead, in the measure's unit; NaN where no error is known."""
    tail = (1 - interval / 100) / 2
    spread = np.full((2, len(yhat)), np.nan)
    for columns, errors, hours_ahead in ahead.pools:
        if len(errors):
            spread[:, columns] = quantile(errors, np.array([tail, 1 - tail]), observed_hours, hours_ahead)[:, None]
    lower, upper = ahead.transform.to_y(ahead.centre + spread)
    # A log scale has no upper end of its own: one wild hour would put the bound at a hundred times what was ever seen.
    most = np.maximum(MOST_TIMES_SEEN * np.max(np.abs(ahead.past), initial=0, where=np.isfinite(ahead.past)), yhat)
    most = np.minimum(most, ahead.transform.highest)
    half = NARROWEST * np.abs(yhat)
    return np.minimum(lower, yhat - half), np.minimum(np.maximum(upper, yhat + half), most)
