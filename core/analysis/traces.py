"""The list of traces as SQL with bound parameters: the first of an order, how many there are, and all of them.

A trace belongs to a window when one of its spans started there. What is said of it is said of all its spans up to an
hour around the window: `started_at` and `name` are those of its first span, a root before others, and `duration_ms` is
that of its longest span, so that a trace whose root was lost still has one.

The first of an order are found among spans, not traces: grouping a million traces to show a hundred takes ten times as
long. The longest spans belong to the longest traces, so what is found this way is what grouping all would find.
"""

import math
import re
from datetime import timedelta
from typing import Any

from core.analysis.metrics import Statement
from core.conditions import Condition, parse
from core.errors import MalformedSegment
from core.question import SORTS, Question, Window, bucket_width, unit
from core.spans import canonical_trace_id, xray_trace_id

__all__ = ["FIRST", "KEYS", "everything", "first", "identified", "scrolled", "shown_id", "stretch", "totals"]

FIRST = 1_000  # rows that are shown at once
KEYS = ("name", "service", "status", "duration_ms", "http_status")  # of conditions that are about no annotation
AROUND = timedelta(hours=1)  # how far the spans of one trace may lie apart

_HEADER = re.compile(r"(?:00-|Root=)?([0-9a-fA-F-]{32,35})(?:-[0-9a-fA-F]{16}-[0-9a-fA-F]{2}|;.*)?")
_ORDER = {
    "slowest": "duration_ms DESC NULLS LAST, trace_id",
    "newest": "started_at DESC, trace_id",
    "error": "failed DESC, started_at DESC, trace_id",
}
_ROOT = "parent_id IS NULL"
_CANDIDATES = {  # which spans, in which order, and how many for each row; roots, so that one trace can't fill them all
    "slowest": [(_ROOT, "duration_ms DESC NULLS LAST", 1), ("true", "duration_ms DESC NULLS LAST", 4)],
    "newest": [(_ROOT, "started_at DESC", 1), ("true", "started_at DESC", 4)],
    "error": [
        (f"failed AND {_ROOT}", "started_at DESC", 1),
        ("failed", "started_at DESC", 4),
        (_ROOT, "started_at DESC", 1),
        ("true", "started_at DESC", 4),
    ],
}
_FROM_ROOT = "arg_min({0}, (parent_id IS NOT NULL, started_at))"
_ROW = f"""trace_id, min(started_at) AS started_at, max(duration_ms) AS duration_ms,
    {_FROM_ROOT.format("service")} AS service, {_FROM_ROOT.format("name")} AS name,
    bool_or(error OR (failed AND NOT fault)) AS error, bool_or(fault) AS fault, bool_or(throttle) AS throttle,
    {_FROM_ROOT.format("http_status")} AS http_status, count(*) AS span_count, bool_or(failed) AS failed,
    bool_or(span_id = 'summary') AS summary_only"""
_INSIDE = "source = $source AND started_at >= $from AND started_at < $end"
_AROUND = "source = $source AND started_at >= $around_from AND started_at < $around_end"
_NUMBER = {"=": "=", "!=": "<>", ">": ">", ">=": ">=", "<": "<", "<=": "<="}
_VALUE = "coalesce(texts[{key}], booleans[{key}]::VARCHAR, numbers[{key}]::VARCHAR)"
_TEXT = "lower(concat_ws(' ', name, service, http_url, array_to_string(map_values(texts), ' '), detail))"
_STATUS = {"ok": "failed", "failed": "failed", "error": "(error OR (failed AND NOT fault))"}


def identified(text: str | None) -> str | None:
    """The canonical id in `text`, in X-Ray's form or W3C's, also as their headers carry it; None for other text."""
    found = _HEADER.fullmatch((text or "").strip())
    if found is None:
        return None
    try:
        return canonical_trace_id(found[1])
    except MalformedSegment:
        return None


def shown_id(trace_id: str) -> str:
    """A canonical id in the form it is shown in, X-Ray's."""
    return xray_trace_id(trace_id)


def stretch(question: Question, window: Window) -> Window:
    """The part of `window` that is asked about: the `bucket`, where one is given."""
    if question.bucket is None:
        return window
    return Window(question.bucket, question.bucket + bucket_width(question.granularity))


def first(question: Question, window: Window, limit: int = FIRST) -> Statement:
    """The first `limit` traces in the order of `sort`: slowest, newest, or failed before others and then newest.

    Columns: `trace_id, started_at` (naive UTC)`, duration_ms` (null while all is in progress)`, service, name, error`
    (also by the annotation)`, fault, throttle, http_status` (the first that a span has)`, span_count, failed,
    summary_only` (the summary that X-Ray gives of a trace stands for its spans).
    """
    inside, params = _inside(question, window)
    sort = question.sort or SORTS[0]
    parts = [
        f"(SELECT trace_prefix, trace_id FROM spans WHERE {inside} AND {which} ORDER BY {order} LIMIT {limit * many})"
        for which, order, many in _CANDIDATES[sort]
    ]
    return Statement(
        f"""WITH candidates AS MATERIALIZED ({" UNION ".join(parts)})
SELECT {_ROW} FROM spans
WHERE {_AROUND} AND trace_prefix IN (SELECT trace_prefix FROM candidates)
    AND trace_id IN (SELECT trace_id FROM candidates)
GROUP BY trace_id ORDER BY {_ORDER[sort]} LIMIT {limit}""",
        params | _around(question, window),
    )


