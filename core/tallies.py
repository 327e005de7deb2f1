"""What arrived in each hour and what became of it, source by source: kept in the store's file, and added to."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import pandas as pd

from core.store import TALLIES, Store

__all__ = ["COUNTS", "keep", "kept"]

COUNTS = ("received", "stored", "duplicate", "refused", "dropped", "cut_short", "requests", "traced")
"""Of documents (OpenTelemetry and files: spans), traces `cut_short`, `requests` and how many of them senders traced."""

_COLUMNS = ("source", "hour", *COUNTS, "rule", "rate")
_TYPES = ("VARCHAR", "TIMESTAMP", *("BIGINT" for _ in COUNTS), "VARCHAR", "DOUBLE")
_KEEP = f"""
INSERT INTO tallies SELECT {", ".join(f"unnest(?::{kind}[])" for kind in _TYPES)}
ON CONFLICT DO UPDATE SET {", ".join(f"{name} = {name} + excluded.{name}" for name in COUNTS)},
    rule = coalesce(excluded.rule, rule), rate = coalesce(excluded.rate, rate)"""

_KEPT = f"""
SELECT {", ".join(_COLUMNS)} FROM tallies
WHERE hour >= date_trunc('hour', $start::TIMESTAMP) AND hour < $end AND ($source::VARCHAR IS NULL OR source = $source)
ORDER BY hour, source"""  # noqa: S608 (names of our own columns)

Hours = Mapping[tuple[str, datetime], Mapping[str, Any]]
"""By source and hour (naive UTC) what was counted, as `activity.hours` has it."""


def keep(store: Store, hours: Hours) -> None:
    """Add to what is kept, all of it or nothing. Raises `StoreError`."""
    rows = [
        (source, hour, *(counts.get(name, 0) for name in COUNTS), counts.get("rule"), counts.get("rate"))
        for (source, hour), counts in hours.items()
    ]
    if rows:
        store.write(_KEEP, [list(column) for column in zip(*rows, strict=True)], changes=TALLIES)


def kept(store: Store, start: datetime, end: datetime, source: str | None = None) -> pd.DataFrame:
    """`source, hour`, the counts, `rule, rate`: one row a source and hour in `[start, end)`, in order of time."""
    return store.query(_KEPT, {"start": start, "end": end, "source": source})
