"""The store: spans and prices in one DuckDB file that one process holds; one thread writes, any thread reads."""

import re
import shutil
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import duckdb
import numpy as np
import pandas as pd

from core.errors import StoreError, StoreFull, StoreInUse
from core.merge import Appended, Changes, Extent, Merger, Spans
from core.schema import migrate
from core.spans import Span
from core.writer import Writer, first_line

__all__ = ["PRICES", "TALLIES", "Appended", "Price", "Store", "current", "is_open", "use"]

# Under these names the price history, and the counts of arrivals, have their versions beside those of the sources.
PRICES, TALLIES = "prices", "tallies"

_MIN_FREE_BYTES = 1 << 30
_DISK_CHECK_S = 1.0
_VECTOR = 2048  # rows: DuckDB hands out frames in multiples of it
_CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "memory_limit": "50%",  # the rest is for the forecasts and the pages
    # A checkpoint compresses the tail of the table once more: 4.7 µs a row at DuckDB's 16 MB, 1.5 µs at 64 MB.
    "wal_autocheckpoint": "64MB",
    "autoinstall_known_extensions": False,  # no query of ours needs one, and none is to be fetched from a network
    "autoload_known_extensions": False,
}
_COLUMNS = ", ".join(column for column in Span._fields if column != "in_progress")
_TRACE = f"""
SELECT {_COLUMNS} FROM spans
WHERE rowid IN (SELECT rowid FROM spans WHERE trace_prefix = TRY_CAST('0x' || left($trace_id, 16) AS UBIGINT))
    AND trace_id = $trace_id AND ($source::VARCHAR IS NULL OR source = $source)
ORDER BY source, started_at, span_id"""  # noqa: S608 (names of our own columns)
_INSERT_PRICES = """
INSERT INTO prices SELECT unnest($1::TIMESTAMP[]), unnest($2::DOUBLE[]), unnest($3::VARCHAR[]), unnest($4::VARCHAR[])
ON CONFLICT DO UPDATE SET price_usd = excluded.price_usd WHERE price_usd <> excluded.price_usd"""
_EXTENTS = "SELECT source, count(*), min(started_at), max(started_at) FROM spans"

Params = Sequence[Any] | Mapping[str, Any]


class Price(NamedTuple):
    """One row of the price history; unique by `(time, exchange, kind)`."""

    time: datetime  # naive UTC
    price_usd: float
    exchange: str
    kind: str  # "candle" or "live"


