"""One function per question, for pages and routes alike; each cached by what its answer depends on.

Aggregates depend on the question, the window and the version of the source, forecasts on the content of their
history: so a moved threshold recomputes neither, and a span that was just stored is seen. `now` is naive UTC and read
once per request, by the caller.
"""

import functools
import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, cast

import numpy as np
import pandas as pd
import streamlit as st

from core import activity, backtests, replays, settings, store, workers
from core import question as asking
from core.analysis import anomalies as found
from core.analysis import cost as costing
from core.analysis import crossing
from core.analysis import forecast as forecasting
from core.analysis import metrics as statements
from core.analysis.accuracy import Held
from core.analysis.accuracy import held as held_of
from core.analysis.backtest import SEASON, Said, outcomes
from core.analysis.cost import Cost
from core.analysis.hours import Floats
from core.analysis.model import Model
from core.analysis.usual import crossed_share
from core.analysis.usual import usual as usual_value
from core.backtests import Backtest, Reliability
from core.errors import NotFound
from core.question import Question, Window, bucket_start, bucket_width, unit

__all__ = [
    "Backtest",
    "Cost",
    "Held",
    "Reliability",
    "accuracy",
    "annotation_keys",
    "anomalies",
    "backtest",
    "column",
    "cost",
    "crossings",
    "flagged",
    "forecast",
    "groups",
    "held",
    "left_out",
    "metrics",
    "points",
    "price",
    "price_correlation",
    "reach",
    "readiness",
    "record_chunks",
    "records",
    "reliability",
    "services",
    "sources",
    "status",
    "threshold",
    "trace",
    "usual",
    "usual_crossing",
    "version",
    "window",
]

UNUSUAL_REACH = timedelta(days=60)  # a refit for each day: what is unusual is looked for this far back
HELD_OVER = timedelta(days=14)
REFIT_GROUPS = 12  # the largest ones, where each takes dozens of fits
DEFAULT_THRESHOLD = {"ms": 150.0, "share": 0.05}

# The routes bring the caches up before Streamlit's runtime is there; in memory they are either way.
logging.getLogger("streamlit.runtime.caching.cache_data_api").setLevel(logging.ERROR)

_READ_ALOUD: dict[str | type[Any], Callable[[Any], Any]] = {Question: repr}  # ten times quicker for a key than to walk its fields
_Key = tuple[str, str, str, datetime]  # digest of a history, granularity, stat, end: what a model depends on


def sources() -> pd.DataFrame:
    """What is stored: `source`, `rows`, `oldest`, `newest` (start of its first and last span, naive UTC)."""
    return store.current().sources()


def reach(source: str) -> tuple[datetime | None, datetime | None]:
    """Start of the first and of the last span of `source`; None and None without any."""
    stored = store.current()
    return _reach(stored, source, stored.version(source))


def version(source: str) -> int:
    """A number that grows with each change of `source`; `prices` is that of the price history."""
    return store.current().version(source)


def window(question: Question, now: datetime) -> Window:
    """The stretch of time that `question` asks for."""
    oldest, newest = reach(question.source)
    return asking.window(question, now, oldest, newest)


def metrics(question: Question, now: datetime) -> pd.DataFrame:
    """The buckets of the window; columns as `analysis.metrics.buckets` says."""
    asked = window(question, now)
    first, _ = reach(question.source)
    return _metrics(
        _about(question),
        bucket_start(asked.start, question.granularity),
        asked.end if question.end else bucket_start(asked.end, question.granularity),
        first,
        store.current().version(question.source),
        asked.end,
    )


def column(question: Question) -> str:
    """The column of `metrics` that holds what `question` asks for."""
    return statements.stat_column(question)


def usual(question: Question, columns: Sequence[str], now: datetime) -> dict[str, float | None]:
    """What is usual at the hour of the last complete bucket, over the 14 days before it: for each of `columns` (of
    `metrics`) the median. Empty when there is no complete bucket.
    """
    about = replace(_about(question), by=None)
    return _usual(about, tuple(columns), _fit_end(question, now), _version(question))


