"""One stretch of time against another: how latencies are spread, and what sets the slow ones apart in each."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from core.analysis.metrics import Statement, condition, measured
from core.question import Question, Window

__all__ = ["COLUMNS", "PERCENTILES", "Latencies", "drivers", "latencies", "read", "table"]

PERCENTILES = (0, 1, *range(5, 96, 5), 98, 99, 99.5, 100)  # of the curve and of the table
COLUMNS = [
    *("kind", "key", "value", "n", "n2", "measured", "measured2", "change"),
    *("share_slow", "share_slow2", "share_all", "share_all2", "significant", "significant2"),
]


class Latencies(NamedTuple):
    """How the records of a window are spread."""

    n: int
    failed: float  # share, 0 to 1; NaN without records
    mean: float  # in the measure's unit; NaN where no record has a value
    percentiles: npt.NDArray[np.float64]  # at `PERCENTILES`, likewise


def latencies(question: Question, window: Window) -> Statement:
    """One row: `n` (records), `failed` (share, 0 to 1), and of what is measured `mean` and `percentiles` (linear)."""
    where, params = condition(question, window)
    value = measured(question, params)
    return Statement(
        f"""SELECT count(*) AS n, avg(failed::INTEGER) AS failed, favg({value}) AS mean,
    quantile_cont({value}, {[at / 100 for at in PERCENTILES]}) AS percentiles
FROM records WHERE {where}""",
        params,
    )


def read(answer: pd.DataFrame) -> Latencies:
    """The answer to `latencies`."""
    [row] = answer.itertuples()
    held = row.percentiles
    spread = np.asarray(held, float) if isinstance(held, np.ndarray) else np.full(len(PERCENTILES), np.nan)
    return Latencies(int(row.n), float(row.failed), float(row.mean), spread)


def drivers(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    """Two tables of `analysis.drivers.drivers` side by side: `key`, `value`, then each of their columns, those of the
    second with a 2 behind; what only one has is null and not significant in the other.

    Significant in either first, then by the larger `share_slow - share_all` of the two.
    """
    both = first.merge(second, on=["key", "value"], how="outer", suffixes=("", "2"))
    for name in ("significant", "significant2"):
        both[name] = both[name].eq(True)
    apart = [both[f"share_slow{end}"] - both[f"share_all{end}"] for end in ("", "2")]
    both["apart"] = pd.concat(apart, axis=1).max(axis=1).round(12)
    both["either"] = both["significant"] | both["significant2"]
    ordered = both.sort_values(["either", "apart", "key", "value"], ascending=[False, False, True, True])
    return ordered.drop(columns=["apart", "either"]).reset_index(drop=True)


def table(first: Latencies, second: Latencies, beside: pd.DataFrame) -> pd.DataFrame:
    """All of the comparison in one table, `COLUMNS`; what ends in 2 is of the range that is compared with.

    `kind` `statistic`: `key` is `count`, `error_rate`, `avg`, `min`, `p1` … `p99.5` or `max`, `measured` its value (the
    measure's unit, shares 0 to 1). `kind` `driver`: `key`, `value`, shares as in `drivers`, `measured` the effect in
    the measure's unit. `n` counts records, `change` is `measured` minus `measured2`.
    """
    names = [{0: "min", 100: "max"}.get(at, f"p{at:g}") for at in PERCENTILES]
    pairs = [
        ("count", first.n, second.n),
        ("error_rate", first.failed, second.failed),
        ("avg", first.mean, second.mean),
    ]
    pairs += list(zip(names, first.percentiles, second.percentiles, strict=True))
    statistics = pd.DataFrame(pairs, columns=["key", "measured", "measured2"]).assign(
        kind="statistic", value=None, n=first.n, n2=second.n
    )
    told = beside.rename(columns={"effect_ms": "measured", "effect_ms2": "measured2"}).assign(kind="driver")
    frame = pd.concat([statistics.reindex(columns=COLUMNS), told.reindex(columns=COLUMNS)], ignore_index=True)
    frame["change"] = frame["measured"] - frame["measured2"]
    whole = {"n": "Int64", "n2": "Int64", "significant": "boolean", "significant2": "boolean"}
    return frame.astype({"key": "str", "value": "str", **whole})
