"""What arrived hour by hour and what became of it: from the store, and from memory what was counted since."""

import functools
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import pandas as pd

from core import activity, store, tallies
from core import question as asking
from core.question import Question

__all__ = ["Total", "hours", "total"]

_LONG_AGO, _AHEAD = datetime(1970, 1, 1), datetime(9999, 1, 1)
_MOMENT = timedelta(microseconds=1)


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
    kept, new = tallies.kept(store.current(), start, end), _new(start, end)
    if not new:
        return kept
    added = pd.concat([kept, pd.DataFrame(new).astype(kept.dtypes)]) if len(kept) else pd.DataFrame(new)
    how: dict[str, Any] = {**dict.fromkeys(tallies.COUNTS, "sum"), "rule": "last", "rate": "last"}
    return added.astype({"rate": float}).groupby(["hour", "source"], as_index=False).agg(how)[list(kept.columns)]


def total(question: Question, now: datetime) -> Total:
    """What was counted of the question's source in its range; of files and of AWS whenever it was read."""
    source = question.source
    start, end = asking.window(question, now, _LONG_AGO, now)
    if source.startswith(("aws:", "file:")):
        start, end = _LONG_AGO, _AHEAD
    stored = store.current()
    until = asking.bucket_start(end - _MOMENT, "hourly") + timedelta(hours=1)
    versions = stored.version(source), stored.version(store.TALLIES)
    rows = [*_kept(stored, asking.bucket_start(start, "hourly"), until, source, versions), *_new(start, end, source)]
    told = [row for row in rows if row["rate"] is not None]
    rates = [row["rate"] for row in told]
    return Total(
        **{name: sum(row[name] for row in rows) for name in tallies.COUNTS},
        rule=told[-1]["rule"] if told else None,
        lowest_rate=min(rates, default=None),
        highest_rate=max(rates, default=None),
    )


@functools.lru_cache(maxsize=64)  # asked for by every run of a page
def _kept(
    stored: store.Store, start: datetime, end: datetime, source: str, versions: tuple[int, int]
) -> list[dict[str, Any]]:
    found = tallies.kept(stored, start, end, source)
    rows: list[dict[str, Any]] = found.astype(object).where(found.notna(), None).to_dict("records")
    return rows


def _new(start: datetime, end: datetime, source: str | None = None) -> list[dict[str, Any]]:
    """What was counted since the store was last told."""
    return [
        {"source": name, "hour": hour, **dict.fromkeys(tallies.COUNTS, 0), "rule": None, "rate": None} | counts
        for (name, hour), counts in activity.hours().items()
        if source in (None, name) and asking.bucket_start(start, "hourly") <= hour < end
    ]