def usual_crossing(question: Question, now: datetime) -> float | None:
    """How often the threshold was crossed within as many buckets as the horizon has, over 60 days; None if unknown."""
    seen = metrics(_back(question, now, statements.HISTORY), now)
    values = seen.loc[seen["complete"], column(question)].astype(float)
    return crossed_share(values, asking.horizon(question), threshold(question, now))


def threshold(question: Question, now: datetime) -> float:
    """The threshold in the stat's unit: as asked, else 150 ms, 5 %, or the 95th percentile of the history."""
    if question.threshold is not None:
        return question.threshold
    fixed = DEFAULT_THRESHOLD.get(unit(question.measure, question.stat))
    if fixed is not None:
        return fixed
    values = _history(_about(question), _fit_end(question, now), statements.HISTORY, _version(question))
    if question.granularity == "daily" and not values.empty:
        how = "sum" if question.stat in ("count", "volume") else "mean"
        values = values.groupby(["group", values["ds"].dt.floor("D")], dropna=False)["y"].agg(how).reset_index()
    high = values["y"].quantile(0.95)
    return float(f"{high:.2g}") if high > 0 else 1.0


def readiness(question: Question, now: datetime) -> forecasting.Readiness:
    """How much history the forecast has, and what it lacks; with `by` that of the largest group."""
    (_, history), *_rest = _histories(question, _fit_end(question, now))
    return forecasting.readiness(history, window(question, now).end, question.granularity, stat=question.stat)


def forecast(question: Question, now: datetime) -> pd.DataFrame:
    """`source, measure, unit`[`, group`]`, ds, yhat, yhat_lower, yhat_upper, interval, threshold, p_above`.

    Exactly the horizon's number of rows a group, none under 24 observed hours; `ds` naive UTC, values in the stat's
    unit, `p_above` 0 to 1.
    """
    return _forecast(_ahead(question), threshold(question, now), _fit_end(question, now), _version(question))


def crossings(question: Question, now: datetime) -> pd.DataFrame:
    """When the threshold is first crossed, one row a group.

    `source, measure, unit`[`, group`]`, threshold, horizon, probability, earliest, median, latest` (naive UTC).
    """
    return _crossings(_ahead(question), threshold(question, now), _fit_end(question, now), _version(question))


def anomalies(question: Question, now: datetime) -> pd.DataFrame:
    """What should not be, ahead (`predicted`) and in the window.

    `source, measure, unit`[`, group`]`, kind, start, end, value, expected, lower, upper, threshold, probability`.

    Unusual buckets are looked for in the last 60 days of the window, and with `by` in the 12 largest groups.
    """
    width = bucket_width(question.granularity)
    line = threshold(question, now)
    ahead = forecast(question, now)
    seen = _observed(question, now)
    start, end = bucket_start(window(question, now).start, question.granularity), _fit_end(question, now)
    judged = _judged(replace(_ahead(question), horizon=None), start, end, _version(question))
    frames = []
    for group, _ in _histories(question, end):
        parts = [found.predicted(_of_group(ahead, group), line, question.p, width)]
        observed = _of_group(seen, group)[["bucket", "value"]]
        if group in judged:
            observed = observed.merge(judged[group], on="bucket", how="left")
            parts += [found.observed_unusual(observed, question.granularity)]
        parts += [found.observed_threshold(observed, line, width)]
        frames.append(pd.concat(parts, ignore_index=True).assign(group=group))
    return _table(question, pd.concat(frames, ignore_index=True))


def backtest(question: Question, now: datetime, group: str | None = None) -> Backtest:
    """The forecasts of the last 28 midnights, as far as they are replayed: the first question begins that, and it goes
    on in the background. With `by` those of `group`.
    """
    return backtests.backtest(_backtest(_ahead(question), group, _fit_end(question, now)))