class Store:
    """The spans and prices in the file at `path`, from opening until `close`.

    | call | from | when it returns |
    |---|---|---|
    | `append`, `append_prices`, `keep_hours`, `replace`, `remove`, `retain`, `write` | any thread | it is durable |
    | `query`, `chunks`, `trace` | any thread | with what was committed when it began |

    Opening makes the folder, the file and its schema, and brings an older schema forward. It raises `StoreInUse` when
    the file is open elsewhere, else `StoreError`; so does every call after `close`.
    """

    def __init__(self, path: Path, *, min_free_bytes: int = _MIN_FREE_BYTES) -> None:
        self.path = path.resolve()
        self._min_free_bytes = min_free_bytes
        self._free_bytes, self._free_read_at = 0, float("-inf")
        with _opening:
            if self.path in _opened:
                raise StoreInUse(f"This process has {self.path} open already.")
            self._connection = _connect(self.path)
            _opened.add(self.path)
        self._writing = self._connection.cursor()
        self._merger = Merger(self._writing)
        self._versions: dict[str, int] = {}
        self._extents: dict[str, Extent] = {}
        self._uncounted: set[str] | None = None  # sources whose extent is not known; None: all
        self._lock = threading.Lock()  # of the two below
        self._readers: set[duckdb.DuckDBPyConnection] = set()
        self._closed = False
        self._writer = Writer(self._append_all)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Write what was accepted, interrupt who still reads, write a checkpoint and let go of the file."""
        self._writer.stop()
        with self._lock:
            if self._closed:
                return
            self._closed = True
        try:
            self._writing.execute("CHECKPOINT")
        except duckdb.Error as error:  # nothing is lost: the next start reads the log instead
            raise StoreError(f"The store could not write a checkpoint as it closed: {first_line(error)}") from error
        finally:
            self._disconnect()

    def _disconnect(self) -> None:
        while True:
            with self._lock:
                for reader in self._readers:
                    reader.interrupt()
            with suppress(duckdb.ResourceInUseException):  # a reader has not noticed yet
                self._connection.close()
                break
            time.sleep(0.01)
        with _opening:
            _opened.discard(self.path)

    # Writing

    def append(self, spans: Spans) -> Appended:
        """Store spans of any sources, or a table of them; calls that come at the same time share a commit.

        A span is unique by `(source, trace_id, span_id)`. A later version replaces the stored one, but never one in
        progress a complete one; a span that is sent again as it was counts as a duplicate and writes nothing.
        Raises `StoreFull` when the disk is nearly full, and `StoreError` when a span can't be stored: then none
        of this call is.
        """
        if not len(spans):
            return Appended(0, 0, 0)
        self._check_disk()
        return self._writer.append(spans)

    def replace(self, source: str, spans: Spans) -> None:
        """Put `spans`, all of `source`, in the place of all that is stored of it; readers see the old or the new.

        Also takes an Arrow table with the columns of `Span`. Raises as `append` does.
        """
        self._check_disk()
        self._writer.do(lambda: self._note(self._merger.replace(source, spans)))

    def remove(self, source: str) -> int:
        """Delete all spans of `source`, and forget which slices of it were read; how many spans there were."""
        return self._writer.do(lambda: self._noted(*self._merger.remove(source)))

    def retain(self, days: int, now: datetime) -> int:
        """Delete the spans that were stored more than `days` before `now` (naive UTC); how many there were."""
        return self._writer.do(lambda: self._noted(*self._merger.retain(now - timedelta(days=days))))

    def keep_hours(self, sql: str, params: Mapping[str, Any]) -> None:
        """Run a statement that adds what is asked most of finished hours to the table `hours`. Raises as `append` does.

        A row is there until a span of its hour, or of an earlier one, is stored, changed or removed.
        """
        self._check_disk()
        self._writer.do(lambda: self._merger.keep_hours(sql, params))

    def append_prices(self, rows: Sequence[Price]) -> None:
        """Store prices; one for the same time, exchange and kind replaces the earlier. Raises as `append` does."""
        if not rows:
            return
        self._check_disk()
        latest = {(row.time, row.exchange, row.kind): row for row in rows}
        columns = [list(column) for column in zip(*latest.values(), strict=True)]
        self._writer.do(lambda: self._write_prices(columns))

    def write(self, sql: str, params: Params = (), *, changes: str | None = None) -> None:
        """Run one statement on another table than spans and prices; the version of what it `changes` grows.

        Raises as `append` does.
        """
        self._check_disk()
        self._writer.do(lambda: self._write(sql, params, changes))

    # Reading

    def query(self, sql: str, params: Params = ()) -> pd.DataFrame:
        """The answer as a frame; `params` for `?`, or by name for `$name`. Timestamps are naive UTC (M8[us])."""
        with self._reading() as cursor:
            return cursor.execute(sql, params).df()

    def chunks(self, sql: str, params: Params = (), rows: int = 50_000) -> Iterator[pd.DataFrame]:
        """The answer in frames of about `rows`, all from one moment; with no rows, one empty frame."""
        with self._reading() as cursor:
            cursor.execute(sql, params)
            frame = cursor.fetch_df_chunk(max(1, rows // _VECTOR))
            yield frame
            while len(frame := cursor.fetch_df_chunk(max(1, rows // _VECTOR))):
                yield frame

    def trace(self, trace_id: str, source: str | None = None) -> pd.DataFrame:
        """The spans of a trace (canonical id), of every source unless one is named: the columns that are a span's own.

        Ordered by source, then start.
        """
        return self.query(_TRACE, {"trace_id": trace_id, "source": source})

    def version(self, source: str) -> int:
        """A number that grows with each change of `source` (or of `PRICES`, `TALLIES`) while this store is open."""
        return self._versions.get(source, 0)

    def sources(self) -> pd.DataFrame:
        """One row per source, by name: `source`, `rows` (spans), `oldest`, `newest` (start of first and last span)."""
        if self._uncounted is None or self._uncounted:
            self._writer.do(self._count)
        known = sorted(self._extents.copy().items())
        return pd.DataFrame(
            {
                "source": pd.array([source for source, _ in known], "str"),
                "rows": np.array([extent.rows for _, extent in known], "int64"),
                "oldest": np.array([extent.oldest for _, extent in known], "M8[us]"),
                "newest": np.array([extent.newest for _, extent in known], "M8[us]"),
            }
        )

    @contextmanager
    def _reading(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor of one's own: a shared one refuses a second caller."""
        with self._lock:
            if self._closed:
                raise StoreError("The store is closed.")
            cursor = self._connection.cursor()  # 20 µs
            self._readers.add(cursor)
        try:
            yield cursor
        except duckdb.Error as error:
            if self._closed:
                raise StoreError("The store is closed.") from error
            raise StoreError(f"The store can't answer: {first_line(error)}") from error
        finally:
            with self._lock:
                self._readers.discard(cursor)
            cursor.close()

    def _check_disk(self) -> None:
        if time.monotonic() - self._free_read_at > _DISK_CHECK_S:
            self._free_bytes, self._free_read_at = shutil.disk_usage(self.path.parent).free, time.monotonic()
        if self._free_bytes < self._min_free_bytes:
            raise StoreFull(
                f"Only {self._free_bytes >> 20} MiB of disk are free at {self.path.parent} and "
                f"{self._min_free_bytes >> 20} are kept free: free some, or set TRACECAST_HOME to another disk."
            )

    # On the writing thread

    def _append_all(self, calls: Sequence[Spans]) -> list[Appended]:
        counts, changes = self._merger.append(calls)
        self._note(changes)
        return counts

    def _write(self, sql: str, params: Params, changes: str | None) -> None:
        self._writing.execute(sql, params)
        if changes is not None:
            self._versions[changes] = self.version(changes) + 1

    def _write_prices(self, columns: list[list[Any]]) -> None:
        [(written,)] = self._writing.execute(_INSERT_PRICES, columns).fetchall()
        if written:
            self._versions[PRICES] = self.version(PRICES) + 1

    def _noted(self, count: int, changes: Changes) -> int:
        self._note(changes)
        return count

    def _note(self, changes: Changes) -> None:
        for source, added in changes.items():
            self._versions[source] = self.version(source) + 1
            if self._uncounted is None or source in self._uncounted:
                continue
            if added is None:
                self._uncounted.add(source)
                continue
            known = self._extents.get(source, added._replace(rows=0))
            self._extents[source] = Extent(
                known.rows + added.rows, min(known.oldest, added.oldest), max(known.newest, added.newest)
            )

    def _count(self) -> None:
        """Count the sources whose extent is not known; on the writing thread, so that nothing changes meanwhile."""
        if self._uncounted is None:
            found = self._writing.execute(f"{_EXTENTS} GROUP BY source").fetchall()
        else:
            only = f"{_EXTENTS} WHERE source IN (SELECT unnest(?)) GROUP BY source"
            found = self._writing.execute(only, [list(self._uncounted)]).fetchall()
            for source in self._uncounted:
                self._extents.pop(source, None)
        self._extents.update((source, Extent(*extent)) for source, *extent in found)
        self._uncounted = set()


