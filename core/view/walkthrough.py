"""The walk-through: six steps from traces to a forecast, each with its number, its picture and the same in Python.

The lines of a step go on from those of the steps before it, and give the frames that the pages show.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import NamedTuple

import pandas as pd

from core import queries
from core.question import Question, horizon, unit
from core.view import captions, charts, prices, sentences, text
from core.view.sentences import Crossing
from core.view.text import NBSP, Terms, amount, between, chance, count, exactly, safe, when
from core.view.vega import Spec

__all__ = ["Step", "steps"]

MOST_DOTS = 2_000
A_DAY = timedelta(hours=24)


class Step(NamedTuple):
    """One step: its name, what it says (Markdown), its lines of Python, its chart and what goes with that."""

    title: str
    says: str
    code: str
    key: str
    chart: Spec | None = None
    alt: str = ""
    legend: str = ""


def steps(question: Question, now: datetime, terms: Terms) -> list[Step]:
    """The steps on what `question` asks, which is not split here, and whose forecast is hourly before it is daily."""
    end = queries.window(question, now).end
    asked = replace(question, by=None, granularity="hourly", start=queries.window(question, now).start, end=end)
    hourly = _terms(asked, now, terms)
    history = queries.metrics(asked, now)
    return [
        _load(asked, now, hourly, history),
        _hourly(asked, hourly, history),
        _forecast(asked, now, hourly, history),
        _anomalies(asked, now, hourly, history),
        _daily(asked, now, terms),
        _price(asked, now, hourly),
    ]


def _terms(asked: Question, now: datetime, terms: Terms) -> Terms:
    return text.terms(asked, queries.threshold(asked, now), now, terms.end, terms.zone, terms.markers)


def _load(asked: Question, now: datetime, terms: Terms, history: pd.DataFrame) -> Step:
    last_day = replace(asked, start=terms.end - A_DAY)
    records = queries.points(last_day, now, MOST_DOTS)
    n, services = int(history["request_count"].sum()), len(queries.services(asked.source))
    single = replace(terms, name=f"{text.measure_noun(asked.measure)} of each trace", unit=unit(asked.measure))
    shown = queries.window(last_day, now)
    of = {name: getattr(asked, name) for name in ("source", "scope", "service", "measure", "stat")}
    plain = {name: value for name, value in of.items() if value != Question.__dataclass_fields__[name].default}
    named = ", ".join(f"{name}={value!r}" for name, value in plain.items())
    start, end = (_moment(at) for at in queries.window(asked, now))
    return Step(
        "Load",
        f"**{count(n, 'record')}** of {count(services, 'service')} are in the range. A record is a span that somebody "
        "annotated: it has a time, a latency, a result, and whatever else was noted. Below, those of the last day.",
        f"""from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pandas as pd

from core.analysis import anomalies, crossing, forecast, metrics
from core.question import Question, Window
from core.store import Store

store = Store(Path("tracecast.duckdb"))  # a copy of the store's file, made while Tracecast is stopped
question = Question({named})
window = Window({start}, {end})


def ask(statement):
    return store.query(statement.sql, statement.params)


records = ask(metrics.records(question, window))""",
        "load",
        charts.dots(single, records, shown, value="value", height=200),
        captions.alt_dots(single, records, shown, value="value"),
        captions.legend(["record", *(["failed"] if records["failed"].any() else []), "threshold"], single, shown),
    )


def _hourly(asked: Question, terms: Terms, history: pd.DataFrame) -> Step:
    column = queries.column(asked)
    complete = history[history["complete"]]
    gaps = int((complete["request_count"] == 0).sum())
    known = complete.dropna(subset=[column])
    last = ""
    if len(known):
        row = known.iloc[-1]
        last = f" The last complete one, {when(row['bucket'], terms)}, had **{amount(row[column], terms.unit)}**."
    return Step(
        "Hourly metrics",
        f"The records become **{count(len(complete), 'hour')}**, {count(gaps)} of them without any: a gap stays a gap."
        f"{last}",
        """first = store.sources().set_index("source").loc[question.source, "oldest"]
hourly = ask(metrics.buckets(question, window, first))""",
        "hours",
        charts.latency_under_price(terms, history, queries.window(asked, terms.now), value=column),
        captions.alt_latency_under_price(terms, history, queries.window(asked, terms.now), value=column),
    )


def _forecast(asked: Question, now: datetime, terms: Terms, history: pd.DataFrame) -> Step:
    column, ready = queries.column(asked), queries.readiness(asked, now)
    ahead, first = queries.forecast(asked, now), Crossing.read(queries.crossings(asked, now).iloc[0])
    line = exactly(terms.threshold, terms.unit)
    if first.probability is None:
        hours = count(ready.observed_hours, "hour")
        known = "is known" if ready.observed_hours == 1 else "are known"
        says = f"**{hours}** with traces {known}, and 48 are needed to say how likely {line} is crossed."
    else:
        says = f"**{chance(first.probability)}** likely to cross {line} within {terms.horizon}{NBSP}h"
        if first.earliest and first.latest:
            says += f", first between {' and '.join(between(first.earliest, first.latest, terms))}"
        says += (
            ". The model is fitted once, to the 60 days before; a threshold only asks it anew. "
            f"8 in 10 first crossings fall between those times, and the {terms.interval}{NBSP}% interval says how far "
            "an hour may be off."
        )
    kept = f"\nhistory = metrics.left_out(history, {_ranges(asked)})" if asked.exclude else ""
    h, over = horizon(asked), repr(terms.threshold)
    return Step(
        "Forecast",
        says,
        f"""history = ask(metrics.history(question, window.end)){kept}