def accuracy(question: Question, now: datetime) -> pd.DataFrame:
    """`source, measure, unit`[`, group`]`, model, horizon, n, mase, wis, coverage_80, coverage_95`, the latter as
    `analysis.accuracy.by_horizon` says; no rows where no day of the history can be replayed.

    Waits until all are. With `by` those of the 12 largest groups.
    """
    asked, end = _ahead(question), _fit_end(question, now)
    plans = {group: _backtest(asked, group, end) for group, _ in _histories(asked, end)[:REFIT_GROUPS]}
    for plan in plans.values():
        backtests.backtest(plan)  # all of them begin before the first is waited for
    tables = [backtests.accuracy(plan).assign(group=group) for group, plan in plans.items()]
    return _table(question, pd.concat(tables, ignore_index=True))


def reliability(question: Question, now: datetime, group: str | None = None) -> Reliability:
    """Whether the chances of a crossing that those forecasts said came true, as soon as they are there."""
    plan = _backtest(_ahead(question), group, _fit_end(question, now))
    return backtests.reliability(plan, threshold(question, now), question.p)


def held(question: Question, now: datetime, group: str | None = None) -> Held | None:
    """How forecasts a day ahead, the ones by which anomalies are found, did over the last 14 days.

    None as long as that is not known: the workers are at it, or there was no interval. With `by` those of `group`.
    """
    about = replace(_ahead(question), horizon=None), group, _fit_end(question, now), _version(question)
    plan, before = _last_days(*about)
    answers = replays.fits(plan)
    if not all(answer.done() and not answer.exception() for answer in answers):
        return None
    return _held(*about, plan, before, [answer.result() for answer in answers])


def cost(question: Question, now: datetime, group: str | None = None) -> Cost | None:
    """What thresholds would have cost over the last 14 days, warning at a chance above `p`, by the forecasts of
    `held`; waits until these are there. None where they said nothing. With `by` those of `group`.
    """
    asked, end = replace(_ahead(question), horizon=None), _fit_end(question, now)
    plan, _ = _last_days(asked, group, end, _version(question))
    if not plan.origins:
        return None
    days = [
        (cast(Model, answer.result().fitted), origin.came)
        for answer, origin in zip(replays.fits(plan), plan.origins, strict=True)
    ]
    content = tuple((_key(asked, origin), origin.came.tobytes()) for origin in plan.origins)
    tried = tuple(costing.lines(np.concatenate([came for _, came in days])))
    many, own = (_said(content, lines, days) for lines in (tried, (threshold(question, now),)))
    return costing.cost(many, own, question.p, end - HELD_OVER)


def records(question: Question, now: datetime, limit: int) -> pd.DataFrame:
    """The newest `limit` records of the window, oldest first; columns as `analysis.metrics.records`."""
    return _run(statements.records(question, window(question, now), limit))


def points(question: Question, now: datetime, limit: int) -> pd.DataFrame:
    """The newest `limit` records of the window, each as a dot: columns as `analysis.metrics.points`."""
    return _run(statements.points(question, window(question, now), limit))


def record_chunks(question: Question, now: datetime) -> Iterator[pd.DataFrame]:
    """All records of the window in frames of some 50,000, oldest first; one empty frame where there is none."""
    statement = statements.records(question, window(question, now))
    return store.current().chunks(statement.sql, statement.params)


def price(question: Question, now: datetime) -> pd.DataFrame:
    """The price history of the window: `source, measure, unit, time, price_usd, exchange, kind`; oldest first."""
    frame = _run(statements.prices(window(question, now)))
    for position, (name, value) in enumerate([("source", "live"), ("measure", "price_usd"), ("unit", "USD")]):
        frame.insert(position, name, value)
    return frame


