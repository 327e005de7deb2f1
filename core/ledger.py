"""What was read from X-Ray: finished slices, pulls that are not finished, and the traces that AWS may bill for a day.

Kept in the store's file, so that nothing is read twice and a pull goes on after a restart.
"""

from collections.abc import Iterable
from datetime import date, datetime, timedelta
from typing import NamedTuple

from core.store import Store

__all__ = [
    "RETENTION",
    "SETTLING",
    "Slice",
    "Stretch",
    "Unfinished",
    "bill",
    "billed",
    "cost_usd",
    "cut",
    "finish",
    "finished",
    "forget_pull",
    "keep_pull",
    "lacking",
    "unfinished",
]

RETENTION = timedelta(days=30)  # of X-Ray: what is older can't be read any more
SETTLING = timedelta(minutes=10)  # a trace may change for so long after its start, so that it is read once more
# Traces retrieved or scanned beyond the first million of a month cost 0.50 USD a million, in most regions:
# https://aws.amazon.com/xray/pricing/
_TRACE_USD = 0.50 / 1_000_000
_WIDTHS = [timedelta(minutes=minutes) for minutes in (360, 180, 120, 60, 30, 15)]
_ENOUGH = 16  # slices, so that up to eight are in flight for most of the time
_EPOCH = datetime(1970, 1, 1)

Stretch = tuple[datetime, datetime]
"""`[start, end)`, naive UTC."""


class Slice(NamedTuple):
    """A stretch of time of a source that was read to its end, and settled by then."""

    source: str
    filter: str  # the filter expression that it was read with; empty for none
    start: datetime  # naive UTC
    end: datetime  # exclusive
    traces: int  # found
    scanned: int  # looked at: those that the filter left out too
    read: int  # in full


class Unfinished(NamedTuple):
    """A pull that was asked for and has not come to its end."""

    id: str
    source: str
    start: datetime  # naive UTC
    end: datetime


def lacking(finished: Iterable[Stretch], start: datetime, end: datetime) -> list[Stretch]:
    """The parts of `[start, end)` that no finished stretch covers, in order."""
    gaps = []
    for done, until in sorted(finished):
        if start < done and start < end:
            gaps.append((start, min(done, end)))
        start = max(start, until)
    return [*gaps, (start, end)] if start < end else gaps


def cut(stretches: Iterable[Stretch]) -> list[Stretch]:
    """`stretches` in slices that begin and end on a common grid where they can: 6 h wide, less where these are few.

    X-Ray refuses more than 6 h in places.
    """
    whole = list(stretches)
    total = sum((end - start for start, end in whole), timedelta())
    width = next((width for width in _WIDTHS if total >= _ENOUGH * width), _WIDTHS[-1])
    slices = []
    for start, end in whole:
        while start < end:
            next_line = start + width - (start - _EPOCH) % width
            slices.append((start, min(next_line, end)))
            start = next_line
    return slices


def cost_usd(traces: float) -> float:
    """What AWS asks for scanning or retrieving so many traces, beyond what is free."""
    return traces * _TRACE_USD


def finish(store: Store, done: Slice) -> None:
    """Remember a slice as read."""
    store.write("INSERT INTO slices VALUES (?, ?, ?, ?, ?, ?, ?)", done)


def finished(store: Store, source: str, expression: str) -> list[Slice]:
    """The slices of `source` that were read with that filter expression, in order."""
    found = store.query(
        "SELECT * FROM slices WHERE source = ? AND filter = ? ORDER BY start_at, end_at", [source, expression]
    )
    return [
        Slice(source, expression, start.to_pydatetime(), end.to_pydatetime(), *map(int, counts))
        for _, _, start, end, *counts in found.itertuples(index=False)
    ]


def bill(store: Store, source: str, day: date, traces: int) -> None:
    """Add traces that were scanned or retrieved on that day, UTC."""
    store.write(
        "INSERT INTO billed VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET traces = traces + excluded.traces",
        [day, source, traces],
    )


def billed(store: Store, day: date) -> dict[str, int]:
    """The traces that were scanned or retrieved on that day, UTC, by source."""
    found = store.query("SELECT source, traces FROM billed WHERE day = ?", [day])
    return {source: int(traces) for source, traces in found.itertuples(index=False)}


def keep_pull(store: Store, pull: Unfinished) -> None:
    """Remember a pull until `forget_pull`."""
    store.write("INSERT OR REPLACE INTO pulls VALUES (?, ?, ?, ?)", pull)


def forget_pull(store: Store, pull_id: str) -> None:
    """The pull came to its end, or was stopped."""
    store.write("DELETE FROM pulls WHERE id = ?", [pull_id])


def unfinished(store: Store) -> list[Unfinished]:
    """The pulls that have not come to their end."""
    found = store.query("SELECT * FROM pulls ORDER BY start_at")
    return [
        Unfinished(id_, source, start.to_pydatetime(), end.to_pydatetime())
        for id_, source, start, end in found.itertuples(index=False)
    ]
