"""Which steps of the traces hold the time: self time by service and name, in one stretch of time and the one before."""

import pandas as pd

from core.analysis.metrics import Statement
from core.question import Question, Window

__all__ = ["COLUMNS", "self_times", "steps"]

COLUMNS = ["service", "step", "n", "self_ms", "share", "self_ms_before", "change_ms"]


def self_times(question: Question, window: Window) -> Statement:
    """What spans that began in the window did themselves, by service and name.

    Self time is a span's duration without the time that one or more of its children cover; a child counts where it
    overlaps its parent. Columns: `service` (null where it is not known), `step` (the name), `n` (spans), `self_ms`
    (sum), `traces` (of all spans of the window, the same in each row). Children are looked for from an hour before
    the window to an hour after it. With a `service` its spans alone are summed.
    """
    params = {"source": question.source, "from": window.start, "end": window.end}
    here = "started_at >= $from AND started_at < $end"
    if question.service is not None:
        here, params["service"] = f"{here} AND service = $service", question.service
    return Statement(
        f"""WITH timed AS (
    SELECT row_number() OVER () AS number, trace_id, span_id, parent_id, service, name, started_at,
        epoch_us(started_at) AS began, epoch_us(started_at) + (duration_ms * 1000)::BIGINT AS ended
    FROM spans
    WHERE source = $source AND started_at >= $from - INTERVAL 1 HOUR AND started_at < $end + INTERVAL 1 HOUR
        AND NOT in_progress AND duration_ms BETWEEN 0 AND 1e15
),
inside AS (
    SELECT parent.number, greatest(child.began, parent.began) AS began, least(child.ended, parent.ended) AS ended
    FROM timed AS child JOIN timed AS parent
        ON child.trace_id = parent.trace_id AND child.parent_id = parent.span_id AND child.number <> parent.number
    WHERE child.began < parent.ended AND child.ended > parent.began
),
reached AS (
    SELECT number, began, ended, max(ended) OVER (
        PARTITION BY number ORDER BY began, ended ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
    FROM inside
),
covered AS (
    SELECT number, sum(greatest(ended - greatest(began, coalesce(before, began)), 0)) AS covered FROM reached GROUP BY 1
)
SELECT service, name AS step, count(*) AS n, sum(ended - began - coalesce(covered, 0))::DOUBLE / 1000 AS self_ms,
    (SELECT count(DISTINCT trace_id) FROM timed WHERE {here}) AS traces
FROM timed LEFT JOIN covered USING (number) WHERE {here}
GROUP BY service, name ORDER BY self_ms DESC, service, name""",
        params,
    )


def steps(now: pd.DataFrame, before: pd.DataFrame) -> pd.DataFrame:
    """Two answers to `self_times` side by side, one row a step of either, most time of `now` first.

    Columns: `service`, `step`, `n` (spans), `self_ms` (self time a trace), `share` (of the self time of all steps, 0 to
    1), `self_ms_before`, `change_ms` (null where nothing at all was before).
    """
    each = now.set_index(["service", "step"])
    per_trace, earlier = _per_trace(now), _per_trace(before)
    both = pd.concat([per_trace.rename("self_ms"), earlier.rename("self_ms_before")], axis=1)
    both["self_ms"] = both["self_ms"].fillna(0.0)
    if not before.empty:
        both["self_ms_before"] = both["self_ms_before"].fillna(0.0)
    both["n"] = each["n"].reindex(both.index).fillna(0).astype("int64")
    both["share"] = both["self_ms"] / (both["self_ms"].sum() or 1.0)
    both["change_ms"] = both["self_ms"] - both["self_ms_before"]
    ordered = both.reset_index().sort_values(["self_ms", "self_ms_before"], ascending=False, kind="stable")
    return ordered[COLUMNS].reset_index(drop=True)


def _per_trace(answer: pd.DataFrame) -> pd.Series:
    held = answer.set_index(["service", "step"])
    return (held["self_ms"] / held["traces"]).astype("float64")
