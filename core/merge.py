"""How spans become rows of the table `spans`: each once, in its latest version, with its service."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain, groupby, islice
from typing import Any, NamedTuple, TypeAlias

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from core.errors import StoreError
from core.schema import BATCH, rows, transaction
from core.seen import Hashes, Seen
from core.spans import Span

__all__ = ["Appended", "Changes", "Extent", "Merger", "Spans"]

Spans: TypeAlias = Sequence[Span] | pa.Table
"""Spans as such, or as the rows of a table of the schema `BATCH`."""

_HOUR = timedelta(hours=1)

Key = tuple[str, str, str]
_KEY = ("source", "trace_id", "span_id")
_KEY_HASH = f"hash({', '.join(_KEY)})"
_CONTENT_HASH = f"hash({', '.join(column for column in Span._fields if column not in (*_KEY, 'service'))})"
_PREFIX = "CAST('0x' || left(trace_id, 16) AS UBIGINT)"
# DuckDB reads `batch` from the local variable of that name; to register a table under a name costs a call of one span
# 1 ms more, of about 6.
_INSERT = f"""
INSERT INTO spans SELECT {", ".join(Span._fields)},
    cardinality(numbers) + cardinality(texts) + cardinality(booleans) > 0, $now, {_PREFIX}, {_CONTENT_HASH}
