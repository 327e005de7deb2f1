"""What sets the slow records of a range apart: 1 M spans of 200,000 traces, one span of each with 30 annotations.

`python -m benchmarks.drivers`. Beside it pandas with scipy on the same records, already in memory and with a column for
each annotation: shares, medians and Fisher's exact test a value, as an analyst would write it.
"""

import statistics
import tempfile
import time
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import pandas as pd
from scipy import stats

from core import store as stores
from core.analysis import drivers
from core.question import Question, Window

START = datetime(2026, 11, 10)
WINDOW = Window(START, START + timedelta(days=14))
ASKED = Question(source="live", start=WINDOW.start, end=WINDOW.end)
TRACES, STEPS, REPEATS = 200_000, 5, 5


def run() -> None:
    """Print the two times, and that both say the same."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "tracecast.duckdb"
        fill(file)
        with stores.Store(file) as store:
            ours = [timed(lambda: answered(store)) for _ in range(REPEATS)]
            table = wide(store)
    peers = [timed(lambda: by_pandas(table)) for _ in range(3)]
    mine, theirs = ours[0][1], peers[0][1]
    first = mine.iloc[0]
    print(f"drivers of {TRACES * STEPS:,} spans, 30 annotations: {statistics.median(t for t, _ in ours):.2f} s")
    print(f"pandas and scipy, the records in memory: {statistics.median(t for t, _ in peers):.2f} s")
    print(f"first: {first['key']}={first['value']}, {int(mine['significant'].sum())} of {len(mine)} significant")
    both = mine.merge(theirs, on=["key", "value"], suffixes=("", "_peer"))
    worst = (both["effect_ms"] - both["effect_ms_peer"]).abs().max()
    print(f"{len(both)} values in both, effects differ by {worst:.1e} ms at most")


def answered(store: stores.Store) -> pd.DataFrame:
    statement = drivers.holders(ASKED, WINDOW)
    return drivers.drivers(ASKED, store.query(statement.sql, statement.params))


def by_pandas(table: pd.DataFrame) -> pd.DataFrame:
    latency = table["latency_ms"]
    slow = latency >= latency.nlargest(len(table) // 10).iloc[-1]
    rows = []
    for key in table.columns.drop("latency_ms"):
        column = pd.qcut(table[key], 5) if table[key].dtype == float and table[key].nunique() > 10 else table[key]
        if column.nunique() > len(table) / 2:
            continue
        for value, has in ((value, column == value) for value in column.unique()):
            n, of_slow = int(has.sum()), int((has & slow).sum())
            chance = stats.hypergeom.sf(of_slow - 1, len(table), slow.sum(), n)
            effect = latency[has].median() - latency[~has].median()
            rows.append((key, str(value), of_slow / slow.sum(), n / len(table), effect, n, chance))
    frame = pd.DataFrame(rows, columns=drivers.COLUMNS[:-1])
    return frame.assign(significant=stats.false_discovery_control(frame["p_value"]) <= drivers.FALSE_DISCOVERIES)


def wide(store: stores.Store) -> pd.DataFrame:
    keys = [*(f"texts['t{k}'] AS t{k}" for k in range(15)), *(f"numbers['n{k}'] AS n{k}" for k in range(10))]
    keys += [f"booleans['b{k}']::VARCHAR AS b{k}" for k in range(5)]
    return store.query(f"SELECT latency_ms, {', '.join(keys)} FROM records WHERE annotated")


def fill(file: Path) -> None:
    """In bulk, past the writer. Slow is what met value 1 of t3; t0 is different for each record."""
    stores.Store(file).close()
    texts = ", ".join(["'t0': 'r' || i"] + [f"'t{k}': 'v' || hash(i, {k}) % {4 + k}" for k in range(1, 15)])
    numbers = ", ".join(f"'n{k}': (hash(i, {k}) % {[6, 100_000][k % 2]} / 8)::DOUBLE" for k in range(10))
    booleans = ", ".join(f"'b{k}': hash(i, {k}) % 2 = 0" for k in range(5))
    with duckdb.connect(str(file)) as connection:
        connection.execute(
            f"""INSERT INTO spans
            WITH traces AS (
                SELECT i, '6739e2a0' || lpad(to_hex(hash(i)), 16, '0') || lpad(to_hex(i), 8, '0') AS trace_id,
                    $start::TIMESTAMP + INTERVAL 6 SECOND * i AS began,
                    hash(i) % 100000 / 1000 + 20 + CASE WHEN hash(i, 3) % 7 = 1 THEN 60 ELSE 0 END AS latency
                FROM range({TRACES}) AS numbered(i)
            )
            SELECT 'live', trace_id, lpad(to_hex(i * {STEPS} + k), 16, '0'),
                CASE WHEN k > 0 THEN lpad(to_hex(i * {STEPS}), 16, '0') END,
                CASE WHEN k = 0 THEN 'segment' ELSE 'subsegment' END, 'shop', 'step' || k, NULL,
                began + INTERVAL 1 MILLISECOND * k, latency, false, false, false, NULL, NULL, NULL,
                CASE WHEN k = 3 THEN MAP {{{numbers}}} ELSE MAP {{}} END,
                CASE WHEN k = 3 THEN MAP {{{texts}}} ELSE MAP {{}} END,
                CASE WHEN k = 3 THEN MAP {{{booleans}}} ELSE MAP {{}} END,
                false, latency, NULL, NULL, NULL, false, k = 3, now()::TIMESTAMP,
                ('0x' || left(trace_id, 16))::UBIGINT, hash(i, k)
            FROM traces, range({STEPS}) AS numbered(k) ORDER BY i, k""",
            {"start": START},
        )
        connection.execute("CHECKPOINT")


def timed(call):
    began = time.perf_counter()
    answer = call()
    return time.perf_counter() - began, answer


if __name__ == "__main__":
    run()