def flagged(question: Question, now: datetime) -> pd.DataFrame:
    """Where the price stood out in the window, by its own history: columns as `analysis.metrics.flagged`."""
    return _run(statements.flagged(question, window(question, now), ("high", "extreme")))


def price_correlation(question: Question, prices: pd.DataFrame, now: datetime) -> float | None:
    """Pearson's r between what `question` asks for and the mean price of its buckets; None under 24 of them.

    `prices`: `time` (naive UTC), `price_usd`.
    """
    seen = metrics(replace(question, by=None), now)
    seen = seen[seen["complete"]].set_index("bucket")[column(question)]
    buckets = prices["time"].dt.floor("h" if question.granularity == "hourly" else "D")
    means = prices.groupby(buckets)["price_usd"].mean()
    both = pd.concat([seen, means], axis=1, join="inner").dropna()
    if len(both) < 24 or both.nunique().min() < 2:
        return None
    return float(both.iloc[:, 0].corr(both.iloc[:, 1]))


def groups(question: Question, key: str, now: datetime) -> pd.DataFrame:
    """The window's records by the value of `key`: columns as `analysis.metrics.groups`."""
    return _run(statements.groups(question, key, window(question, now)))


def left_out(question: Question, now: datetime) -> int:
    """How many groups are not forecast, because others are larger."""
    if question.by is None:
        return 0
    return max(_group_count(_about(question), _fit_end(question, now), _version(question)) - statements.MAX_GROUPS, 0)


def services(source: str) -> list[str]:
    """Names of the services of `source`."""
    return _services(source, version(source))


def annotation_keys(source: str) -> pd.DataFrame:
    """The annotation keys of the week before the source's newest span: `key`, `numeric`."""
    return _annotation_keys(source, version(source))


def trace(trace_id: str, source: str | None = None) -> pd.DataFrame:
    """The spans of a trace (canonical id), of every source unless one is named. Raises `NotFound`."""
    frame = store.current().trace(trace_id, source)
    if frame.empty:
        raise NotFound("No span of this trace is stored.")
    return frame


def status() -> dict[str, Any]:
    """What is stored and what is going on: `sources`, and the state of `activity`."""
    return {"sources": sources(), "settings": settings.current(), **activity.snapshot()}


def _about(question: Question) -> Question:
    """The part of `question` that aggregates depend on; all else at its default."""
    kept = ("source", "scope", "service", "measure", "stat", "by", "granularity")
    return Question(**{name: getattr(question, name) for name in kept})


def _ahead(question: Question) -> Question:
    """The part of `question` that forecasts depend on besides its threshold."""
    return replace(
        _about(question), exclude=question.exclude, horizon=asking.horizon(question), interval=question.interval
    )


def _back(question: Question, now: datetime, reach: timedelta) -> Question:
    """`question` without a split, from the `reach` before its end on, whatever its range."""
    return replace(question, start=window(question, now).end - reach, by=None)


def _version(question: Question) -> int:
    return store.current().version(question.source)


@functools.lru_cache(maxsize=64)  # asked for many times a page, and nobody can change what it answers
def _reach(stored: store.Store, source: str, version: int) -> tuple[datetime | None, datetime | None]:
    held = stored.sources()
    row = held[held["source"] == source]
    if row.empty:
        return None, None
    return row["oldest"].iloc[0].to_pydatetime(), row["newest"].iloc[0].to_pydatetime()


@st.cache_data(max_entries=64, show_spinner=False)
def _services(source: str, version: int) -> list[str]:
    return cast(list[str], _run(statements.services(source))["service"].to_list())


@st.cache_data(max_entries=64, show_spinner=False)
def _annotation_keys(source: str, version: int) -> pd.DataFrame:
    _, newest = reach(source)
    since = (newest or datetime(1970, 1, 8)) - timedelta(days=7)
    return _run(statements.annotation_keys(source, since))


def _run(statement: statements.Statement) -> pd.DataFrame:
    return store.current().query(statement.sql, statement.params)