def totals(question: Question, window: Window) -> Statement:
    """`traces`, `failed` (of them), `slowest` (ms, null without any): one row."""
    inside, params = _inside(question, window)
    return Statement(
        f"""SELECT count(DISTINCT trace_id) AS traces, max(duration_ms) AS slowest,
    (SELECT count(DISTINCT trace_id) FROM spans WHERE {inside} AND failed) AS failed
FROM spans WHERE {inside}""",
        params,
    )


def everything(question: Question, window: Window) -> Statement:
    """All traces, as the table `traces`: `source, measure, unit, trace_id` and what follows as `first` says, up to
    `span_count`.
    """
    traces = _all(question, window)
    return Statement(
        f"SELECT $source AS source, $measure AS measure, $unit AS unit, * EXCLUDE (failed, summary_only) "
        f"FROM ({traces.sql})",
        traces.params | {"measure": question.measure, "unit": unit(question.measure)},
    )


def scrolled(question: Question, window: Window) -> Statement:
    """All traces as a table shows them: `started_at, duration_ms, status, service, name, span_count` and `trace`, the
    id in the form it is shown in.
    """
    traces = _all(question, window)
    return Statement(
        f"""SELECT started_at AT TIME ZONE 'UTC' AS started_at, duration_ms,
    CASE WHEN fault THEN 'Fault' WHEN throttle THEN 'Throttled' WHEN error THEN 'Error' ELSE 'OK' END AS status,
    service, name, CASE WHEN NOT summary_only THEN span_count END AS span_count,
    '1-' || trace_id[:8] || '-' || trace_id[9:] AS trace
FROM ({traces.sql})""",
        traces.params,
    )


def _all(question: Question, window: Window) -> Statement:
    inside, params = _inside(question, window)
    return Statement(
        f"""SELECT {_ROW} FROM spans
WHERE {_AROUND} AND trace_id IN (SELECT trace_id FROM spans WHERE {inside})
GROUP BY trace_id ORDER BY {_ORDER[question.sort or SORTS[0]]}""",
        params | _around(question, window),
    )


def _inside(question: Question, window: Window) -> tuple[str, dict[str, Any]]:
    """Which spans are in the window and of a trace that is asked for."""
    start, end = stretch(question, window)
    params: dict[str, Any] = {"source": question.source, "from": start, "end": end}
    wanted = [_INSIDE]
    if question.service is not None:
        wanted.append(_of_traces("service = $service"))
        params["service"] = question.service
    if question.q:
        trace_id = identified(question.q)
        wanted.append("trace_id = $q" if trace_id else _of_traces(f"contains({_TEXT}, $q)"))
        params["q"] = trace_id or question.q.lower()
    for number, condition in enumerate(parse(question.where or "")):
        sql, values = _condition(condition, f"c{number}")
        wanted.append(sql)
        params |= values
    return " AND ".join(wanted), params


def _around(question: Question, window: Window) -> dict[str, Any]:
    start, end = stretch(question, window)
    return {"around_from": start - AROUND, "around_end": end + AROUND}


def _of_traces(condition: str, *, none: bool = False) -> str:
    """Spans of the traces of which a span, or `none`, fulfils the condition."""
    return f"trace_id {'NOT ' if none else ''}IN (SELECT trace_id FROM spans WHERE {_INSIDE} AND ({condition}))"


def _condition(condition: Condition, name: str) -> tuple[str, dict[str, Any]]:
    """The condition, its parameters beginning with `name`."""
    key, comparison, value = condition
    wanted: dict[str, Any] = {f"{name}_key": key, f"{name}_text": value, f"{name}_number": _finite(value)}
    key_, text_, number_ = (f"${parameter}" for parameter in wanted)
    if key == "status":
        return _of_traces(_STATUS.get(value, value), none=(value == "ok") == (comparison == "=")), {}
    if key == "duration_ms" and comparison[0] == "<":  # of the longest span: no other is longer
        sql = _of_traces(f"duration_ms {'>' if comparison == '<=' else '>='} {number_}", none=True)
    elif comparison == "~":
        text = f"{key}::VARCHAR" if key in KEYS else _VALUE.format(key=key_)
        wanted[f"{name}_text"] = value.lower()
        sql = _of_traces(f"contains(lower({text}), {text_})")
    elif key in ("duration_ms", "http_status"):
        sql = _of_traces(f"{key} {_NUMBER[comparison]} {number_}")
    elif comparison[0] in "<>":  # a name is greater than no number
        sql = "false" if key in KEYS else _of_traces(f"numbers[{key_}] {comparison} {number_}")
    else:
        text = key if key in KEYS else _VALUE.format(key=key_)
        equal = f"{text} = {text_}" + ("" if key in KEYS else f" OR coalesce(numbers[{key_}] = {number_}, false)")
        sql = _of_traces(equal if comparison == "=" else f"{text} IS NOT NULL AND NOT ({equal})")
    return sql, {parameter: sent for parameter, sent in wanted.items() if f"${parameter}" in sql}


def _finite(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
