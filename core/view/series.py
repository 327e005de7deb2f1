"""What the pages about a measure show: asked once, and for each group its history, its forecast and its crossing."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import pandas as pd
import streamlit as st

from core import markers, queries
from core.queries import Held
from core.question import Question, Window, unit
from core.view import controls, pulled, sentences, text
from core.view.sentences import Crossing, Readiness, Sentence
from core.view.text import Terms
from core.view.watch import until

__all__ = ["NO_GROUP", "PER_BUCKET", "Answer", "Series", "ask", "group_of", "terms"]

NO_GROUP = "(none)"  # of records that lack the annotation by which they are split
PER_BUCKET = ("count", "volume", "error_rate")  # a single record has none
DOTS_UP_TO = timedelta(hours=6)  # a range this short shows each record


@dataclass(frozen=True)
class Series:
    """The numbers of one group, or of all; frames as `charts` takes them."""

    group: str
    history: pd.DataFrame
    forecast: pd.DataFrame
    crossing: Crossing


@dataclass(frozen=True)
class Answer:
    """One question, and what is known about it."""

    question: Question
    now: datetime
    window: Window
    terms: Terms
    value: str  # the column of `history` that is asked about
    readiness: Readiness
    first: datetime  # start of the source's first span
    series: list[Series]  # one without `by`, else one for each group, the likeliest to cross first
    held: Held | None  # how the intervals of the first of these did, once that is measured

    @property
    def dots(self) -> Window | None:
        """The part of the range whose records are shown one by one: all if it is short, or if no forecast is there."""
        if self.question.by or self.question.stat in PER_BUCKET:
            return None
        start, end = self.window
        if end - start <= DOTS_UP_TO:
            return self.window
        if self.readiness.stage != "none" or self.readiness.stopped_since is not None:
            return None
        seen = max(end - max(self.first, start), timedelta(minutes=5))
        return Window(end - min(2 * seen, DOTS_UP_TO), end)

    @property
    def measure_unit(self) -> str:
        """Of single records and their means, whatever the statistic."""
        return unit(self.question.measure)

    @property
    def time(self) -> str:
        """The range in words."""
        return sentences.time(self.question)

    def most_found(self, found: pd.DataFrame) -> tuple[Series, pd.DataFrame]:
        """The group in which most was `found` (of `queries.anomalies`), and what; all of it where nothing is split."""
        if self.question.by is None:
            return self.series[0], found
        named = _named(found)
        per_group = named["group"].value_counts()
        top = max(self.series, key=lambda each: per_group.get(each.group, 0))
        return top, named[named["group"] == top.group]

    @property
    def small_print(self) -> str:
        """What is measured, whether the interval keeps its word, and how much is known by summaries."""
        held = (self.held.share, self.held.days, self.held.n) if self.held else ()
        told = sentences.small_print(self.terms, self.question.service, *held)
        return f"{told} {pulled.known_by(self.question, self.now)}".strip()

    def sentence(self) -> Sentence:
        """The answer in words."""
        said = self._sentence()
        if self.held is None:
            return said
        worse = sentences.repeating_was_better(self.terms, self.held.advantage, self.held.days)
        return said._replace(ink=f"{said.ink} {worse}".strip())

    def _sentence(self) -> Sentence:
        top = self.series[0]
        if self.question.by and top.crossing.probability is not None:
            said = sentences.will_cross(self.terms, top.crossing, self.small_print)
            return said._replace(title=sentences.first_group(self.terms, top.group, top.crossing))
        return sentences.answer(
            self.terms,
            self.readiness,
            top.crossing,
            top.history,
            top.forecast,
            value=self.value,
            first=self.first,
            grey=self.small_print,
        )


def ask() -> Answer:
    """The answer to what the sidebar asks; for a source that has spans in the range (see `guards`)."""
    question, now = controls.current()
    first, _ = queries.reach(question.source)
    readiness, series = queries.readiness(question, now), _series(question, now)
    if question.source.startswith("file:"):  # no hour comes by itself
        readiness = replace(readiness, ready_at=None)
    return Answer(
        question=question,
        now=now,
        window=queries.window(question, now),
        terms=terms(),
        value=queries.column(question),
        readiness=readiness,
        first=first or now,
        series=series,
        held=_held(question, now, readiness, group_of(series[0].group)),
    )


def terms() -> Terms:
    """What all words of the page have in common."""
    question, now = controls.current()
    end = queries.window(question, now).end
    shown = text.zone(controls.zone())
    return text.terms(question, queries.threshold(question, now), now, end, shown, markers.listed())


def group_of(name: str) -> str | None:
    """The group that `queries` knows, from the name it is shown by."""
    return None if name in ("", NO_GROUP) else name


def _held(question: Question, now: datetime, readiness: Readiness, group: str | None) -> Held | None:
    """How the interval did; while that is being measured, the page looks out for it."""
    held = queries.held(question, now, group)
    if held is None and readiness.stage not in ("none", "point"):
        with st.sidebar:
            until(lambda: queries.held(question, now, group) is not None)
    return held


def _series(question: Question, now: datetime) -> list[Series]:
    history, forecast = queries.metrics(question, now), queries.forecast(question, now)
    crossings = queries.crossings(question, now)
    if question.by is None:
        return [Series("", history, forecast, _crossing(crossings.iloc[0], history))]
    histories = dict(list(_named(history).groupby("group", sort=False)))
    forecasts = dict(list(_named(forecast).groupby("group", sort=False)))
    series = [
        Series(name, histories[name], forecasts.get(name, forecast.head(0)), _crossing(row, histories[name]))
        for name, row in _named(crossings).set_index("group").iterrows()
        if name in histories
    ]
    return sorted(series, key=lambda each: -(each.crossing.probability or 0)) or [
        Series(NO_GROUP, history, forecast, Crossing())
    ]


def _crossing(row: pd.Series, history: pd.DataFrame) -> Crossing:
    """Without its hours where the line is passed already: there is no first one ahead."""
    question, now = controls.current()
    crossing = Crossing.read(row)
    above = sentences.above_since(history, queries.column(question), queries.threshold(question, now)) is not None
    return crossing.at_no_time if above else crossing


def _named(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(group=frame["group"].astype(object).where(frame["group"].notna(), NO_GROUP))