@st.cache_data(max_entries=256, show_spinner=False, hash_funcs=_READ_ALOUD)
def _metrics(
    question: Question, start: datetime, until: datetime, first: datetime | None, version: int, _end: datetime
) -> pd.DataFrame:
    """`until` stands for `_end` in the key: within a bucket, only what was stored since can change the answer."""
    nothing_stored = _end + timedelta(days=2)
    return _run(statements.buckets(question, Window(start, _end), first or nothing_stored))


@st.cache_data(max_entries=128, show_spinner=False, hash_funcs=_READ_ALOUD)
def _history(question: Question, end: datetime, reach: timedelta, version: int) -> pd.DataFrame:
    return _run(statements.history(question, end, reach))


@st.cache_data(max_entries=64, show_spinner=False, hash_funcs=_READ_ALOUD)
def _group_count(question: Question, end: datetime, version: int) -> int:
    return int(_run(statements.group_count(question, end))["groups"].iloc[0])


@st.cache_data(max_entries=128, show_spinner=False, hash_funcs=_READ_ALOUD)
def _usual(question: Question, columns: tuple[str, ...], end: datetime, version: int) -> dict[str, float | None]:
    recent = metrics(replace(question, start=end - timedelta(days=14), end=end), end)
    complete = recent[recent["complete"]]
    if complete.empty:
        return {}
    last = complete["bucket"].iloc[-1]
    return {column: usual_value(recent, column, last, question.granularity) for column in columns}


def _fit_end(question: Question, now: datetime) -> datetime:
    """End of the last complete bucket: what comes after it is not known to the forecast."""
    return bucket_start(window(question, now).end, question.granularity)


def _histories(
    question: Question, end: datetime, reach: timedelta = statements.HISTORY
) -> list[tuple[str | None, pd.DataFrame]]:
    """Group and its history (`ds`, `y`) up to `end`, largest group first; one pair without `by`, perhaps empty."""
    return _split(_about(question), question.exclude, end, reach, _version(question))


@st.cache_resource(max_entries=128, show_spinner=False, hash_funcs=_READ_ALOUD)  # a copy for each reader is 1 ms
def _split(
    question: Question, exclude: tuple[tuple[datetime, datetime], ...], end: datetime, reach: timedelta, version: int
) -> list[tuple[str | None, pd.DataFrame]]:
    frame = statements.left_out(_history(question, end, reach, version), exclude)
    if question.by is None:
        return [(None, frame[["ds", "y"]])]
    parts = [(_name(group), part[["ds", "y"]]) for group, part in frame.groupby("group", dropna=False, sort=False)]
    return parts or [(None, frame[["ds", "y"]])]


def _history_of(question: Question, group: str | None, end: datetime, reach: timedelta) -> pd.DataFrame:
    """That of one group, empty where it has none; without `by` that of all."""
    histories = dict(_histories(question, end, reach))
    return histories.get(group, next(iter(histories.values())).head(0))


def _name(group: object) -> str | None:
    return None if pd.isna(group) else str(group)


def _of_group(frame: pd.DataFrame, group: str | None) -> pd.DataFrame:
    if "group" not in frame:
        return frame
    return frame[frame["group"].isna() if group is None else frame["group"] == group]


@st.cache_data(max_entries=128, show_spinner=False, hash_funcs=_READ_ALOUD)
def _forecast(asked: Question, line: float, end: datetime, version: int) -> pd.DataFrame:
    frames = []
    for group, key, model in _models(asked, end):
        chances = crossing.exceedance(model, asking.horizon(asked), line)
        frame = _predicted(key, asking.horizon(asked), asked.interval, model)
        frame = frame.assign(interval=asked.interval, threshold=line, p_above=chances["p_above"].to_numpy())
        frames.append(frame.assign(group=group))
    return _table(asked, pd.concat(frames, ignore_index=True))


