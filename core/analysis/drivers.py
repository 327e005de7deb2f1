"""What sets the slow or the failed records of a stretch of time apart from the rest.

A value of an annotation, a service, an operation (`name`) or a step (a span's name in the record's trace) is a driver
where it is more frequent among the slow records than chance explains: by Fisher's exact test (the upper tail of the
hypergeometric distribution), which holds for any number of records, and over all values that were looked at by the
procedure of Benjamini and Hochberg (1995, J. R. Stat. Soc. B 57, 289-300), so that of those that are called
significant 1 % are expected to be none.
"""

import itertools
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import gammaln

from core.analysis.metrics import Statement, condition, measured
from core.question import Question, Window, is_latency

__all__ = ["COLUMNS", "FALSE_DISCOVERIES", "MOST_VALUES", "SLOW", "cuts", "drivers", "holders"]

COLUMNS = ["key", "value", "share_slow", "share_all", "effect_ms", "n", "p_value", "significant"]
MOST_VALUES = 200  # of one key, the most frequent ones
FALSE_DISCOVERIES = 0.01
SLOW = 0.1

_FEW = 10  # so many different numbers are looked at one by one, more of them in fifths
_BUILT_IN = ("service", "name", "step")  # a key of an annotation that is called so gives way
_TIME_OF_RECORD = "hour_str"
_DURATION = re.compile(
    r"(^|_)(duration|latency|elapsed|took|time|ns|us|ms|s|sec|secs|seconds|millis|milliseconds)$", re.IGNORECASE
)

Ints = npt.NDArray[np.integer[Any]]
Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]


class Ranked(NamedTuple):
    """The records of a question in the order of what is measured; those without a value come last."""

    measured: Floats  # ascending, of the first so many records
    apart: Booleans  # one a record: slow, or failed
    rank: Ints  # by the number of a record, where it stands in this order


class Value(NamedTuple):
    """One value of a key, and which records have it."""

    key: str
    value: str
    places: Ints  # in `Ranked`, ascending, each once


def holders(question: Question, window: Window) -> Statement:
    """Which records of the window have which value; one statement, so that all of it is of one moment.

    Records are numbered from 0 in no particular order, `places` lists such numbers. One row a value: `kind`, `key`,
    `value`, `places`, `held` and `failed` (lists beside `places`), `names_record`:

    | `kind` | `key` | what it is |
    |---|---|---|
    | `records` | | the only such row: all records, what is measured (NaN where there is none) and whether they failed |
    | `own` | `service`, `name`, `step` | a service, an operation, a step: another span of the record's trace |
    | `text` | an annotation | one of its texts, or a boolean; texts that are numbers are among these too |
    | `number` | an annotation | all its numbers, in `held` |

    Values that occur once are left out, and of a key all but the `MOST_VALUES` most frequent ones. `names_record`: the
    key tells records from one another, by more than half as many texts as there are records with one, or perhaps by
    whole numbers, which are called an id or go up with time. Steps are looked for from an hour before the
    window to an hour after it.
    """
    where, params = condition(question, window)
    value = measured(question, params)
    some = "" if question.stat == "error_rate" else f"AND {value} IS NOT NULL"
    return Statement(
        f"""WITH ranked AS MATERIALIZED (
    SELECT (row_number() OVER () - 1)::INTEGER AS place, trace_id, span_id, timestamp, service, name, numbers, texts,
        booleans, failed, coalesce({value}, 'nan'::DOUBLE) AS value,
        TRY_CAST('0x' || left(trace_id, 16) AS UBIGINT) AS trace_prefix
    FROM records WHERE {where} {some}
),
entries AS (
    SELECT 'own' AS kind, 'service' AS key, service AS value, place FROM ranked WHERE service IS NOT NULL UNION ALL
    SELECT 'own', 'name', name, place FROM ranked UNION ALL
    SELECT 'own', 'step', spans.name, place
    FROM spans JOIN ranked ON spans.trace_prefix = ranked.trace_prefix
        AND NOT spans.trace_id <> ranked.trace_id AND spans.span_id <> ranked.span_id  -- numbers alone are hashed
    WHERE spans.source = $source AND started_at >= $from - INTERVAL 1 HOUR AND started_at < $end + INTERVAL 1 HOUR
    UNION ALL
    SELECT 'text', unnest(map_keys(booleans)), unnest(map_values(booleans))::VARCHAR, place FROM ranked UNION ALL
    SELECT 'text', unnest(map_keys(texts)), unnest(map_values(texts)), place FROM ranked
),
valued AS MATERIALIZED (
    SELECT kind, key, value, count(*) AS n, list(place) AS places FROM entries GROUP BY ALL
),
keys AS (SELECT kind, key, 2 * count(*) > sum(n) AS names_record FROM valued GROUP BY ALL),
numbered AS (
    SELECT place, epoch(timestamp) AS seconds, unnest(map_keys(numbers)) AS key, unnest(map_values(numbers)) AS number
    FROM ranked
)
SELECT 'records' AS kind, NULL AS key, NULL AS value, list(place) AS places, list(value) AS held,
    list(failed) AS failed, false AS names_record
FROM ranked
UNION ALL
SELECT 'number', key, NULL, list(place), list(number), NULL,
    bool_and(number = trunc(number))
        AND (regexp_matches(key, '(^|_)(id|uuid)$', 'i') OR coalesce(corr(number, seconds) > 0.99, false))
FROM numbered GROUP BY key
UNION ALL
FROM (
    SELECT kind, key, value, places, NULL, NULL, names_record FROM valued JOIN keys USING (kind, key) WHERE n > 1
    QUALIFY row_number() OVER (PARTITION BY kind, key ORDER BY n DESC, value) <= $most
)
ORDER BY kind, key, value""",
        params | {"most": MOST_VALUES},
    )


