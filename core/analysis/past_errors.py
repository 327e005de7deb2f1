"""Errors that past forecasts would have made, kept as whole paths: where intervals and probabilities come from."""

import numpy as np
from scipy.special import stdtrit

from core.analysis.hours import Floats
from core.analysis.level import Level

__all__ = ["FIRST_PATH", "GROUPS", "HOURS_OF_PATHS", "paths", "pooled", "quantile"]

FIRST_PATH = 23  # index of the 24th hour: before it there is no day to have learnt from
GROUPS = ((1, 1), (2, 3), (4, 6), (7, 12), (13, 24), (25, 168))  # hours ahead, both included, whose errors are pooled
HOURS_OF_PATHS = GROUPS[-1][1]
FEWEST_ERRORS = 10
WINSORISED_AT = 4 * 1.4826  # median absolute deviations; 1.4826 of them are a normal standard deviation
FEWEST_DEGREES = 2.0


def paths(residual: Floats, level: Level, hours_ahead: int) -> Floats:
    """E, one row per past hour from the 24th, one column per hour ahead (the first is 1); NaN where not known.

    On the scale of the fit. Widened by a tenth over the first day and by another until the seventh, because the
    backbone had seen the hours it is compared with.
    """
    ahead = np.arange(1.0, hours_ahead + 1)
    later = np.concatenate([residual[FIRST_PATH + 1 :], np.full(hours_ahead, np.nan)])
    happened = np.lib.stride_tricks.sliding_window_view(later, hours_ahead)
    ramp = 1 + 0.1 * np.minimum(ahead / 24, 1) + 0.1 * np.maximum(ahead - 24, 0) / 144
    errors: Floats = (happened - level.correction(ahead)[FIRST_PATH:]) * ramp
    return errors


def pooled(pool: Floats, everything: Floats) -> Floats:
    """The known errors of `pool` as one flat array; those of `everything` where that has under ten."""
    known = pool[np.isfinite(pool)]
    return known if len(known) >= FEWEST_ERRORS else everything[np.isfinite(everything)]


def quantile(errors: Floats, p: Floats, observed_hours: int, hours_ahead: int) -> Floats:
    """Quantiles of the next error at each `p` (0 to 1): half a Student t, half the errors themselves.

    The t is scaled by the errors' root mean square, each error held within four robust deviations, and has a degree
    of freedom for each observed day after which as many hours as are looked ahead are known: errors a week ahead
    that a history of two weeks holds are few and alike, so that their own spread says too little.
    """
    bound = WINSORISED_AT * np.median(np.abs(errors))
    scale = np.sqrt(np.mean(np.clip(errors, -bound, bound) ** 2))
    degrees = max((observed_hours - hours_ahead) / 24, FEWEST_DEGREES)
    widened = stdtrit(degrees, 0.975) / 1.96
    blended: Floats = 0.5 * stdtrit(degrees, p) * scale + 0.5 * np.quantile(errors, p) * widened
    return blended
