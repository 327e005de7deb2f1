"""What the store's file holds: its tables and views, version by version, and spans as the rows of a batch."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import accumulate, chain
from typing import Any

import duckdb
import pyarrow as pa

from core.errors import StoreError
from core.spans import Span

__all__ = ["BATCH", "MIGRATIONS", "migrate", "rows", "transaction"]

MIGRATIONS: Sequence[str] = (
    # Version 1. Internal columns of `spans`, after `detail`: `in_progress` (no end was sent), `annotated` (has an
    # annotation), `stored_at` (UTC; retention counts from it), `trace_prefix` (the trace id's first 64 bits: a scan
    # for one trace reads 5 M of them in 4 ms, of the texts in 35; an X-Ray id begins with its time, so that most row
    # groups are skipped) and `content_hash` (of all that was sent but the key and `service`: tells a span that is
    # sent again from a changed one without reading the row).
    """
    CREATE TABLE spans (
        source VARCHAR NOT NULL,
        trace_id VARCHAR NOT NULL,
        span_id VARCHAR NOT NULL,
        parent_id VARCHAR,
        kind VARCHAR NOT NULL,
        service VARCHAR,
        name VARCHAR NOT NULL,
        namespace VARCHAR,
        started_at TIMESTAMP NOT NULL,
        duration_ms DOUBLE,
        error BOOLEAN NOT NULL,
        fault BOOLEAN NOT NULL,
        throttle BOOLEAN NOT NULL,
        http_method VARCHAR,
        http_url VARCHAR,
        http_status INTEGER,
        numbers MAP(VARCHAR, DOUBLE) NOT NULL,
        texts MAP(VARCHAR, VARCHAR) NOT NULL,
        booleans MAP(VARCHAR, BOOLEAN) NOT NULL,
        failed BOOLEAN NOT NULL,
        latency_ms DOUBLE,
        data_volume_bytes DOUBLE,
        price_usd DOUBLE,
        detail VARCHAR,
        in_progress BOOLEAN NOT NULL,
        annotated BOOLEAN NOT NULL,
        stored_at TIMESTAMP NOT NULL,
        trace_prefix UBIGINT NOT NULL,
        content_hash UBIGINT NOT NULL
    );
    CREATE TABLE prices (
        time TIMESTAMP,
        price_usd DOUBLE NOT NULL,
        exchange VARCHAR,
        kind VARCHAR,
        PRIMARY KEY (time, exchange, kind)
    );
    CREATE VIEW records AS
        SELECT
            source, trace_id, span_id, kind, annotated, service, name, started_at AS timestamp,
            CASE WHEN latency_ms >= 0 THEN latency_ms END AS latency_ms,
            duration_ms, data_volume_bytes, price_usd, failed, numbers, texts, booleans
        FROM spans
        WHERE NOT in_progress;
    """,
    # Version 2: what was read from X-Ray, see `core/ledger.py`.
    """
    CREATE TABLE slices (
        source VARCHAR NOT NULL,
        filter VARCHAR NOT NULL,
        start_at TIMESTAMP NOT NULL,
        end_at TIMESTAMP NOT NULL,
        traces BIGINT NOT NULL,
        scanned BIGINT NOT NULL,
        read BIGINT NOT NULL
    );
    CREATE TABLE pulls (
        id VARCHAR PRIMARY KEY,
        source VARCHAR NOT NULL,
        start_at TIMESTAMP NOT NULL,
        end_at TIMESTAMP NOT NULL
    );
    CREATE TABLE billed (
        day DATE,
        source VARCHAR,
        traces BIGINT NOT NULL,
        PRIMARY KEY (day, source)
    );
    """,
    # Version 3: what arrived in each hour and what became of it, see `core/tallies.py`.
    """
    CREATE TABLE tallies (
        source VARCHAR,
        hour TIMESTAMP,
        received BIGINT NOT NULL,
        stored BIGINT NOT NULL,
        duplicate BIGINT NOT NULL,
        refused BIGINT NOT NULL,
        dropped BIGINT NOT NULL,
        cut_short BIGINT NOT NULL,
        requests BIGINT NOT NULL,
        traced BIGINT NOT NULL,
        rule VARCHAR,
        rate DOUBLE,
        PRIMARY KEY (source, hour)
    );
    """,
    # Version 4: see `core/markers.py`.
    """
    CREATE TABLE markers (
        id VARCHAR PRIMARY KEY,
        kind VARCHAR NOT NULL,
        start_at TIMESTAMP NOT NULL,
        end_at TIMESTAMP NOT NULL,
        text VARCHAR NOT NULL
    );
    """,
    # Version 5: what is asked most, of finished hours, so that no page reads all records for it; `analysis/metrics.py`
    # has what the columns mean. No hour of a source up to its last row is missing but those without records: when a
    # span of an earlier one changes, `core/merge.py` deletes that hour and all later ones.
    """
    CREATE TABLE hours (
        source VARCHAR NOT NULL,
        hour TIMESTAMP NOT NULL,
        request_count BIGINT NOT NULL,
        value_avg DOUBLE,
        value_min DOUBLE,
        value_max DOUBLE,
        value_std DOUBLE,
        percentiles DOUBLE[],
        error_rate DOUBLE NOT NULL,
        volume DOUBLE,
        price_usd_avg DOUBLE
    );
    """,
)


def migrate(connection: duckdb.DuckDBPyConnection) -> None:
    """Bring the file's schema up to the newest version; what a failed step did is rolled back.

    Raises `StoreError` when the file's schema is newer than this code.
    """
    connection.execute("CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL)")
    # `fetchall`, as everywhere: after `fetchone` the statement's transaction stays open, and no checkpoint is possible.
    [(version,)] = connection.execute("SELECT coalesce(max(version), 0) FROM schema_version").fetchall()
    if version > len(MIGRATIONS):
        raise StoreError(
            f"its schema is version {version} and this Tracecast knows up to {len(MIGRATIONS)}: "
            "upgrade Tracecast, or set TRACECAST_HOME to another folder"
        )
    for number, script in enumerate(MIGRATIONS[version:], start=version + 1):
        with transaction(connection):
            connection.execute(script)
            connection.execute("INSERT INTO schema_version VALUES (?)", [number])


@contextmanager
def transaction(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """All statements of the block, durable when it ends, or none when it raises."""
    connection.begin()
    try:
        yield
    except BaseException:  # Ctrl-C too; it is raised again
        connection.rollback()
        raise
    connection.commit()


_TYPES = {
    "started_at": pa.timestamp("us"),
    "http_status": pa.int32(),
    "numbers": pa.map_(pa.string(), pa.float64()),
    "texts": pa.map_(pa.string(), pa.string()),
    "booleans": pa.map_(pa.string(), pa.bool_()),
    **dict.fromkeys(("duration_ms", "latency_ms", "data_volume_bytes", "price_usd"), pa.float64()),
    **dict.fromkeys(("error", "fault", "throttle", "failed", "in_progress"), pa.bool_()),
}

BATCH = pa.schema([(column, _TYPES.get(column, pa.string())) for column in Span._fields])
"""The columns of a `Span` as Arrow types."""


def rows(spans: Iterable[Span]) -> pa.Table:
    """The spans as an Arrow table of the schema `BATCH`; about 4 µs a span.

    Raises what Arrow raises for a value that a column can't hold: `ArrowInvalid`, `ArrowTypeError`,
    `OverflowError`, `UnicodeEncodeError`.
    """
    columns: Iterable[tuple[Any, ...]] = zip(*spans, strict=True)
    arrays = [
        _maps(values, field.type) if pa.types.is_map(field.type) else pa.array(values, field.type)
        for field, values in zip(BATCH, columns, strict=False)  # no spans, no columns
    ]
    return pa.table(arrays, schema=BATCH) if arrays else BATCH.empty_table()


def _maps(values: Sequence[Mapping[str, Any]], kind: pa.MapType) -> pa.MapArray:
    # From flat keys and items: four times faster than Arrow's own way from a list of pairs per row.
    offsets = pa.array([0, *accumulate(map(len, values))], pa.int32())
    keys = pa.array(list(chain.from_iterable(values)), kind.key_type)
    items = pa.array(list(chain.from_iterable(value.values() for value in values)), kind.item_type)
    return pa.MapArray.from_arrays(offsets, keys, items)
