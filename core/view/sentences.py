"""The answer in words, one function per state: the title, the line that adds to it, the small print."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

import pandas as pd

from core.question import Question
from core.view.text import (
    NBSP,
    Terms,
    amount,
    between,
    chance,
    count,
    date,
    exactly,
    local,
    per_cent,
    safe,
    when,
    zone_name,
)

__all__ = [
    "Crossing",
    "Readiness",
    "Sentence",
    "above",
    "above_since",
    "ahead_and_behind",
    "answer",
    "correlation",
    "first_group",
    "ignored",
    "no_forecast",
    "no_spans",
    "not_expected",
    "nothing_in_range",
    "own_fault",
    "price",
    "provisional",
    "received",
    "repeating",
    "repeating_was_better",
    "shares_only",
    "small_print",
    "so_far",
    "stopped",
    "subject",
    "the_last",
    "time",
    "usual",
    "will_cross",
]

CERTAIN, LIKELY, POSSIBLE = 90, 50, 10  # per cent, of a chance as it is shown
# On real series the interval of 95 % held 79 % of such days, with two weeks of history 96 % (benchmarks/forecast.py).
PROVISIONAL_DAYS = "Days after the first are provisional: their intervals need two weeks of history."


class Sentence(NamedTuple):
    """What a page says first. All three are Markdown, with no line breaks."""

    title: str
    ink: str
    grey: str = ""

    @property
    def line(self) -> str:
        """Ink and grey small print as the one line under the title."""
        return " ".join(part for part in (self.ink, f":gray[{self.grey}]" if self.grey else "") if part)


class Crossing(NamedTuple):
    """When the threshold is first passed within the horizon; times are starts of buckets, naive UTC."""

    probability: float | None = None  # 0 to 1; the rest is None where nothing can be said
    earliest: datetime | None = None
    median: datetime | None = None
    latest: datetime | None = None

    @classmethod
    def read(cls, row: pd.Series) -> "Crossing":
        """From a row with these columns, nulls as None; `Crossing.read(crossings.iloc[0])`.

        Of a crossing that is not expected the hours are left out, so that charts and cards say what the sentence says.
        """
        crossing = cls(*(None if pd.isna(row[name]) else row[name] for name in cls._fields))
        return crossing if crossing.expected else crossing.at_no_time

    @property
    def expected(self) -> bool:
        """Whether its chance, as it is shown, is worth saying when it would be."""
        return self.probability is not None and round(100 * self.probability) >= POSSIBLE

    @property
    def at_no_time(self) -> "Crossing":
        """Its probability alone."""
        return Crossing(self.probability)


class Readiness(Protocol):
    """How much history a forecast has; what `queries.readiness` answers with."""

    @property
    def observed_hours(self) -> int: ...
    @property
    def stage(self) -> str: ...
    @property
    def intermittent(self) -> bool: ...
    @property
    def stopped_since(self) -> datetime | None: ...
    @property
    def ready_at(self) -> datetime | None: ...


# The states of the forecast


def answer(
    terms: Terms,
    readiness: Readiness,
    crossing: Crossing,
    history: pd.DataFrame,
    forecast: pd.DataFrame,
    *,
    value: str,
    first: datetime,
    grey: str = "",
) -> Sentence:
    """The sentence of Overview and Forecast, whatever state the source is in; for a source that has spans.

    `history`: `bucket, complete` and the column named `value`; `forecast`: `ds, yhat, p_above`, both ordered, of one
    group. `first`: start of the source's first span. `grey`: what `small_print` says.
    """
    if readiness.stopped_since is not None:
        return stopped(terms, readiness.stopped_since, readiness.observed_hours, grey)
    if readiness.stage == "none":
        return no_forecast(terms, readiness.observed_hours, readiness.ready_at, first, grey)
    if readiness.intermittent:
        return shares_only(terms, forecast, grey)
    if readiness.stage == "point":
        return provisional(terms, forecast, readiness.observed_hours, readiness.ready_at, grey)
    if readiness.stage == "short":
        lead = f"Short history, no weekly cycle yet: {count(readiness.observed_hours // 24, 'day')} of 7."
    elif readiness.stage == "no_week":
        lead = ""
        grey = f"{grey} No weekly cycle yet: {count(readiness.observed_hours // 24, 'day')} of 14.".strip()
    else:
        lead = ""
    if terms.granularity == "daily" and terms.horizon > 1 and readiness.stage in ("short", "no_week"):
        lead = f"{lead} {PROVISIONAL_DAYS}".strip()
    since = above_since(history, value, terms.threshold)
    if since is not None:
        sentence = above(terms, since, _first_below(forecast), grey)
    elif crossing.expected:
        sentence = will_cross(terms, crossing, grey)
    else:
        sentence = not_expected(terms, crossing.probability, forecast, grey)
    return sentence._replace(title=_as_said(terms, sentence.title), ink=f"{sentence.ink} {lead}".strip())


def will_cross(terms: Terms, crossing: Crossing, grey: str = "") -> Sentence:
    """10 % and more: how likely by when, and between which hours it would first happen."""
    per_hundred = round(100 * (crossing.probability or 0))
    likely, line, until = chance(crossing.probability), _threshold(terms), _until(terms)
    if per_hundred >= CERTAIN:
        title = f"Expected to cross {line} by {until}: {likely} likely"
    elif per_hundred >= LIKELY:
        title = f"{_capital(likely)} likely to cross {line} by {until}"
    else:
        title = f"May cross {line} by {until}: {likely} likely"
    if crossing.earliest is None or crossing.latest is None:
        return Sentence(title, "", grey)
    begin = "First" if per_hundred >= CERTAIN else "If it does, first"
    start, end = between(crossing.earliest, crossing.latest, terms, granularity=terms.granularity)
    hours = f"**{start}**" if crossing.earliest == crossing.latest else f"between **{start}** and **{end}**"
    return Sentence(title, f"{begin} {hours} {_zone(terms, crossing.latest)}.", grey)


def not_expected(terms: Terms, probability: float | None, forecast: pd.DataFrame, grey: str = "") -> Sentence:
    """Under 10 %: that, and the highest bucket of `forecast` (`ds, yhat`)."""
    title = f"Not expected to cross {_threshold(terms)} by {_until(terms)}"
    parts = [] if probability is None else [f"{_capital(chance(probability))} likely."]
    known = forecast.dropna(subset=["yhat"])
    if not known.empty:
        top = known.loc[known["yhat"].idxmax()]
        bucket = "hour" if terms.granularity == "hourly" else "day"
        at = f"{when(top['ds'], terms, granularity=terms.granularity)} {_zone(terms, top['ds'])}"
        parts.append(f"The highest {bucket}: {amount(top['yhat'], terms.unit)}, {at}.")
    return Sentence(title, " ".join(parts), grey)


def above(terms: Terms, since: datetime, until: datetime | None, grey: str = "") -> Sentence:
    """The last complete bucket is above the threshold; `until`: the first bucket whose chance is under 50 %, if any."""
    began = when(since, terms, granularity=terms.granularity).replace(" ", NBSP)
    title = f"Above {_threshold(terms)} since {began}"
    if until is None:
        return Sentence(title, f"Stays above beyond **{_until(terms)}** {_zone(terms)} in the middle case.", grey)
    at = when(until, terms, granularity=terms.granularity)
    return Sentence(title, f"Stays above until **{at}** {_zone(terms, until)} in the middle case.", grey)


def above_since(history: pd.DataFrame, value: str, threshold: float) -> datetime | None:
    """Start of the run of buckets above `threshold` that the last complete bucket ends, if it is one."""
    complete = history[history["complete"]]
    below = ~(complete[value] > threshold)
    if complete.empty or below.iloc[-1]:
        return None
    start = below.to_numpy().nonzero()[0]
    since: datetime = complete["bucket"].iloc[start[-1] + 1 if len(start) else 0]
    return since


def provisional(
    terms: Terms, forecast: pd.DataFrame, observed_hours: int, ready_at: datetime | None, grey: str = ""
) -> Sentence:
    """24 to 47 hours of history: the middle value alone."""
    value = amount(forecast["yhat"].iloc[-1], terms.unit) if len(forecast) else "Nothing to say"
    ink = f"{count(observed_hours, 'hour')} of history: a middle value, no interval yet."
    if ready_at is None:
        ink += " Chances need 48."
    else:
        ink += f" Chances come **{when(ready_at, terms)}** {zone_name(terms.zone, ready_at)}."
    return Sentence(_as_said(terms, f"About {value} by {_until(terms)}, provisional"), ink, grey)


def no_forecast(
    terms: Terms, observed_hours: int, ready_at: datetime | None, first: datetime, grey: str = ""
) -> Sentence:
    """Under 24 hours of history: what is needed, what is here, and when the forecast begins."""
    here = so_far(terms, observed_hours, first)
    title = f"No forecast yet: 24 full hours needed, {here} {'are' if here.endswith('s') else 'is'} here"
    if ready_at is None:
        return Sentence(title, f"It comes when {count(24 - observed_hours, 'more hour')} have traces.", grey)
    begin = f"The first forecast comes **{when(ready_at, terms)}** {zone_name(terms.zone, ready_at)}."
    return Sentence(title, f"{begin} Until then: every trace as a dot.", grey)


def so_far(terms: Terms, observed_hours: int, first: datetime) -> str:
    """How much history there is since `first`: `7 minutes`, from two hours on the hours with traces."""
    minutes = int((min(terms.end, terms.now) - first).total_seconds() // 60)
    if not 0 <= minutes < 120:
        return count(observed_hours, "hour")
    return count(minutes, "minute") if minutes else "under a minute"


def stopped(terms: Terms, since: datetime, observed_hours: int, grey: str = "") -> Sentence:
    """No traces for six hours and more; `since`: when the last one came."""
    lead = "The forecast below starts from there."
    if observed_hours < 24:
        lead = f"A forecast needs 24 full hours, {count(observed_hours, 'hour')} came before."
    title = f"No traces since {when(since, terms).replace(' ', NBSP)}"
    return Sentence(title, f"{lead} Is the service up? Sources shows what arrives.", grey)


def shares_only(terms: Terms, forecast: pd.DataFrame, grey: str = "") -> Sentence:
    """Most hours are zero, so that a middle value says nothing: the highest hourly share above the threshold."""
    title = f"Most hours have no {'failures' if terms.unit == 'share' else 'requests'}: shares only"
    known = forecast.dropna(subset=["p_above"])
    if known.empty:
        return Sentence(title, "", grey)
    top = known.loc[known["p_above"].idxmax()]
    at = f"{when(top['ds'], terms, granularity=terms.granularity)} {_zone(terms, top['ds'])}"
    bucket = "hour" if terms.granularity == "hourly" else "day"
    likely = f"{chance(top['p_above'])} likely to be above {_threshold(terms)}"
    return Sentence(title, f"The {bucket} with the highest chance: **{at}**, {likely}.", grey)


def small_print(terms: Terms, service: str | None = None, held: float | None = None, days: int = 14, n: int = 0) -> str:
    """What is measured, and how often the interval held over the last `days` (`n` forecasts), once it was measured."""
    what = f"{safe(terms.name)} of {safe(service) if service else 'all services'}."
    said = ""
    if terms.end < terms.now:
        said = f" As said {when(terms.end, terms)} {zone_name(terms.zone, terms.end)}."
    if held is None:
        return f"{what}{said} Not measured yet."
    share = f"{round(100 * held)}{NBSP}%"
    time = "day" if days == 1 else f"{days} days"
    return f"{what}{said} The {terms.interval}{NBSP}% interval held {share} of the last {time} (n{NBSP}={NBSP}{n:,})."


def repeating_was_better(terms: Terms, advantage: float | None, days: int = 14) -> str:
    """Honestly: where a forecast of no thought at all was closer over the last `days`; else empty.

    `advantage`: of our forecasts, as the share of error spared; negative where the others spared it.
    """
    if advantage is None or round(-100 * advantage) < 1:
        return ""
    time = "day" if days == 1 else f"{days} days"
    less = f"{round(-100 * advantage)}{NBSP}% less error"
    return f"{_capital(repeating(terms))} was better over the last {time}: {less}."


def repeating(terms: Terms) -> str:
    """What seasonal naive does."""
    return "repeating yesterday" if terms.granularity == "hourly" else "repeating last week"


# What there is to look at


def no_spans(source: str) -> Sentence:
    """The source has never had a span."""
    if source == "otlp":
        return Sentence(
            "No spans yet from OpenTelemetry",
            "Point an exporter at this address and the first trace shows here within seconds.",
        )
    if source == "live":
        return Sentence(
            "No spans yet from live services",
            "Point an X-Ray SDK at this address and the first trace shows here within seconds.",
        )
    if source.startswith("file:"):
        return Sentence(f"No spans yet from {safe(source)}", "Import a file under this name on the page Sources.")
    if source == "sample":
        return Sentence(
            "No sample here",
            "It is made within seconds when Tracecast starts; one that was removed comes back with the next start.",
        )
    return Sentence(f"No spans yet from {safe(source)}", "The first trace shows here within seconds.")


def nothing_in_range(start: datetime, end: datetime, oldest: datetime, newest: datetime, terms: Terms) -> Sentence:
    """The source has spans, but none in `[start, end)`."""
    left, right = local(start, terms.zone), local(end, terms.zone)
    if (right - left).days < 1:
        first, second = between(start, end, terms)
        title = f"Nothing between {first} and {second} {zone_name(terms.zone, end)}"
    else:
        same = (left.year, left.month) == (right.year, right.month)
        first = str(left.day) if same else _day_of(start, terms, year=left.year != right.year)
        title = f"Nothing between {first} and {_day_of(end, terms)}"
    if oldest >= end:
        return Sentence(title, f"The source has traces from {_day_of(oldest, terms)} on.")
    return Sentence(title, f"The source's last trace is of {when(newest, terms)} {zone_name(terms.zone, newest)}.")


def _day_of(time: datetime, terms: Terms, *, year: bool = False) -> str:
    """`26 Nov`; with the year where it is not this one, or `year` asks for it."""
    other = local(time, terms.zone).year != local(terms.now, terms.zone).year
    return date(time, terms.zone, year=year or other).partition(" ")[2]


def first_group(terms: Terms, group: str, crossing: Crossing) -> str:
    """Title over small charts: the group that is likeliest to cross."""
    if not crossing.expected:
        return f"No group is expected to cross {_threshold(terms)} by {_until(terms)}"
    return f"{safe(group)} will cross first: {chance(crossing.probability)} by {_until(terms)}"


def ahead_and_behind(ahead: int, behind: int, time: str) -> str:
    """Title of Anomalies; `time` as `the_last` says it."""
    if not ahead and not behind:
        return f"Nothing unusual in {time}, nothing predicted"
    return f"{ahead or 'None'} ahead, {behind or 'none'} in {time}"


def the_last(range_: str) -> str:
    """A range of the contract in words: `the last 14 days`, `the last hour`."""
    if range_ == "all":
        return "all there is"
    number, noun = int(range_[:-1]), "hour" if range_.endswith("h") else "day"
    return f"the last {noun}" if number == 1 else f"the last {number} {noun}s"


def subject(question: Question, terms: Terms) -> str:
    """What a page or a file is about, plain text: `sample, the last 14 days, 150 ms`."""
    return f"{question.source}, {time(question)}, {exactly(terms.threshold, terms.unit)}"


def time(question: Question) -> str:
    """The range of a question in words."""
    return "this range" if question.start or question.end else the_last(question.range)


def usual(value: float | None, expected: float | None, unit: str = "") -> str:
    """How `value` compares to the usual one: `4 % higher`, within half a per cent `as usual`; empty if unknown.

    Beside a share the usual share is said, since per cent of per cent are read wrongly.
    """
    if value is None or expected is None or pd.isna(value) or pd.isna(expected):
        return ""
    if value == expected:
        return "as usual"
    if expected == 0:
        return "usually none"
    if unit == "share":
        return "as usual" if per_cent(value) == per_cent(expected) else f"usually {per_cent(expected)}"
    change = round(100 * (value / expected - 1))
    if change == 0:
        return "as usual"
    return f"{abs(change):,}{NBSP}% {'higher' if change > 0 else 'lower'}"


def price(now: float, before: float | None) -> str:
    """Title of Price: what a Bitcoin costs, and the change against a day `before`."""
    title = f"Bitcoin at {amount(now, 'USD')}"
    if not before:
        return title
    change = now / before - 1
    if abs(change) < 0.0005:
        return f"{title}, unchanged in 24 hours"
    return f"{title}, {'up' if change > 0 else 'down'} {per_cent(abs(change))} in 24 hours"


def correlation(r: float | None, time: str) -> str:
    """Whether latency goes with the price; `r`: Pearson's, over hours; `time` without its article: `14 days`."""
    if r is None or pd.isna(r):
        return f"Too few hours to say whether latency follows the price over {time}."
    how = "does not follow" if abs(r) < 0.2 else "follows" if r > 0 else "runs against"
    weak = " loosely" if 0.2 <= abs(r) < 0.5 else ""
    return f"Latency {how} the price{weak}: correlation {f'{r:.2f}'.replace('-', '−')} over {time}."