@st.cache_data(max_entries=128, show_spinner=False, hash_funcs=_READ_ALOUD)
def _crossings(asked: Question, line: float, end: datetime, version: int) -> pd.DataFrame:
    rows = []
    for group, _, model in _models(asked, end):
        first = crossing.first_crossing(model, asking.horizon(asked), line)
        rows.append((group, first.probability, first.earliest, first.median, first.latest))
    frame = pd.DataFrame(rows, columns=["group", "probability", "earliest", "median", "latest"])
    times = {name: pd.to_datetime(frame[name]).astype("M8[us]") for name in ("earliest", "median", "latest")}
    frame = frame.assign(probability=frame["probability"].astype(float), **times)
    frame.insert(1, "threshold", line)
    frame.insert(2, "horizon", asking.horizon(asked))
    return _table(asked, frame)


def _models(question: Question, end: datetime) -> Iterator[tuple[str | None, _Key, forecasting.Model]]:
    """For each group its model, and the content that the model is of; all are at work before the first is there."""
    histories = _histories(question, end)
    keys = [(replays.digest(history), question.granularity, question.stat, end) for _, history in histories]
    many = len(histories) > 1
    fits = [_asked(key, history, many) for key, (_, history) in zip(keys, histories, strict=True)]
    for (group, _), key, answer in zip(histories, keys, fits, strict=True):
        yield group, key, answer.result()


def _asked(key: _Key, history: pd.DataFrame, many: bool) -> Future[forecasting.Model]:
    """A fit, tried again if it failed before."""
    answer = _fit(key, history, many)
    if not (answer.done() and answer.exception()):
        return answer
    _fit.clear(key, history, many)
    return _fit(key, history, many)


@st.cache_resource(max_entries=512, show_spinner=False)
def _fit(key: _Key, _history: pd.DataFrame, _many: bool) -> Future[forecasting.Model]:
    """By a worker where there are many; a single one is sooner there if it is made here."""
    _, granularity, stat, end = key
    fit = functools.partial(forecasting.fit, stat=stat)
    if _many:
        return workers.submit(fit, _history, granularity, end)
    made: Future[forecasting.Model] = Future()
    made.set_result(fit(_history, granularity, end))
    return made


@st.cache_data(max_entries=512, show_spinner=False)
def _predicted(key: _Key, ahead: int, interval: int, _model: forecasting.Model) -> pd.DataFrame:
    return forecasting.predict(_model, ahead, interval)


def _observed(question: Question, now: datetime) -> pd.DataFrame:
    """The complete buckets of the window, with what is asked for as `value`."""
    seen = metrics(question, now)
    return seen[seen["complete"]].rename(columns={column(question): "value"})


@st.cache_data(max_entries=32, show_spinner=False, hash_funcs=_READ_ALOUD)
def _judged(asked: Question, start: datetime, end: datetime, version: int) -> dict[str | None, pd.DataFrame]:
    """For each of the largest groups what the midnight before expected of each bucket, and how strange it was:
    `bucket, expected, lower, upper, strangeness`.
    """
    since = max(bucket_start(start, "daily"), bucket_start(end, "daily") - UNUSUAL_REACH)
    midnights = pd.date_range(since, end, freq="D", inclusive="left", unit="us")
    judged = {}
    for group, history in _histories(asked, end, end - since + statements.HISTORY)[:REFIT_GROUPS]:
        plan = _days(asked, history, midnights)
        answers = [answer.result() for answer in replays.fits(plan)]
        days = [
            expected.assign(strangeness=_strangeness(_key(asked, origin), origin.came, cast(Model, answer.fitted)))
            for expected, origin, answer in zip(_expected(asked, plan, answers), plan.origins, answers, strict=True)
        ]
        if days:
            judged[group] = pd.concat(days, ignore_index=True)
    return judged


