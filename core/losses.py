"""What arrived hour by hour and what became of it: from the store, and from memory what was counted since."""

from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple

import pandas as pd

from core import activity, store, tallies
from core import question as asking
from core.question import Question

__all__ = ["Total", "hours", "total"]

_LONG_AGO, _AHEAD = datetime(1970, 1, 1), datetime(9999, 1, 1)


class Total(NamedTuple):
    """Counts of one source, as `tallies.COUNTS`; the sampling rule that was last handed out, and its rates."""

    received: int
    stored: int
    duplicate: int
    refused: int
    dropped: int
    cut_short: int
    requests: int  # of which senders told us; 0 where none did
    traced: int
    rule: str | None
    lowest_rate: float | None  # 0 to 1
    highest_rate: float | None


def hours(question: Question, now: datetime) -> pd.DataFrame:
    """`source, hour`, the counts of `tallies.COUNTS`, `rule, rate`: of every source what arrived in the range."""
    start, end = asking.window(replace(question, source="live"), now, _LONG_AGO, now)
    return _hours(start, end)


def total(question: Question, now: datetime) -> Total:
    """What was counted of the question's source in its range; of files and of AWS whenever it was read."""
    start, end = asking.window(question, now, _LONG_AGO, now)
    if question.source.startswith(("aws:", "file:")):
        start, end = _LONG_AGO, _AHEAD
    return _total(_hours(start, end, question.source))


def _total(found: pd.DataFrame) -> Total:
    counts: dict[str, Any] = found[list(tallies.COUNTS)].sum().to_dict()
    told = found.dropna(subset="rate")
    rule, lowest, highest = (
        (told["rule"].iloc[-1], told["rate"].min(), told["rate"].max()) if len(told) else (None, None, None)
    )
    return Total(**{name: int(n) for name, n in counts.items()}, rule=rule, lowest_rate=lowest, highest_rate=highest)


def _hours(start: datetime, end: datetime, source: str | None = None) -> pd.DataFrame:
    kept = tallies.kept(store.current(), start, end, source)
    new = [
        {"source": name, "hour": hour, **dict.fromkeys(tallies.COUNTS, 0), "rule": None, "rate": None} | counts
        for (name, hour), counts in activity.hours().items()
        if source in (None, name) and asking.bucket_start(start, "hourly") <= hour < end
    ]
    if not new:
        return kept
    added = pd.concat([kept, pd.DataFrame(new).astype(kept.dtypes)]) if len(kept) else pd.DataFrame(new)
    how: dict[str, Any] = {**dict.fromkeys(tallies.COUNTS, "sum"), "rule": "last", "rate": "last"}
    return added.astype({"rate": float}).groupby(["hour", "source"], as_index=False).agg(how)[list(kept.columns)]