def received(sources: int, refused: int, dropped: int) -> str:
    """Title of Sources: what became of all that was sent."""
    if refused or dropped:
        return f"{count(refused)} refused, {count(dropped)} dropped; reasons below"
    return f"{count(sources, 'source')}, all traces received are stored"


# Notices


def ignored(notices: Sequence[str]) -> str:
    """What `question.read` could not use, as one notice."""
    return "Ignored in the link: " + " ".join(safe(notice) for notice in notices)


def own_fault() -> str:
    """Our own failure to draw; details are in the log."""
    return "This page could not be drawn; the log says why. The numbers are in the CSV."


def _threshold(terms: Terms) -> str:
    """With what is counted, since no unit says it: `60 requests`, `5 % failed`."""
    counted = {"requests": f"{NBSP}requests", "share": f"{NBSP}failed"}
    return exactly(terms.threshold, terms.unit) + counted.get(terms.unit, "")


def _until(terms: Terms) -> str:
    """The horizon's end: a time, or the last of the days."""
    last = terms.until if terms.granularity == "hourly" else terms.until - terms.width
    return when(last, terms, granularity=terms.granularity)


def _zone(terms: Terms, at: datetime | None = None) -> str:
    return zone_name(terms.shown_zone, at)


def _as_said(terms: Terms, title: str) -> str:
    """A title about a horizon that is over begins with when it was said."""
    if terms.until > terms.now:
        return title
    said = when(terms.end, terms, granularity=terms.granularity)
    return f"Said {said}: {title[:1].lower()}{title[1:]}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _first_below(forecast: pd.DataFrame) -> datetime | None:
    below = forecast[forecast["p_above"] < 0.5]
    return None if below.empty else below["ds"].iloc[0]