def cuts(holders: pd.DataFrame) -> dict[str, Floats | None]:
    """Where the numbers of each key are parted into fifths; None for a key with few values, which stay apart."""
    numeric = holders[holders["kind"] == "number"]
    return {key: _cuts(held) for key, held in zip(numeric["key"], numeric["held"], strict=True)}


def drivers(question: Question, holders: pd.DataFrame, cuts: dict[str, Floats | None] | None = None) -> pd.DataFrame:
    """One row a value that some records have and others don't, those that set the slow ones apart first.

    `holders`: the answer to the statement of that name. `cuts` of other records are used in the place of their own, so
    that both can be compared. Slow is the tenth with the largest values (where many share
    one value, what comes nearest to a tenth); with the stat `error_rate` the failed records take their place. Numbers
    with many values are looked at by fifths of their records. Left out is what is measured, what that is made of, what
    names a record, its hour and, of the failed, the annotation `error`.

    Columns: `key`, `value`, `share_slow` and `share_all` (share of the slow and of all records that have the value, 0
    to 1), `effect_ms` (median of what is measured with the value minus without it; null where either is none), `n`
    (records that have the value), `p_value` (chance of so many slow ones among n records drawn blindly),
    `significant`. Significant ones first, then by `share_slow - share_all`, largest first. No rows where no record,
    or every record, is slow.
    """
    records = _ranked(question, holders)
    everyone, slow = len(records.apart), int(records.apart.sum())
    held = [one for one in _values(question, holders, records, cuts or {}) if 0 < len(one.places) < everyone]
    if not held or not 0 < slow < everyone:
        return _typed(pd.DataFrame(columns=COLUMNS))
    n = np.array([len(one.places) for one in held])
    of_slow = np.array([records.apart[one.places].sum() for one in held])
    chances = _at_least(of_slow, everyone, slow, n)
    frame = pd.DataFrame(
        {
            "key": [one.key for one in held],
            "value": [one.value for one in held],
            "share_slow": of_slow / slow,
            "share_all": n / everyone,
            "effect_ms": [_effect(records.measured, one.places) for one in held],
            "n": n,
            "p_value": chances,
            "significant": _discoveries(chances),
        }
    )
    frame["apart"] = (frame["share_slow"] - frame["share_all"]).round(12)
    order = {"significant": False, "apart": False, "p_value": True, "key": True, "value": True}
    frame = frame.sort_values(list(order), ascending=list(order.values()), ignore_index=True)
    return _typed(frame[COLUMNS])