model = forecast.fit(history, "hourly", window.end, stat=question.stat)
ahead = forecast.predict(model, {h}, interval={terms.interval})
ahead["p_above"] = crossing.exceedance(model, {h}, {over})["p_above"]
crossing.first_crossing(model, {h}, {over})""",
        "ahead",
        charts.main(terms, history, ahead, first, value=column, height=260),
        captions.alt_main(terms, history, ahead, first, value=column),
        captions.legend(
            captions.main_parts(terms, history, ahead, first, value=column), terms, charts.shown(terms, history, ahead)
        ),
    )


def _anomalies(asked: Question, now: datetime, terms: Terms, history: pd.DataFrame) -> Step:
    column, ahead, found = queries.column(asked), queries.forecast(asked, now), queries.anomalies(asked, now)
    predicted = int(found["kind"].eq("predicted").sum())
    said = sentences.ahead_and_behind(predicted, len(found) - predicted, "the range")
    over = repr(terms.threshold)
    kept = f"\npast = metrics.left_out(past, {_ranges(asked)})" if asked.exclude else ""
    return Step(
        "Anomalies",
        f"**{said}**. Ahead: hours above the line with a chance over {chance(asked.p)}. Behind: hours that were "
        "above it, and hours far from both what the midnight before expected and the week before.",
        f"""since = max(window.start, window.end - timedelta(days=60))
past = ask(metrics.history(question, window.end, window.end - since + timedelta(days=61))){kept}
observed = hourly[hourly["complete"]].rename(columns={{metrics.stat_column(question): "value"}})[["bucket", "value"]]
days = [pd.DataFrame(columns=["bucket", "expected", "lower", "upper", "strangeness"])]
for midnight in pd.date_range(since.date(), window.end, freq="D", inclusive="left"):
    before = forecast.fit(past[past["ds"] < midnight], "hourly", midnight, stat=question.stat)
    day = anomalies.day_ahead(before, {terms.interval})
    came = day[["bucket"]].merge(observed, how="left")["value"].to_numpy(float)
    days.append(day.assign(strangeness=anomalies.strangeness(before, came)))
judged = observed.merge(pd.concat([day for day in days if len(day)] or days), how="left")
hour = timedelta(hours=1)
found = pd.concat(
    [
        anomalies.predicted(ahead, {over}, {asked.p!r}, hour),
        anomalies.observed_unusual(judged, "hourly"),
        anomalies.observed_threshold(judged, {over}, hour),
    ]
)""",
        "found",
        charts.anomalies(terms, history, ahead, found, value=column, height=240),
        captions.alt_anomalies(terms, history, ahead, found, value=column),
        captions.legend(captions.anomaly_parts(ahead, found), terms),
    )


def _daily(asked: Question, now: datetime, terms: Terms) -> Step:
    of_days = replace(asked, granularity="daily", horizon=None)
    shown = _terms(of_days, now, terms)
    column, history, ahead = queries.column(of_days), queries.metrics(of_days, now), queries.forecast(of_days, now)
    first = Crossing.read(queries.crossings(of_days, now).iloc[0])
    known = ahead.dropna(subset=["yhat"])
    if known.empty:
        says = "No forecast of days yet: it needs the same 24 hours with traces, up to the last midnight (UTC)."
    else:
        top = known.loc[known["yhat"].idxmax()]
        says = (
            f"Of the next {count(len(ahead), 'day')} the highest is **{when(top['ds'], shown, granularity='daily')}** "
            f"with **{amount(top['yhat'], shown.unit)}**. A day is from midnight to midnight UTC, made of its hours."
        )
    h = horizon(of_days)
    return Step(
        "Daily",
        says,
        f"""of_days = replace(question, granularity="daily")
daily = ask(metrics.buckets(of_days, window, first))
by_day = forecast.fit(history, "daily", window.end, stat=question.stat)
week = forecast.predict(by_day, {h}, interval={terms.interval})""",
        "days",
        charts.main(shown, history, ahead, first, value=column, height=220),
        captions.alt_main(shown, history, ahead, first, value=column),
    )


def _price(asked: Question, now: datetime, terms: Terms) -> Step:
    told, window = prices.told(asked, now), queries.window(asked, now)
    code = "prices = ask(metrics.prices(window))"
    if told.frame.empty:
        return Step("Price", "No price yet: the price pipeline fetches one a minute once it runs.", code, "price")
    said = sentences.price(float(told.frame["price_usd"].iloc[-1]), told.before)
    if told.exchange is None:
        who = "as the annotation price_usd of the traces says, since none was fetched"
        code = f'prices = hourly[["bucket", "price_usd_avg"]].dropna()  # {code} once some were fetched'
    else:
        who = f"fetched from {safe(told.exchange.capitalize())}"
    return Step(
        "Price",
        f"**{said}**: {who}. The example pipeline traces each fetch, so its latency and the price share one time axis.",
        code,
        "price",
        charts.price(terms, told.frame, told.flagged, window),
        captions.alt_price(terms, told.frame, window),
    )


def _moment(at: datetime) -> str:
    parts = [at.year, at.month, at.day, at.hour, at.minute, at.second, at.microsecond]
    while len(parts) > 3 and not parts[-1]:
        parts.pop()
    return f"datetime({', '.join(map(str, parts))})"


def _ranges(asked: Question) -> str:
    return f"[{', '.join(f'({_moment(start)}, {_moment(end)})' for start, end in asked.exclude)}]"
