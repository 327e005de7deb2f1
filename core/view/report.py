"""One page about one question, to send or to print: charts drawn, tables in, nothing that runs or is fetched."""

import json
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import jinja2
import markupsafe
import pandas as pd
import streamlit as st

from core import queries
from core.view import captions, cards, charts, share, tables
from core.view.sentences import subject
from core.view.series import Answer
from core.view.text import (
    NBSP,
    NOTHING,
    amount,
    between,
    chance,
    clock,
    count,
    date,
    exactly,
    plain,
    spread,
    when,
    zone_name,
)
from core.view.vega import Spec

__all__ = ["button", "drawn", "html"]

WIDTH = 880  # px, of the charts
MOST_CHARTS = 12
MOST_ANOMALIES = 20
_templates = jinja2.Environment(loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True)


class _Chart(NamedTuple):
    svg: markupsafe.Markup
    says: str


class _Table(NamedTuple):
    title: str
    heads: list[str]
    rows: list[list[str]]
    empty: str


def button(answer: Answer) -> None:
    """Draw "Download report"; the report is made when it is asked for."""
    question, now, link = answer.question, answer.now, share.link(share.fixed(answer.question, answer.now))
    st.download_button(
        "Download report",
        lambda: html(answer, queries.anomalies(question, now), link),
        f"{queries.file_stem(question, now)}.html",
        "text/html",
        type="tertiary",
        icon=":material/article:",
        on_click="ignore",
    )


def html(answer: Answer, found: pd.DataFrame, link: str = "") -> bytes:
    """The report as a file of its own; `found` of `queries.anomalies`, `link` to the page with the same numbers."""
    terms, said = answer.terms, answer.sentence()
    zone = zone_name(terms.shown_zone, terms.end)
    start, end = (f"{date(at, terms.zone)} {clock(at, terms.zone)}" for at in answer.window)
    simulated = " (simulated data)" if answer.question.source == "sample" else ""
    numbers = [] if answer.readiness.stage == "none" else cards.now_and_usual(answer)
    told = {
        "file_title": f"Tracecast: {subject(answer.question, terms)}",
        "about": f"{answer.question.source}{simulated} · {terms.name} · {start} to {end} {zone}",
        "title": plain(said.title),
        "ink": plain(said.ink),
        "grey": plain(said.grey),
        "charts": _charts(answer),
        "cards": [card._replace(label=plain(card.label), value=plain(card.value)) for card in numbers],
        "tables": [*_crossings(answer), _anomalies(answer, found), *_ahead(answer)],
        "made": f"Made by Tracecast, {date(terms.now, terms.zone, year=True)} {clock(terms.now, terms.zone)} {zone}.",
        "link": link,
    }
    return _templates.get_template("report.html").render(told).encode()


def drawn(spec: Spec) -> markupsafe.Markup:
    """A chart of `vega.drawn` as SVG, in the light theme."""
    import vl_convert  # 85 MB, and a second, that only a report needs

    ink, line, paper = (st.get_option(f"theme.light.{name}Color") for name in ("text", "border", "background"))
    config = {
        **spec["config"],
        "background": paper,
        "range": {"category": st.get_option("theme.light.chartCategoricalColors")},
        "axis": {**spec["config"]["axis"], "gridColor": line, "domainColor": line, "titleColor": ink},
    }
    rows = {name: table.to_pylist() for name, table in spec["datasets"].items()}
    size = {"width": WIDTH, "autosize": {"type": "fit", "contains": "padding"}}
    whole = json.dumps({**spec, "datasets": rows, "config": config, **size}, default=_time)
    return markupsafe.Markup(vl_convert.vegalite_to_svg(whole))  # noqa: S704 (Vega escapes what it writes)


def _time(moment: datetime) -> str:
    return moment.isoformat()


def _charts(answer: Answer) -> list[_Chart]:
    """What the page draws, all groups one below another."""
    drawings = []
    for series in answer.series[:MOST_CHARTS]:
        seen = answer.terms, series.history, series.forecast, series.crossing
        said = captions.alt_main(*seen, value=answer.value)
        group = f"{series.group}: " if answer.question.by else ""
        drawings.append(_Chart(drawn(charts.main(*seen, value=answer.value)), f"{group}{said}"))
    return drawings


def _crossings(answer: Answer) -> list[_Table]:
    """When each group first crosses; nothing where nothing is split: the sentence says it then."""
    if not answer.question.by:
        return []
    terms, rows = answer.terms, []
    for series in answer.series:
        first = series.crossing
        times = [NOTHING if at is None else when(at, terms) for at in (first.earliest, first.median, first.latest)]
        rows.append([series.group, chance(first.probability), *times])
    zone = zone_name(terms.shown_zone, terms.end)
    heads = [answer.question.by, "Chance", f"Earliest, 1 in 10 ({zone})", "Middle", "Latest, 9 in 10"]
    return [_Table(f"Which crosses {exactly(terms.threshold, terms.unit)} first", heads, rows, "")]


def _anomalies(answer: Answer, found: pd.DataFrame) -> _Table:
    table = tables.look_at_first(answer.terms, found, most=MOST_ANOMALIES)
    left_out = len(found) - len(table.frame)
    name = "Look at first" + (f" ({count(left_out)} more in anomalies.csv)" if left_out > 0 else "")
    nothing = f"Nothing unusual in {answer.time}, nothing predicted."
    heads = [str(table.columns[column]) for column in table.frame]
    return _Table(
        name,
        heads,
        [[NOTHING if pd.isna(cell) else str(cell) for cell in row] for row in table.frame.to_numpy()],
        nothing,
    )


def _ahead(answer: Answer) -> list[_Table]:
    """Hour by hour (or day by day), of the first series."""
    terms, series = answer.terms, answer.series[0]
    if series.forecast.empty:
        return []
    rows = []
    for row in series.forecast.itertuples():
        at, _ = between(row.ds, row.ds, terms, granularity=terms.granularity)
        rows.append(
            [at, amount(row.yhat, terms.unit), spread(row.yhat_lower, row.yhat_upper, terms.unit), chance(row.p_above)]
        )
    bucket = "Hour" if terms.granularity == "hourly" else "Day"
    heads = [
        f"{bucket} ({zone_name(terms.shown_zone, terms.end)})",
        "Forecast",
        f"{terms.interval}{NBSP}% interval",
        f"Chance above {exactly(terms.threshold, terms.unit)}",
    ]
    of = f": {series.group}" if series.group else ""
    return [_Table(f"{bucket} by {bucket.lower()}{of}", heads, rows, "")]
