"""Questions as SQL over the `records` relation, with bound parameters; the caller has the store run it.

Everything of a statement that is DuckDB's own is in this file, and only names from this file, never text from a
question, become part of the SQL.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd

from core.question import Question, Window, bucket_start, bucket_width, is_latency, unit

__all__ = [
    "HISTORY",
    "MAX_CHOICES",
    "MAX_GROUPS",
    "Statement",
    "annotation_keys",
    "buckets",
    "condition",
    "finished",
    "flagged",
    "group_count",
    "groups",
    "history",
    "left_out",
    "measured",
    "points",
    "prices",
    "records",
    "services",
    "stat_column",
    "summary_share",
]

HISTORY = timedelta(days=60)  # what a forecast is fitted to
MAX_GROUPS = 200
MAX_CHOICES = 500  # of a list to choose from: one of 70,000 keys, an id each, takes the browser ten seconds

# The same question gets the same answer to the last digit, although threads share the rows and add them up in another
# order each time: `favg` and `fsum` carry what a sum loses (Kahan), a standard deviation is rounded to 12 digits.
_STD = "CASE WHEN value_std > 0 THEN round(value_std, 12 - ceil(log10(value_std))::INTEGER) ELSE value_std END"
_ANNOTATION = """coalesce(texts[{key}], booleans[{key}]::VARCHAR,
    CASE WHEN numbers[{key}] = trunc(numbers[{key}]) AND abs(numbers[{key}]) < 1e15
         THEN numbers[{key}]::BIGINT::VARCHAR ELSE numbers[{key}]::VARCHAR END)"""
_COLUMNS = ("latency_ms", "duration_ms", "data_volume_bytes", "price_usd")  # measures that the store keeps as columns
# Beyond this a value does not count: its square, which a standard deviation adds up, would be no number any more, and
# one such record would take every page of its source with it.
_MOST = "1e100"
# What the store is asked for a bucket, and keeps of finished hours: a change here, or to what is kept (below), needs a
# migration that empties its table `hours`.
_AGGREGATES = {
    "request_count": "count(*)",
    "value_avg": "favg(value)",
    "value_min": "min(value)",
    "value_max": "max(value)",
    "value_std": "stddev_samp(value)",
    "percentiles": "quantile_cont(value, [0.5, 0.9, 0.95, 0.99])",
    "error_rate": "avg(failed::INTEGER)",
    "volume": "fsum(data_volume_bytes)",
    "price_usd_avg": "favg(price_usd)",
}
_PERCENTILES = ("p50", "p90", "p95", "p99")
_KEPT_SCOPE, _KEPT_MEASURE = "annotated", "latency_ms"
# From here on hours are not kept, or end too late to be asked for.
_UNKEPT_FROM = """coalesce((SELECT max(hour) + INTERVAL 1 HOUR FROM hours
    WHERE source = $source AND hour + INTERVAL 1 HOUR <= $end), '-infinity'::TIMESTAMP)"""
_HOURS = [f"%Y-%m-%d{between}%H{rest}" for rest in (":%M:%S", ":%M", "") for between in ("-", " ", "T")]


@dataclass
class Statement:
    """SQL and the values of its `$name` parameters."""

    sql: str
    params: dict[str, Any] = field(default_factory=dict)


def stat_column(question: Question) -> str:
    """The column of `buckets` that holds what `question` asks for."""
    if question.stat == "count":
        return "request_count"
    if question.stat == "volume":
        return "total_data_volume_bytes"
    if question.stat == "error_rate":
        return "error_rate"
    return f"{_prefix(question)}_{question.stat}"


def buckets(question: Question, window: Window, first: datetime) -> Statement:
    """One row per bucket of the window, from the bucket of the source's `first` span on, gaps included.

    Columns: `source, measure, unit`, with `by` also `group` (text; null for records without it; the `MAX_GROUPS`
    groups with the most records), `bucket` (naive UTC, start), `complete` (it ended by the window's end),
    `request_count`, `latency_avg, _min, _max, _std` (sample)`, _p50, _p90, _p95, _p99` (linear) in the measure's unit
    (`value_*` for a measure that is no latency), `error_rate` (0 to 1), `total_data_volume_bytes`, `price_usd_avg`,
    `rolling_latency_avg` (or `rolling_value_avg`) and `rolling_error_rate`: plain means of the up to 3 buckets up to
    this one that have records. A gap has count and volume 0 and the rest null. Ordered by group, bucket.
    """
    width = bucket_width(question.granularity)
    start = max(bucket_start(window.start, question.granularity), bucket_start(first, question.granularity))
    lead_in = start - 2 * width  # so that rolling means do not depend on where the range begins
    columns = {name: (aggregate, name) for name, aggregate in _AGGREGATES.items()}
    aggregated = _aggregated(question, Window(lead_in, window.end), _unit(question), columns)
    prefix = _prefix(question)
    by = question.by is not None
    largest = 'SELECT NULL::VARCHAR AS "group"'
    if by:
        largest = f"""SELECT "group" FROM aggregated
    GROUP BY "group" ORDER BY sum(request_count) DESC, "group" LIMIT {MAX_GROUPS}"""
    sql = f"""
WITH aggregated AS ({aggregated.sql}),
largest AS ({largest}),
grid AS (
    SELECT bucket, "group"
    FROM (SELECT unnest(generate_series($lead_in, $last, INTERVAL 1 {_unit(question)})) AS bucket), largest
),
filled AS (
    SELECT grid.bucket, grid."group", aggregated.* EXCLUDE (bucket, "group"),
        avg(value_avg) OVER recent AS rolling_value, avg(error_rate) OVER recent AS rolling_error
    FROM grid LEFT JOIN aggregated
        ON grid.bucket = aggregated.bucket AND grid."group" IS NOT DISTINCT FROM aggregated."group"
    WINDOW recent AS (PARTITION BY grid."group" ORDER BY grid.bucket ROWS BETWEEN 2 PRECEDING AND CURRENT ROW)
)
SELECT $source AS source, $measure AS measure, $unit AS unit, {'"group",' if by else ""}
    bucket, bucket <= $end - INTERVAL 1 {_unit(question)} AS complete, coalesce(request_count, 0) AS request_count,
    value_avg AS {prefix}_avg, value_min AS {prefix}_min, value_max AS {prefix}_max, {_STD} AS {prefix}_std,
    percentiles[1] AS {prefix}_p50, percentiles[2] AS {prefix}_p90, percentiles[3] AS {prefix}_p95,
    percentiles[4] AS {prefix}_p99,
    error_rate, coalesce(volume, 0) AS total_data_volume_bytes, price_usd_avg,
    CASE WHEN request_count > 0 THEN rolling_value END AS rolling_{prefix}_avg,
    CASE WHEN request_count > 0 THEN rolling_error END AS rolling_error_rate
FROM filled WHERE bucket >= $start ORDER BY {'"group" NULLS LAST,' if by else ""} bucket"""
    last = bucket_start(window.end - timedelta(microseconds=1), question.granularity)
    own = {
        "lead_in": lead_in,
        "start": start,
        "last": last,
        "measure": question.measure,
        "unit": unit(question.measure),
    }
    return Statement(sql, aggregated.params | own)


def history(question: Question, end: datetime, reach: timedelta = HISTORY) -> Statement:
    """What forecasts are fitted to: the complete hours of the `reach` before `end`, for either granularity.

    Columns: `group` (null without `by`), `ds` (naive UTC hour), `y` (the stat, float). Hours without records are
    absent, except for `count` and `volume`, where they are 0 from the group's first hour to its last.
    Ordered by the group's number of records, largest first, then `ds`.
    """
    last = bucket_start(end, "hourly")
    window = Window(bucket_start(last - reach, "hourly"), last)
    columns = {"request_count": ("count(*)", "request_count"), "y": _stat(question.stat)}
    aggregated = _aggregated(question, window, "hour", columns)
    sql = f"""
WITH aggregated AS ({aggregated.sql}),
largest AS (
    SELECT "group", sum(request_count) AS records, min(bucket) AS first, max(bucket) AS last
    FROM aggregated GROUP BY "group" ORDER BY records DESC, "group" LIMIT {MAX_GROUPS}
)
"""
    if question.stat in ("count", "volume"):
        sql += """SELECT grid."group", grid.ds, coalesce(y, 0)::DOUBLE AS y
FROM (SELECT "group", records, unnest(generate_series(first, last, INTERVAL 1 HOUR)) AS ds FROM largest) AS grid
LEFT JOIN aggregated ON grid.ds = aggregated.bucket AND grid."group" IS NOT DISTINCT FROM aggregated."group"
ORDER BY records DESC, grid."group", grid.ds"""
    else:
        sql += """SELECT aggregated."group", bucket AS ds, y
FROM aggregated JOIN largest ON largest."group" IS NOT DISTINCT FROM aggregated."group"
ORDER BY records DESC, aggregated."group", ds"""
    return Statement(sql, aggregated.params)


def finished(source: str, until: datetime) -> Statement:
    """Adds to the table `hours` those of `source` that come after the last one there, as far as they ended by `until`
    (naive UTC). No rows.
    """
    question = Question(source=source, scope=_KEPT_SCOPE, measure=_KEPT_MEASURE)
    chosen = _chosen(question, Window(datetime.min, bucket_start(until, "hourly")))
    names = ", ".join(_AGGREGATES)
    return Statement(
        f"""INSERT INTO hours (source, hour, {names})
SELECT $source, date_trunc('hour', timestamp), {_listed(_AGGREGATES)} FROM ({chosen.sql})
WHERE timestamp >= {_UNKEPT_FROM} GROUP BY 2""",
        chosen.params,
    )


def group_count(question: Question, end: datetime) -> Statement:
    """How many groups there are, of which `history` takes the largest: `groups`."""
    last = bucket_start(end, "hourly")
    chosen = _chosen(question, Window(last - HISTORY, last))
    return Statement(f'SELECT count(*) AS groups FROM (SELECT DISTINCT "group" FROM ({chosen.sql}))', chosen.params)


def left_out(history: pd.DataFrame, exclude: Iterable[tuple[datetime, datetime]]) -> pd.DataFrame:
    """`history` (`ds`, `y`) with `y` null in each hour that an excluded range touches."""
    out = np.zeros(len(history), dtype=bool)
    for start, end in exclude:
        out |= (history["ds"] > start - timedelta(hours=1)) & (history["ds"] < end)
    return history.assign(y=history["y"].mask(out))


def groups(question: Question, key: str, window: Window) -> Statement:
    """The window's records by the value of `key` (`service`, `name` or an annotation).

    Columns: `group`, `request_count`, `avg`, `p95` (the measure's unit), `error_rate`; largest first.
    """
    chosen = _chosen(question, window, key)
    return Statement(
        f"""WITH chosen AS ({chosen.sql})
SELECT "group", count(*) AS request_count, favg(value) AS avg, quantile_cont(value, 0.95) AS p95,
    avg(failed::INTEGER) AS error_rate
FROM chosen GROUP BY ALL ORDER BY request_count DESC, "group" LIMIT {MAX_GROUPS}""",
        chosen.params,
    )


def records(question: Question, window: Window, limit: int | None = None) -> Statement:
    """The records of the window; with `limit` the newest so many. Oldest first.

    Columns: `source, measure, unit, trace_id, span_id, service, name, timestamp` (naive UTC)`, hour_str` (naive UTC;
    null where the annotation is no hour)`, latency_ms, data_volume_bytes, price_usd, flag, shard_id, error` (bool)`,
    annotations` (JSON text, each value in the type it was sent).
    """
    where, params = condition(question, window)
    newest = "" if limit is None else f"ORDER BY timestamp DESC LIMIT {int(limit)}"
    return Statement(
        f"""SELECT source, $measure AS measure, $unit AS unit, trace_id, span_id, service, name, timestamp,
    try_strptime(texts['hour_str'], {_HOURS}) AS hour_str, latency_ms, data_volume_bytes, price_usd,
    {_ANNOTATION.format(key="'flag'")} AS flag, {_ANNOTATION.format(key="'shard_id'")} AS shard_id, failed AS error,
    json_merge_patch(to_json(numbers), to_json(booleans), to_json(texts))::VARCHAR AS annotations
FROM (SELECT * FROM records WHERE {where} {newest}) ORDER BY timestamp, trace_id, span_id""",
        params | {"measure": question.measure, "unit": unit(question.measure)},
    )


def points(question: Question, window: Window, limit: int) -> Statement:
    """The newest `limit` records of the window: `trace_id`, `timestamp` (naive UTC), `value` (the measure's unit, null
    where a record has none), `failed`, `service`; oldest first.
    """
    chosen = _chosen(question, window, "service")
    return Statement(
        f"""WITH chosen AS ({chosen.sql})
SELECT trace_id, timestamp, value, failed, "group" AS service
FROM (SELECT * FROM chosen ORDER BY timestamp DESC LIMIT {int(limit)}) ORDER BY timestamp""",
        chosen.params,
    )


def flagged(question: Question, window: Window, flags: Iterable[str]) -> Statement:
    """The last record of each hour and flag, of those whose annotation `flag` is one of `flags`: `timestamp` (naive
    UTC), `price_usd`, `flag`; oldest first.
    """
    chosen = _chosen(question, window, "flag")
    return Statement(
        f"""WITH chosen AS ({chosen.sql})
SELECT max(timestamp) AS timestamp, arg_max(price_usd, timestamp) AS price_usd, "group" AS flag
FROM chosen WHERE "group" IN (SELECT unnest($flags)) AND price_usd IS NOT NULL
GROUP BY date_trunc('hour', timestamp), "group" ORDER BY 1""",
        chosen.params | {"flags": list(flags)},
    )


def summary_share(question: Question, window: Window) -> Statement:
    """`share`: of the records of the window, those of which only the summary of their trace was read, 0 to 1."""
    where, params = condition(question, window)
    return Statement(f"SELECT avg((span_id = 'summary')::DOUBLE) AS share FROM records WHERE {where}", params)


def prices(window: Window) -> Statement:
    """The price history of the window: `time` (naive UTC), `price_usd`, `exchange`, `kind`; oldest first."""
    return Statement(
        """SELECT time, price_usd, exchange, kind FROM prices WHERE time >= $start AND time < $end
ORDER BY time, exchange, kind""",
        {"start": window.start, "end": window.end},
    )


def services(source: str) -> Statement:
    """The services of a source, the `MAX_CHOICES` with the most spans: `service`, by name."""
    return Statement(
        f"""SELECT service FROM (
    SELECT service FROM spans WHERE source = $source AND service IS NOT NULL
    GROUP BY service ORDER BY count(*) DESC, service LIMIT {MAX_CHOICES}
) ORDER BY service""",
        {"source": source},
    )


def annotation_keys(source: str, since: datetime, newest: int = 20_000) -> Statement:
    """The annotation keys in the `newest` records of a source from `since` on, the `MAX_CHOICES` most used of them.

    Columns: `key`, `numeric` (it can be measured); by name.
    """
    return Statement(
        f"""WITH recent AS (
    SELECT numbers, texts, booleans FROM records WHERE source = $source AND timestamp >= $since AND annotated
    ORDER BY timestamp DESC LIMIT {int(newest)}
)
SELECT key, numeric FROM (
    SELECT key, bool_or(numeric) AS numeric FROM (
        SELECT unnest(map_keys(numbers)) AS key, true AS numeric FROM recent UNION ALL
        SELECT unnest(map_keys(texts)), false FROM recent UNION ALL
        SELECT unnest(map_keys(booleans)), false FROM recent
    ) GROUP BY key ORDER BY count(*) DESC, key LIMIT {MAX_CHOICES}
) ORDER BY key""",
        {"source": source, "since": since},
    )


def condition(question: Question, window: Window) -> tuple[str, dict[str, Any]]:
    """What tells the records of `question` in the window from others: the text after WHERE, and its parameters."""
    chosen = "kind = 'segment'" if question.scope == "segments" else "annotated"
    where = f"source = $source AND timestamp >= $from AND timestamp < $end AND {chosen}"
    params: dict[str, Any] = {"source": question.source, "from": window.start, "end": window.end}
    if question.service is not None:
        where, params["service"] = f"{where} AND service = $service", question.service
    return where, params


def measured(question: Question, params: dict[str, Any]) -> str:
    """What is measured of `records`, a column or an annotation, as far as it counts; `params` gets what it needs."""
    if question.measure in _COLUMNS:
        return _counted(question.measure)
    params["measure_key"] = question.measure
    return _counted("numbers[$measure_key]")


def _counted(value: str) -> str:
    return f"CASE WHEN abs({value}) <= {_MOST} THEN {value} END"


def _prefix(question: Question) -> str:
    return "latency" if is_latency(question.measure) else "value"


def _unit(question: Question) -> str:
    return "hour" if question.granularity == "hourly" else "day"


def _chosen(question: Question, window: Window, key: str | None = None) -> Statement:
    """Rows `trace_id, timestamp, value, group, failed, data_volume_bytes, price_usd`: what the question is about."""
    where, params = condition(question, window)
    by = key or question.by
    value = measured(question, params)
    if by is None:
        group = "NULL::VARCHAR"
    elif by in ("service", "name"):
        group = by
    else:
        group, params["by_key"] = _ANNOTATION.format(key="$by_key"), by
    return Statement(
        f"""SELECT trace_id, timestamp, {value} AS value, {group} AS "group", failed,
        {_counted("data_volume_bytes")} AS data_volume_bytes, {_counted("price_usd")} AS price_usd
    FROM records WHERE {where}""",
        params,
    )


def _aggregated(question: Question, window: Window, width: str, columns: Mapping[str, tuple[str, str]]) -> Statement:
    """Rows `bucket, group` and `columns`, a bucket being one `width` ("hour" or "day").

    Of each column first what it is of records, then what it is of the table `hours`, where that has what is asked for.
    """
    chosen = _chosen(question, window)
    aggregates = _listed({name: aggregate for name, (aggregate, _) in columns.items()})
    sql = f"""SELECT date_trunc('{width}', timestamp) AS bucket, "group", {aggregates} FROM ({chosen.sql})"""
    is_kept = width == "hour" and question.by is None and question.service is None
    if not is_kept or (question.scope, question.measure) != (_KEPT_SCOPE, _KEPT_MEASURE):
        return Statement(f"{sql} GROUP BY ALL", chosen.params)
    return Statement(
        f"""{sql} WHERE timestamp >= {_UNKEPT_FROM} GROUP BY ALL UNION ALL
    SELECT hour, NULL::VARCHAR, {_listed({name: kept for name, (_, kept) in columns.items()})}
    FROM hours WHERE source = $source AND hour >= $from AND hour + INTERVAL 1 HOUR <= $end""",
        chosen.params,
    )


def _listed(columns: Mapping[str, str]) -> str:
    return ", ".join(f"{expression} AS {name}" for name, expression in columns.items())


def _stat(stat: str) -> tuple[str, str]:
    """A stat as an aggregate of records, and from the columns of the table `hours`."""
    if stat == "volume":
        return "coalesce(fsum(data_volume_bytes), 0)", "coalesce(volume, 0)"
    if stat in _PERCENTILES:
        return f"quantile_cont(value, {int(stat[1:]) / 100})", f"percentiles[{_PERCENTILES.index(stat) + 1}]"
    column = {"avg": "value_avg", "count": "request_count", "error_rate": "error_rate"}[stat]
    return _AGGREGATES[column], column