FROM batch"""  # noqa: S608 (names of our own columns, as in all SQL here)
# Of a trace of X-Ray, pulled or exported, the span `summary` stands for all of its spans until one of them is stored.
_SUMMARY = "summary"
_SUMMARISED = """
SELECT DISTINCT source FROM spans
WHERE span_id = 'summary' AND (starts_with(source, 'aws:') OR starts_with(source, 'file:'))"""
_OVERTAKEN = """
DELETE FROM spans WHERE rowid IN (
    SELECT summary.rowid FROM spans AS summary JOIN spans AS other
        ON other.trace_prefix = summary.trace_prefix AND other.trace_id = summary.trace_id
        AND other.source = summary.source AND other.span_id <> 'summary'
    WHERE summary.span_id = 'summary' AND summary.source IN (SELECT unnest($sources::VARCHAR[]))
        AND summary.trace_prefix IN (SELECT unnest($prefixes::UBIGINT[]))
        AND other.trace_prefix IN (SELECT unnest($prefixes::UBIGINT[]))
) RETURNING source"""
_FILL = """
UPDATE spans SET service = filled.service
FROM (SELECT unnest(?::BIGINT[]) AS id, unnest(?::VARCHAR[]) AS service) AS filled WHERE spans.rowid = filled.id"""


class Appended(NamedTuple):
    """What became of the spans of one call: new rows, spans that changed nothing, rows that were replaced."""

    stored: int
    duplicates: int
    replaced: int


class Extent(NamedTuple):
    """How many spans, and the start of the first and of the last (naive UTC)."""

    rows: int
    oldest: datetime
    newest: datetime


Changes = dict[str, Extent | None]
"""Each source that changed, with what was added to it; None where its extent must be counted anew."""


class _Version(NamedTuple):
    """What decides whether a span takes the place of another with its key."""

    in_progress: bool
    parent_id: str | None
    service: str | None
    started_at: datetime
    content: int
    rowid: int  # of a stored version; of a new one the number of its row in the batch


class Merger:
    """Writes the table `spans`. One per file, used by one thread: what it remembers in memory depends on that."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self._summarised: set[str] | None = None  # sources with a span `summary` that may be overtaken
        self._seen: Seen | None = None  # both are read from the file when they are first needed
        self._waiting: set[str] = set()  # traces with a subsegment whose service is not known yet
        self._last_hours: dict[str, datetime] | None = None  # of each source in the table `hours`; perhaps gone since

    def append(self, calls: Sequence[Spans]) -> tuple[list[Appended], Changes]:
        """Store the spans of several calls, in this order, in one transaction.

        A span is unique by source, trace and span id, over the whole table. A later version replaces a stored one,
        but for one that is in progress when the stored one is complete. One that says nothing new writes nothing.
        A subsegment without a service gets that of its nearest ancestor that has one, whichever comes first.
        """
        batch = _table(calls)
        seen = self._remembered()
        keys = self._hashes(_KEY_HASH, batch)
        suspects = seen.may_hold(keys)
        counts, changed = [Appended(len(call), 0, 0) for call in calls], dict[Key, _Version]()
        moved = set[str]()  # sources of which a stored span got another start, or was deleted
        stored = self._stored(batch.filter(pa.array(suspects))) if suspects.any() else {}
        if stored or len(np.unique(keys)) < len(keys):
            versions = _versions(batch, self._hashes(_CONTENT_HASH, batch))
            counts, kept = _settled([len(call) for call in calls], versions, stored)
            batch = _chosen(batch, kept)
            changed = {key: stored[key] for key in kept if key in stored}
            moved = {key[0] for key, old in changed.items() if old.started_at != kept[key].started_at}
            keys = self._hashes(_KEY_HASH, batch)
        if not batch.num_rows:
            return counts, {}
        with transaction(self._connection):
            self._delete([old.rowid for old in changed.values()])
            self._insert(batch)
            looked, waiting = self._fill_services(batch)
            moved |= self._drop_overtaken(batch)
            extents = _extents(batch)
            oldest = {source: extent.oldest for source, extent in extents.items()}
            self._forget_hours(oldest | dict.fromkeys(moved, datetime.min))
        seen.add(keys)
        self._waiting -= looked
        self._waiting |= waiting
        gone = Counter(source for source, _, _ in changed)
        return counts, {
            source: None if source in moved else extent._replace(rows=extent.rows - gone[source])
            for source, extent in extents.items()
        }

    def replace(self, source: str, spans: Spans) -> Changes:
        """Put `spans` in the place of all that is stored of `source`, in one transaction.

        `spans` may be an Arrow table with the columns of `Span`, in any order.
        """
        batch = spans.select(BATCH.names).cast(BATCH) if isinstance(spans, pa.Table) else rows(spans)
        keys = self._hashes(_KEY_HASH, batch)
        if len(np.unique(keys)) < len(keys):
            _, kept = _settled([len(batch)], _versions(batch, self._hashes(_CONTENT_HASH, batch)), {})
            batch = _chosen(batch, kept)
            keys = self._hashes(_KEY_HASH, batch)
        if batch.num_rows and pc.unique(batch["source"]).to_pylist() != [source]:
            raise StoreError(f"Only spans of the source {source} can take its place.")
        with transaction(self._connection):
            self._connection.execute("DELETE FROM spans WHERE source = ?", [source])
            self._insert(batch)
            _, waiting = self._fill_services(batch)
            self._forget_hours({source: datetime.min})
        if self._seen:
            self._seen.add(keys)
            self._waiting |= waiting
        return {source: None}

    def remove(self, source: str) -> tuple[int, Changes]:
        """Delete all spans of `source`, and forget what was read and counted of it; how many spans there were."""
        with transaction(self._connection):
            [(count,)] = self._connection.execute("DELETE FROM spans WHERE source = ?", [source]).fetchall()
            self._forget_hours({source: datetime.min})
            for table in ("slices", "tallies"):
                self._connection.execute(f"DELETE FROM {table} WHERE source = ?", [source])  # noqa: S608
        return count, {source: None} if count else {}

    def retain(self, since: datetime) -> tuple[int, Changes]:
        """Delete all spans, and counts of hours, that were stored before `since` (naive UTC); how many spans.

        Those of the sample stay: nobody sent them, and its 60 days, stored at one moment, would go at one moment.
        """
        with transaction(self._connection):
            counted = self._connection.execute(
                "SELECT source, count(*) FROM spans WHERE stored_at < ? AND source <> 'sample' GROUP BY source", [since]
            ).fetchall()
            if counted:
                self._connection.execute("DELETE FROM spans WHERE stored_at < ? AND source <> 'sample'", [since])
                self._forget_hours({source: datetime.min for source, _ in counted})
            self._connection.execute("DELETE FROM tallies WHERE hour < ?", [since])
        return sum(number for _, number in counted), {source: None for source, _ in counted}

    def keep_hours(self, sql: str, params: Mapping[str, Any]) -> None:
        """Run a statement that adds rows to the table `hours`."""
        self._connection.execute(sql, params)
        self._last_hours = None

    def _forget_hours(self, changed: Mapping[str, datetime]) -> None:
        """Delete of each source what is kept of the hour in which it changed, and of all later ones."""
        if self._last_hours is None:
            self._last_hours = dict(
                self._connection.execute("SELECT source, max(hour) FROM hours GROUP BY source").fetchall()
            )
        for source, at in changed.items():
            if source in self._last_hours and at < self._last_hours[source] + _HOUR:
                self._connection.execute(
                    "DELETE FROM hours WHERE source = ? AND hour >= date_trunc('hour', ?::TIMESTAMP)", [source, at]
                )

    def _remembered(self) -> Seen:
        """The filter of what is stored; made from the file at first, and again when it is full (5 M spans: 1 s)."""
        if self._seen is None or self._seen.full:
            [(count,)] = self._connection.execute("SELECT count(*) FROM spans").fetchall()
            seen = Seen(count)
            result = self._connection.execute(f"SELECT hash({', '.join(_KEY)}) AS key FROM spans")  # noqa: S608
            while len(chunk := result.fetch_df_chunk(500)):
                seen.add(chunk["key"].to_numpy())
            waiting = self._connection.execute("SELECT DISTINCT trace_id FROM spans WHERE service IS NULL").fetchall()
            self._waiting = {trace_id for (trace_id,) in waiting}
            self._seen = seen
        return self._seen

    def _hashes(self, expression: str, batch: pa.Table) -> Hashes:
        hashes: Hashes = self._connection.execute(f"SELECT {expression} AS hash FROM batch").fetchnumpy()["hash"]  # noqa: S608
        return hashes

    def _stored(self, suspected: pa.Table) -> dict[Key, _Version]:
        """The stored versions of those spans that are really there."""
        keys = set(zip(*suspected.select(_KEY).to_pydict().values(), strict=True))
        columns = (*_KEY, "in_progress", "parent_id", "service", "started_at", "content_hash", "rowid")
        found = self._rows_of({trace_id for _, trace_id, _ in keys}, columns)
        return {row[:3]: _Version(*row[3:]) for row in found if row[:3] in keys}

    def _rows_of(self, trace_ids: set[str], columns: Sequence[str]) -> list[tuple[Any, ...]]:
        """`columns` of the rows of these traces (and perhaps of a few more)."""
        # In two steps: DuckDB would read all columns of all rows before it looks for the ids.
        rowids = self._connection.execute(
            "SELECT rowid FROM spans WHERE trace_prefix IN (SELECT unnest(?::UBIGINT[]))",
            [[int(trace_id[:16], 16) for trace_id in trace_ids]],
        ).fetchnumpy()["rowid"]
        if not len(rowids):
            return []
        return self._connection.execute(
            f"SELECT {', '.join(columns)} FROM spans WHERE rowid IN (SELECT unnest(?::BIGINT[]))",  # noqa: S608
            [rowids.tolist()],
        ).fetchall()

    def _delete(self, rowids: Sequence[int]) -> None:
        if rowids:
            self._connection.execute("DELETE FROM spans WHERE rowid IN (SELECT unnest(?::BIGINT[]))", [rowids])

    def _insert(self, batch: pa.Table) -> None:
        self._connection.execute(_INSERT, {"now": datetime.now(UTC).replace(tzinfo=None)})

    def _drop_overtaken(self, batch: pa.Table) -> set[str]:
        """Delete the span `summary` of the batch's traces of which more is stored; the sources that had such."""
        if self._summarised is None:
            self._summarised = {source for (source,) in self._connection.execute(_SUMMARISED).fetchall()}
        told = pc.unique(batch.filter(pc.equal(batch["span_id"], _SUMMARY))["source"]).to_pylist()
        self._summarised.update(source for source in told if source.startswith(("aws:", "file:")))
        sources = pa.array(self._summarised, pa.string())
        traces = pc.unique(batch.filter(pc.is_in(batch["source"], sources))["trace_id"]).to_pylist()
        if not traces:
            return set()
        params = {"prefixes": [int(trace_id[:16], 16) for trace_id in traces], "sources": sources.to_pylist()}
        return {source for (source,) in self._connection.execute(_OVERTAKEN, params).fetchall()}

    def _fill_services(self, batch: pa.Table) -> tuple[set[str], set[str]]:
        """Hand services down to the subsegments without one, in the traces of `batch` where there may be such.

        Returns the traces that were looked at, and those of them that still have such a subsegment.
        """
        looked = self._waiting.intersection(batch["trace_id"].to_pylist()) if self._waiting else set[str]()
        looked.update(batch.filter(pc.is_null(batch["service"]))["trace_id"].to_pylist())
        if not looked:
            return looked, looked
        known: list[tuple[Key, str]] = []
        below: defaultdict[Key, list[tuple[Key, int]]] = defaultdict(list)
        columns = (*_KEY, "parent_id", "service", "rowid")
        for source, trace_id, span_id, parent_id, service, rowid in self._rows_of(looked, columns):
            if service is None:
                below[source, trace_id, parent_id].append(((source, trace_id, span_id), rowid))
            else:
                known.append(((source, trace_id, span_id), service))
        filled: list[tuple[int, str]] = []
        while known:
            key, service = known.pop()
            for child, rowid in below.pop(key, ()):
                filled.append((rowid, service))
                known.append((child, service))
        if filled:
            self._connection.execute(_FILL, list(map(list, zip(*filled, strict=True))))
        return looked, {trace_id for _, trace_id, _ in below}