def _ranked(question: Question, holders: pd.DataFrame) -> Ranked:
    row = holders[holders["kind"] == "records"].iloc[0]
    if not isinstance(row["places"], np.ndarray):  # null: there is no record
        return Ranked(np.zeros(0), np.zeros(0, bool), np.zeros(0, int))
    held, failed = np.zeros(len(row["places"])), np.zeros(len(row["places"]), bool)
    held[row["places"]], failed[row["places"]] = row["held"], row["failed"]
    order = np.argsort(held, kind="stable")  # NaN come last
    rank = np.empty(len(order), np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    known = held[order][: len(held) - int(np.isnan(held).sum())]
    return Ranked(known, failed[order] if question.stat == "error_rate" else _slowest(known), rank)


def _values(
    question: Question, holders: pd.DataFrame, records: Ranked, cuts: dict[str, Floats | None]
) -> Iterator[Value]:
    numeric: dict[str, Ints] = {}
    for row in holders.itertuples():
        if row.kind == "records" or (row.kind != "own" and not _can_drive(row.key, question)):
            continue
        if row.kind == "number":
            numeric[row.key] = row.places
            yield from _binned(row, records, cuts[row.key] if row.key in cuts else _cuts(row.held))
        elif row.kind == "own" or not row.names_record:
            # A text that is a number stands among the numbers too, and counts there.
            counted = numeric.get(row.key) if row.kind == "text" else None
            yield Value(row.key, row.value, _places(row.places, records, without=counted))


def _places(numbers: Ints, records: Ranked, without: Ints | None = None) -> Ints:
    """Where the records of these numbers stand in the order, ascending and each once; a sort takes twice the time."""
    here = np.zeros(len(records.rank), bool)
    here[records.rank[numbers]] = True
    if without is not None:
        here[records.rank[without]] = False
    return np.flatnonzero(here)


def _can_drive(key: str, question: Question) -> bool:
    if key in (*_BUILT_IN, question.measure, _TIME_OF_RECORD):
        return False
    if question.stat == "error_rate" and key == "error":
        return False
    return not (is_latency(question.measure) and _DURATION.search(key))


def _slowest(held: Floats) -> Booleans:
    """Which of the ascending values are the slowest tenth."""
    if not len(held):
        return np.zeros(0, bool)
    line = held[len(held) - max(round(SLOW * len(held)), 1)]
    cuts = held >= line, held > line
    return min(cuts, key=lambda cut: abs(cut.mean() - SLOW) if cut.any() else 1)


def _binned(row: Any, records: Ranked, edges: Floats | None) -> Iterator[Value]:
    """The numbers of one key, each value for itself or parted at `edges`."""
    if row.names_record and len(_different(row.held)) == len(row.held):
        return
    if edges is None:
        different = _different(row.held)[:MOST_VALUES]
        codes = np.searchsorted(different, row.held)
        names = [_number(one) for one in different]
    else:
        codes = np.searchsorted(edges, row.held, side="right")
        inner = [f"{_number(low)} to {_number(high)}" for low, high in itertools.pairwise(edges)]
        names = [f"under {_number(edges[0])}", *inner, f"{_number(edges[-1])} or more"]
    for code, name in enumerate(names):
        yield Value(row.key, name, _places(row.places[codes == code], records))


def _different(held: Floats) -> Floats:
    """The values, each once, ascending; a plain sort takes a third of the time of `np.unique`."""
    order: Floats = np.sort(held)
    first: Booleans = np.concatenate([[True], order[1:] != order[:-1]])
    return order[first]


def _cuts(held: Floats) -> Floats | None:
    return _edges(held) if len(_different(held)) > _FEW else None


def _edges(held: Floats) -> Floats:
    """What parts the numbers into fifths, in as few digits as tell the fifths apart; fewer where many are the same."""
    cuts: Floats = np.unique(np.quantile(held, [0.2, 0.4, 0.6, 0.8]))
    least = held.min()
    cuts = cuts[cuts > least]
    if not len(cuts):  # four in five are the least: those that are more stand against it
        return np.array([held[held > least].min()])
    for digits in range(2, 16):
        rounded = np.array([float(f"{cut:.{digits}g}") for cut in cuts])
        gap = np.diff([least, *cuts]).min()
        if np.abs(rounded - cuts).max() < 0.1 * gap:
            return rounded
    return cuts


def _number(value: float) -> str:
    return f"{value:.0f}" if value == round(value) and abs(value) < 1e15 else f"{value:.15g}"


def _effect(measured: Floats, places: Ints) -> float:
    """Median of the ascending values at `places` minus that of all others."""
    inside = places[places < len(measured)]
    outside = len(measured) - len(inside)
    if not len(inside) or not outside:
        return float("nan")
    # The k-th value that is not at `places` has as many of these before it as lie at or under k plus their own number.
    gaps = inside - np.arange(len(inside))
    others = [k + np.searchsorted(gaps, k, side="right") for k in ((outside - 1) // 2, outside // 2)]
    mine = [inside[(len(inside) - 1) // 2], inside[len(inside) // 2]]
    return float(measured[mine].mean() - measured[others].mean())


def _at_least(found: Ints, everyone: int, slow: int, n: Ints) -> Floats:
    """Chance that of `n` records, drawn blindly out of `everyone`, `found` or more are among the `slow` ones."""
    above = found * everyone >= n * slow
    upper = _tail(np.where(above, found, n - found + 1), everyone, np.where(above, slow, everyone - slow), n)
    return np.clip(np.where(above, upper, 1 - upper), 0, 1)


def _tail(found: Ints, everyone: int, marked: Ints, n: Ints) -> Floats:
    """Upper tail of the hypergeometric distribution from `found` on, which is at or above its middle.

    The first term by log-gamma, each next one from the one before; they fall, so that a few hundred are enough.
    """
    term = np.exp(_choose(marked, found) + _choose(everyone - marked, n - found) - _choose(np.asarray(everyone), n))
    total, k = term.copy(), found.astype(float)
    while (term > 1e-17 * total).any():
        term = term * np.maximum(marked - k, 0) * np.maximum(n - k, 0)
        term /= (k + 1) * np.maximum(everyone - marked - n + k + 1, 1)
        total += term
        k += 1
    return total


def _choose(of: Ints, some: Ints) -> Floats:
    """Logarithm of the binomial coefficient; -inf where there is no way."""
    possible = (some >= 0) & (some <= of)
    taken = np.where(possible, some, 0)
    ways: Floats = gammaln(of + 1.0) - gammaln(taken + 1.0) - gammaln(of - taken + 1.0)
    return np.where(possible, ways, -np.inf)


def _discoveries(chances: Floats) -> Booleans:
    """Which are significant: up to the last whose chance lies under its rank's part of 1 %."""
    order = np.sort(chances)
    passed = np.flatnonzero(order <= FALSE_DISCOVERIES * np.arange(1, len(order) + 1) / len(order))
    line = order[passed[-1]] if len(passed) else -1.0
    return np.asarray(chances <= line)


def _typed(frame: pd.DataFrame) -> pd.DataFrame:
    shares = dict.fromkeys(["share_slow", "share_all", "effect_ms", "p_value"], "float64")
    return frame.astype({"key": "str", "value": "str", "n": "int64", "significant": "bool", **shares})