def _days(asked: Question, history: pd.DataFrame, midnights: pd.DatetimeIndex) -> replays.Plan:
    """The forecasts of each of `midnights` for the day after it."""
    cutoffs = [midnight.to_pydatetime() for midnight in midnights]
    return replays.plan(history, asked.granularity, asked.stat, cutoffs, found.DAY_AHEAD_BUCKETS[asked.granularity])


def _expected(asked: Question, plan: replays.Plan, answers: list[Said]) -> list[pd.DataFrame]:
    """What each midnight of `plan` expected of its day: `bucket`, `expected`, `lower`, `upper`; perhaps no rows."""
    return [
        _day_ahead(_key(asked, origin), asked.interval, cast(Model, answer.fitted))
        for origin, answer in zip(plan.origins, answers, strict=True)
    ]


def _key(asked: Question, origin: replays.Origin) -> _Key:
    return origin.content, asked.granularity, asked.stat, origin.cutoff


@st.cache_data(max_entries=4096, show_spinner=False)
def _day_ahead(key: _Key, interval: int, _fitted: forecasting.Model) -> pd.DataFrame:
    return found.day_ahead(_fitted, interval)


@st.cache_data(max_entries=4096, show_spinner=False)
def _strangeness(key: _Key, came: Floats, _fitted: forecasting.Model) -> Floats:
    return found.strangeness(_fitted, came)


@st.cache_resource(max_entries=64, show_spinner=False, hash_funcs=_READ_ALOUD)
def _last_days(asked: Question, group: str | None, end: datetime, version: int) -> tuple[replays.Plan, list[Floats]]:
    """The midnights whose days fall into the last 14, and for each what came a season before its day."""
    since = bucket_start(end - HELD_OVER, "daily")
    season = SEASON[asked.granularity] * bucket_width(asked.granularity)
    history = _history_of(asked, group, end, end - since + statements.HISTORY + season)
    midnights = pd.date_range(since, end, freq="D", inclusive="left", unit="us")
    plan = _days(asked, history, midnights[midnights > history["ds"].min()])
    return plan, [
        outcomes(history, plan.granularity, origin.cutoff - season, plan.horizon, plan.stat) for origin in plan.origins
    ]


@st.cache_data(max_entries=64, show_spinner=False, hash_funcs=_READ_ALOUD)
def _held(
    asked: Question,
    group: str | None,
    end: datetime,
    version: int,
    _plan: replays.Plan,
    _before: list[Floats],
    _answers: list[Said],
) -> Held | None:
    days = [
        expected.assign(came=origin.came, before=before)
        for expected, origin, before in zip(_expected(asked, _plan, _answers), _plan.origins, _before, strict=True)
        if len(expected)
    ]
    if not days:
        return None
    record = pd.concat(days, ignore_index=True)
    return held_of(record[record["bucket"] >= end - HELD_OVER])


@st.cache_data(max_entries=256, show_spinner=False)
def _said(
    content: tuple[tuple[_Key, bytes], ...], lines: tuple[float, ...], _days: list[tuple[Model, Floats]]
) -> costing.Chances:
    """What the midnights of `content`, each with what came after it, said of `lines`: up to some 170 kB."""
    return costing.chances(_days, lines)


def _backtest(asked: Question, group: str | None, end: datetime) -> backtests.Plan:
    ahead = asking.horizon(asked)
    history = _history_of(asked, group, end, backtests.reach(asked.granularity, ahead))
    return backtests.plan(history, asked.granularity, asked.stat, end, ahead)


def _table(question: Question, frame: pd.DataFrame) -> pd.DataFrame:
    """`frame` behind the columns that every table begins with; its `group` among them only when `by` is set."""
    head = {
        "source": question.source,
        "measure": question.measure,
        "unit": unit(question.measure, question.stat),
        **({"group": frame["group"]} if question.by else {}),
    }
    return pd.DataFrame(head | {name: frame[name] for name in frame if name != "group"}, index=frame.index)