def _connect(path: Path) -> duckdb.DuckDBPyConnection:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = duckdb.connect(str(path), config=_CONFIG)
    except OSError as error:
        raise StoreError(
            f"{path.parent} can't be made ({error.strerror}): set TRACECAST_HOME to another folder."
        ) from error
    except duckdb.Error as error:
        if "Could not set lock" in str(error):
            pid = re.search(r"\(PID (\d+)\)", str(error))
            holder = f"Process {pid[1]}" if pid else "Another process"
            raise StoreInUse(f"{holder} has {path} open: stop it, or set TRACECAST_HOME to another folder.") from error
        raise StoreError(f"{path} can't be opened as a store: {first_line(error)}") from error
    try:
        migrate(connection)
    except (StoreError, duckdb.Error) as error:
        connection.close()
        raise StoreError(f"{path} can't be used: {first_line(error)}") from error
    return connection


_opening = threading.Lock()
_opened: set[Path] = set()  # DuckDB would let one process open a file twice, and a span could then come twice

_current: Store | None = None


def use(store: Store) -> None:
    """Make `store` the process's own."""
    global _current
    _current = store


def is_open() -> bool:
    """Whether the process has a store."""
    return _current is not None


def current() -> Store:
    """The process's store."""
    if _current is None:
        raise StoreError("No store is open.")
    return _current