def _table(calls: Sequence[Spans]) -> pa.Table:
    """The spans of all calls as one table; to make one for each call costs 0.5 ms a call."""
    tables: list[pa.Table] = []
    for is_table, group in groupby(calls, lambda call: isinstance(call, pa.Table)):
        alike = list(group)
        tables += alike if is_table else [rows(chain.from_iterable(alike))]
    return pa.concat_tables(tables) if tables else BATCH.empty_table()


def _versions(batch: pa.Table, contents: Hashes) -> Iterator[tuple[Key, _Version]]:
    """Each row's key, and its version, with the number of the row in the place of `rowid`."""
    keys = zip(*(batch[name].to_pylist() for name in _KEY), strict=True)
    told = (batch[name].to_pylist() for name in ("in_progress", "parent_id", "service", "started_at"))
    yield from zip(keys, map(_Version, *told, contents.tolist(), range(len(batch))), strict=True)


def _settled(
    calls: Sequence[int], versions: Iterator[tuple[Key, _Version]], stored: dict[Key, _Version]
) -> tuple[list[Appended], dict[Key, _Version]]:
    """What became of each call's spans, and the versions that are to be written; `calls`: how many spans each has."""
    latest, kept, counts = dict(stored), dict[Key, _Version](), list[Appended]()
    for call in calls:
        outcomes: Counter[str] = Counter()
        for key, new in islice(versions, call):
            outcome = _outcome(latest.get(key), new)
            outcomes[outcome] += 1
            if outcome == "duplicates":
                continue
            if outcome == "replaced" and new.service is None and new.parent_id == latest[key].parent_id:
                new = new._replace(service=latest[key].service)  # else it would have to be found once more
            latest[key] = kept[key] = new
        counts.append(Appended(outcomes["stored"], outcomes["duplicates"], outcomes["replaced"]))
    return counts, kept


def _chosen(batch: pa.Table, kept: dict[Key, _Version]) -> pa.Table:
    """The rows of `batch` that are to be written, with the services that were found."""
    chosen = batch.take(pa.array([version.rowid for version in kept.values()], pa.int64()))
    services = pa.array([version.service for version in kept.values()], pa.string())
    return chosen.set_column(BATCH.get_field_index("service"), BATCH.field("service"), services)


def _outcome(old: _Version | None, new: _Version) -> str:
    if old is None:
        return "stored"
    late = new.in_progress and not old.in_progress
    same = new.content == old.content and new.service in (None, old.service)
    return "duplicates" if late or same else "replaced"


def _extents(batch: pa.Table) -> dict[str, Extent]:
    columns = batch.group_by("source").aggregate([("started_at", how) for how in ("count", "min", "max")]).to_pydict()
    return {source: Extent(*extent) for source, *extent in zip(*columns.values(), strict=True)}
