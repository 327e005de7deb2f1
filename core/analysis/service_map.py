"""Who calls whom: services, what they call, and how often, how well and how fast, from the spans of a window."""

from core.analysis.metrics import Statement
from core.question import Question, Window

__all__ = ["MOST_CALLS", "calls", "services"]

MOST_CALLS = 200  # the most frequent ones


def services(question: Question, window: Window) -> Statement:
    """What each service answered: its segments that began in the window and have ended.

    Columns: `service`, `n`, `failed` (share, 0 to 1), `avg_ms`, `p95_ms` (of the durations); most segments first.
    """
    return Statement(
        """SELECT service, count(*) AS n, avg((error OR fault)::INTEGER) AS failed, favg(duration_ms) AS avg_ms,
    quantile_cont(duration_ms, 0.95) AS p95_ms
FROM spans
WHERE source = $source AND started_at >= $from AND started_at < $end AND NOT in_progress AND kind = 'segment'
    AND service IS NOT NULL
GROUP BY service ORDER BY n DESC, service""",
        {"source": question.source, "from": window.start, "end": window.end},
    )


def calls(question: Question, window: Window) -> Statement:
    """The calls that began in the window, by who calls whom.

    A call is a span whose parent is of another service, as the called one sees it; and a span of the namespace
    `remote` or `aws` in which there is no such call: then what is called is its name, as the caller sees it.

    Columns: `caller`, `callee` (names), `namespace` (null where the callee is a service), `n`, `failed` (share, 0 to
    1), `avg_ms`, `p95_ms`; the `MOST_CALLS` most frequent ones, first these, then by name.
    """
    return Statement(
        f"""WITH seen AS (
    SELECT trace_id, span_id, parent_id, service, name, namespace, started_at, duration_ms, error OR fault AS failed
    FROM spans
    WHERE source = $source AND started_at >= $from - INTERVAL 1 HOUR AND started_at < $end + INTERVAL 1 HOUR
        AND NOT in_progress AND service IS NOT NULL
),
pairs AS (
    SELECT parent.trace_id, parent.span_id, parent.service AS caller, child.service AS callee,
        child.started_at, child.duration_ms, child.failed
    FROM seen AS child JOIN seen AS parent
        ON child.trace_id = parent.trace_id AND child.parent_id = parent.span_id
    WHERE child.span_id <> parent.span_id AND (child.service <> parent.service OR child.namespace IN ('aws', 'remote'))
),
made AS (
    SELECT caller, callee, NULL AS namespace, started_at, duration_ms, failed FROM pairs WHERE caller <> callee
    UNION ALL
    SELECT service, name, namespace, started_at, duration_ms, failed
    FROM seen ANTI JOIN pairs USING (trace_id, span_id)
    WHERE namespace IN ('aws', 'remote')
)
SELECT caller, callee, namespace, count(*) AS n, avg(failed::INTEGER) AS failed, favg(duration_ms) AS avg_ms,
    quantile_cont(duration_ms, 0.95) AS p95_ms
FROM made WHERE started_at >= $from AND started_at < $end
GROUP BY caller, callee, namespace ORDER BY n DESC, caller, callee, namespace LIMIT {MOST_CALLS}""",
        {"source": question.source, "from": window.start, "end": window.end},
    )
