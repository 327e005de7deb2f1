"""What a forecast is measured against: the original pipeline's settings, and two that take no thought.

Each peer says the quantiles `LEVELS` (rows) of the buckets ahead (columns) from the buckets `past`, the last of which
is the one just before the first ahead. NaN is missing, or where nothing can be said.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pandas as pd

from core.analysis.hours import Floats, Moments
from core.analysis.outlook import blocks
from core.analysis.prophet_model import fitted

__all__ = ["LEVELS", "original", "repeated"]

LEVELS = (0.025, 0.1, 0.5, 0.9, 0.975)  # the ends of the 95 and 80 % interval, and the middle
FEWEST_FOR_PROPHET = 2

_generator = threading.Lock()  # of the process's one global generator, from which Prophet draws


def original(past: Floats, starts: Moments, horizon: int) -> Floats:
    """Prophet as it comes, with an interval of 95 %, its quantiles from its own thousand samples.

    `starts`: of the buckets `past`. The middle is its `yhat`.
    """
    known = np.isfinite(past)
    if known.sum() < FEWEST_FOR_PROPHET:
        return np.full((len(LEVELS), horizon), np.nan)
    model = fitted(starts[known], past[known], interval_width=0.95)
    width = starts[1] - starts[0]
    ahead = pd.DataFrame({"ds": starts[-1] + width * np.arange(1, horizon + 1)})
    with _seeded():
        quantiles: Floats = np.quantile(model.predictive_samples(ahead)["yhat"], LEVELS, axis=1)
    model.uncertainty_samples = 0  # `predict` would draw them again
    quantiles[2] = model.predict(ahead)["yhat"]
    return quantiles


def repeated(past: Floats, horizon: int, season: int) -> Floats:
    """The last `season` buckets again and again; with a season of 1 the last value.

    A missing bucket is that of the season before. The interval: quantiles of the past changes over as many seasons as
    lie between a bucket ahead and the one it repeats, as far as the past holds a season of such changes.
    """
    spread = np.full((len(LEVELS), horizon), np.nan)
    if not np.isfinite(past).any():
        return spread
    steps = np.arange(horizon)
    middle = pd.DataFrame(blocks(past, season)).ffill().iloc[-1].to_numpy()[steps % season]
    back = np.clip(steps // season + 1, 1, max(len(past) // season - 1, 1))
    for distance in np.unique(back):
        lag = distance * season
        changes = past[lag:] - past[:-lag]
        changes = changes[np.isfinite(changes)]
        if len(changes):
            spread[:, back == distance] = np.quantile(changes, LEVELS)[:, None]
    spread[2] = 0
    quantiles: Floats = middle + spread
    return quantiles


@contextmanager
def _seeded() -> Iterator[None]:
    """The same draws each time, whatever was drawn before; numpy's generator is left as it was."""
    with _generator:
        before = np.random.get_state()
        np.random.seed(0)
        try:
            yield
        finally:
            np.random.set_state(before)
