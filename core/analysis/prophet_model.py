"""Prophet (Taylor & Letham 2018, "Forecasting at scale"), silent and without files left behind: as it comes, and its
flat trend with terms of our own.
"""

import logging
import warnings
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd

from core.analysis.hours import Floats, Moments

__all__ = ["fitted", "flat", "warm"]

# Prophet's own settings: https://github.com/facebook/prophet/blob/main/python/prophet/forecaster.py
TERMS_PRIOR, CHANGES_PRIOR = 10.0, 0.05
FLAT = 2  # the kind of trend, as Prophet's Stan program counts them
CHATTY_LOGGERS = ("prophet", "prophet.models", "prophet.plot", "cmdstanpy")  # a line a fit; what fails still raises


def fitted(moments: Moments, y: Floats, **settings: Any) -> Any:
    """A Prophet of these settings, fitted to `y` (all known) at `moments`."""
    _silence()
    from prophet import Prophet  # takes two seconds, which the start of the process does not wait for

    model: Any = Prophet(**settings)
    model.stan_backend.prepare_data = _as_it_is
    model.regressor_column_matrix = _all_added
    with TemporaryDirectory() as folder:  # Stan's own would stay until the process ends
        return model.fit(pd.DataFrame({"ds": moments, "y": y}), seed=1, output_dir=folder)


def flat(moments: Floats, y: Floats, terms: Floats) -> tuple[float, Floats]:
    """Level and weights of `terms` (a row a moment): Prophet of a flat trend says the level, plus terms times weights.

    `moments` ascend, in any unit; `y` is all known. `Prophet.fit` hands its Stan program the same numbers and gets the
    same answer, but for rounding (under 100 moments within 0.04 %, where another method ends a little sooner or later);
    but it makes a dozen frames for that, in twice the time.
    """
    scale = float(np.abs(y).max()) or 1.0
    scaled = y / scale
    if scaled.min() == scaled.max():  # nothing to optimize, nor does Prophet
        return float(y[0]), np.zeros(terms.shape[1])
    _silence()
    from prophet.models import CmdStanPyBackend

    size = terms.shape[1]
    data = {
        "T": len(y),
        "K": size,
        "S": 1,  # a change of the trend, which a flat one takes no notice of
        "t": (moments - moments[0]) / (moments[-1] - moments[0]),
        "t_change": np.zeros(1),
        "cap": np.zeros(len(y)),
        "y": scaled,
        "X": terms,
        "s_a": np.ones(size),
        "s_m": np.zeros(size),
        "sigmas": np.full(size, TERMS_PRIOR),
        "tau": CHANGES_PRIOR,
        "trend_indicator": FLAT,
    }
    begin = {"k": 0.0, "m": scaled.mean(), "delta": np.zeros(1), "beta": np.zeros(size), "sigma_obs": 1.0}
    stan: Any = CmdStanPyBackend()
    stan.prepare_data = _as_it_is
    with TemporaryDirectory() as folder:
        found = stan.fit(begin, data, seed=1, output_dir=folder)
    return float(found["m"][0, 0]) * scale, found["beta"][0] * scale


def warm() -> None:
    """Import Prophet and fit it once: two seconds that the first forecast need not wait for."""
    hours = np.arange(48.0)
    flat(hours, np.sin(hours), np.cos(hours)[:, None])


def _silence() -> None:
    for name in CHATTY_LOGGERS:
        logging.getLogger(name).disabled = True  # their levels they set themselves, at import and later
    # Prophet 1.5 passes pandas arguments that pandas 4 will refuse: not ours to mend, nor a user's to read.
    warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"prophet\.")


def _as_it_is(begin: Any, data: Any) -> tuple[Any, Any]:
    """Stan's interface takes arrays too; the lists that Prophet makes of them cost a quarter of a fit."""
    return begin, data


def _all_added(features: pd.DataFrame, modes: dict[str, list[str]]) -> tuple[pd.DataFrame, dict[str, list[str]]]:
    """Which of Prophet's terms are added and which multiplied, where no setting multiplies any.

    Prophet finds that out with a pivot table and ten frames, for a quarter of a fit.
    """
    modes["additive"].append("additive_terms")
    added = [int(name != "zeros") for name in features]  # the one that stands where there is none
    return pd.DataFrame({"additive_terms": added, "multiplicative_terms": 0}), modes
