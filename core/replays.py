"""Past forecasts, each asked of the workers once and then kept by what it depends on: a history's content, an origin.

The anomalies, the line on what an interval held and the Accuracy page look at the same midnights, so they share them.
What somebody waits for comes first; of backtests, the one that was asked for last, since it is being looked at.
"""

import hashlib
import itertools
import sys
import threading
from collections import OrderedDict
from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime

import pandas as pd

from core import workers
from core.analysis.backtest import COLUMNS, MODELS, Said, known_at, outcomes, reach, said
from core.analysis.hours import Floats
from core.analysis.model import Model

__all__ = ["Origin", "Plan", "Replays", "digest", "fits", "plan", "replays"]

MOST_KEPT = 1_500  # of Tracecast's own some 60 kB each, of a peer's 12
ORDER = ("seasonal_naive", "last_value", "tracecast", "original")  # the quick ones first

_patience = itertools.count(sys.maxsize, -1)
_lock = threading.Lock()
_kept: OrderedDict[tuple[str, str, str, str, datetime, int], Future[Said]] = OrderedDict()


@dataclass(frozen=True, eq=False)
class Origin:
    """A moment at which forecasts were made, what was known then, and what came in the buckets after it."""

    cutoff: datetime
    known: pd.DataFrame
    came: Floats  # NaN is not known
    content: str  # digest of `known`


@dataclass(frozen=True, eq=False)
class Plan:
    """Which forecasts of one series are to be looked at: its origins, oldest first, each so many buckets ahead."""

    granularity: str
    stat: str
    horizon: int
    origins: list[Origin]


@dataclass(frozen=True, eq=False)
class Replays:
    """A backtest as far as it has come."""

    plan: Plan
    said: dict[str, list[Future[Said]]]  # by model, one for each origin

    @property
    def total(self) -> int:
        """How many forecasts it takes."""
        return len(MODELS) * len(self.plan.origins)

    @property
    def done(self) -> int:
        """How many of them are there, failed ones too."""
        return sum(future.done() for futures in self.said.values() for future in futures)

    @property
    def complete(self) -> list[str]:
        """The models all of whose forecasts are there."""
        return [model for model in MODELS if all(future.done() for future in self.said[model])]

    @property
    def failed(self) -> list[str]:
        """What went wrong, a text for each forecast that could not be made."""
        errors = [future.exception() for model in self.complete for future in self.said[model]]
        return [str(error) for error in errors if error is not None]

    def rows(self) -> pd.DataFrame:
        """What the complete models said, `horizon` buckets ahead: as of `Said.frame`, and `y`, what came."""
        frames = [
            answer.frame.head(self.plan.horizon).assign(y=origin.came)
            for model in self.complete
            for origin, answer in self._answers(model)
        ]
        return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=[*COLUMNS, "y"])

    def fitted(self) -> list[tuple[Origin, Model]]:
        """Tracecast's own fits, once all are there."""
        if "tracecast" not in self.complete:
            return []
        return [(origin, answer.fitted) for origin, answer in self._answers("tracecast") if answer.fitted]

    def wait(self) -> None:
        """Until all are there; raises what went wrong."""
        for futures in self.said.values():
            for future in futures:
                future.result()

    def _answers(self, model: str) -> list[tuple[Origin, Said]]:
        pairs = zip(self.plan.origins, self.said[model], strict=True)
        return [(origin, future.result()) for origin, future in pairs if not future.exception()]


def plan(history: pd.DataFrame, granularity: str, stat: str, cutoffs: Iterable[datetime], horizon: int) -> Plan:
    """Forecasts at `cutoffs`, midnights of the hourly `history` (`ds`, `y`)."""
    origins = []
    for cutoff in cutoffs:
        known, came = known_at(history, cutoff), outcomes(history, granularity, cutoff, horizon, stat)
        origins.append(Origin(cutoff, known, came, digest(known)))
    return Plan(granularity, stat, horizon, origins)


def fits(plan: Plan) -> list[Future[Said]]:
    """Tracecast's forecasts at the origins of `plan`, for who waits for them."""
    return [_asked("tracecast", plan, origin, 0, again=True) for origin in plan.origins]


def replays(plan: Plan, *, again: bool = False) -> Replays:
    """The backtest of `plan`, which begins with this if it has not. With `again` what failed is tried once more."""
    patience = next(_patience)
    asked = {model: [_asked(model, plan, origin, patience, again=again) for origin in plan.origins] for model in ORDER}
    return Replays(plan, asked)


def digest(history: pd.DataFrame) -> str:
    """The content of `ds` and `y` in 32 digits."""
    content = hashlib.blake2b(history["ds"].to_numpy("M8[us]").tobytes(), digest_size=16)
    content.update(history["y"].to_numpy(float).tobytes())
    return content.hexdigest()


def _asked(model: str, plan: Plan, origin: Origin, patience: int, *, again: bool) -> Future[Said]:
    ahead = reach(plan.granularity, plan.horizon)
    key = model, origin.content, plan.granularity, plan.stat, origin.cutoff, ahead
    with _lock:
        future = _kept.get(key)
        if future is None or future.cancelled() or (again and future.done() and future.exception()):
            arguments = model, origin.known, plan.granularity, origin.cutoff, ahead, plan.stat
            future = _kept[key] = workers.submit(said, *arguments, patience=patience)
        _kept.move_to_end(key)
        while len(_kept) > MOST_KEPT:
            _kept.popitem(last=False)[1].cancel()  # nobody looks at it any more
    return future
