"""What a backtest says, in words and tables: how far off, how honest, and whether repeating yesterday would do."""

from collections.abc import Sequence
from datetime import datetime

import pandas as pd
import streamlit as st

from core.queries import Backtest, Reliability
from core.view.sentences import Sentence, repeating
from core.view.tables import DAY, MOMENT, Table, moments
from core.view.text import NBSP, Terms, count, exactly, safe, when, zone_name

__all__ = ["ahead", "chances", "each", "has_ours", "replay", "scores", "sentence", "skill"]

ALL_DAYS = 28
_OURS, _NAIVE = "tracecast", "seasonal_naive"


def sentence(terms: Terms, backtest: Backtest, chances: Reliability, service: str | None = None) -> Sentence:
    """The answer: better or worse than repeating yesterday, and whether intervals and warnings kept their word."""
    if not backtest.cutoffs:
        return _nothing(terms)
    days = len(backtest.cutoffs)
    grey = f"{count(days, 'forecast')} of each model, one a day, {_horizon(terms)} each."
    if days < ALL_DAYS:
        grey += f" Each day adds one, up to {ALL_DAYS}."
    grey += f" {safe(terms.name)} of {safe(service) if service else 'all services'}."
    return Sentence(_title(terms, backtest), " ".join([*_kept(terms, backtest, chances), *_failed(backtest)]), grey)


def has_ours(backtest: Backtest) -> bool:
    """Whether our own forecasts are all there, though those of the others may not be."""
    return bool((backtest.rows["model"] == _OURS).any())


def replay(terms: Terms, backtest: Backtest, cutoff: datetime) -> str:
    """How the forecast of one day did."""
    at = f"Said {when(cutoff, terms, granularity=terms.granularity)} {zone_name(terms.shown_zone, cutoff)}"
    score = _ours(backtest.by_origin, "cutoff", cutoff)
    if score is None:
        return f"{at}: nothing came that it could be held against."
    held = f"the 95{NBSP}% interval held **{round(score['coverage_95'] * score['n'])} of {count(score['n'])}**"
    error = f"error **{score['mase']:.2f}**, " if pd.notna(score["mase"]) else ""
    return f"{at}: {error}{held} {_buckets(terms)}."


def chances(terms: Terms) -> str:
    """What the diagram of chances holds."""
    line = exactly(terms.threshold, terms.unit)
    return (
        f"Chance said of a crossing within {_horizon(terms)}, against how often one came, for {line} and the levels"
        f" that 10, 5 and 1{NBSP}% of earlier {_buckets(terms)} had passed. On the dashed line is right."
    )


def skill(chances: Reliability) -> str:
    """One number for the diagram."""
    if chances.skill is None:
        return "Nothing ever crossed these lines, as usual: there is no skill to measure."
    told = f"Brier skill {f'{chances.skill:.2f}'.replace('-', '−')} against always saying the usual share"
    verdict = "" if chances.skill > 0 else ", which would have been better"
    return f"{told}{verdict}. Dot size: how often it was said."


def scores(terms: Terms, backtest: Backtest) -> Table:
    """A row for each model, with its numbers as soon as they are there."""
    told = backtest.by_horizon[backtest.by_horizon["horizon"] == "all"].set_index("model")
    names = _names(terms)
    told = told.reindex(list(names))
    frame = pd.DataFrame(
        {
            "model": list(names.values()),
            "mase": told["mase"].astype(float).to_numpy(),
            "wis": told["wis"].astype(float).to_numpy(),
            "held_80": 100 * told["coverage_80"].astype(float).to_numpy(),
            "held_95": 100 * told["coverage_95"].astype(float).to_numpy(),
        }
    )
    longest = frame["mase"].max()
    columns = {
        "model": "Model",
        "mase": st.column_config.ProgressColumn(
            "Error (MASE, less is better)",
            format="%.2f",
            min_value=0.0,
            max_value=1.1 * longest if longest > 0 else 1.0,
            help=f"Mean error over the mean change {_from_season(terms)}.",
        ),
        "wis": st.column_config.NumberColumn(
            "Interval score (WIS)", format="%.2f", help="Of the middle and both intervals, less is better."
        ),
        "held_80": st.column_config.NumberColumn(f"80{NBSP}% held", format=f"%.0f{NBSP}%%"),
        "held_95": st.column_config.NumberColumn(f"95{NBSP}% held", format=f"%.0f{NBSP}%%"),
    }
    known = frame.dropna(subset=["mase"])
    said = ", ".join(f"{row.model} {row.mase:.2f}" for row in known.itertuples())
    return Table(frame, columns, f"Error by model: {said or 'none measured yet'}.")


def ahead(terms: Terms, backtest: Backtest) -> Table:
    """How the error grows with the distance: a row for each group of buckets ahead."""
    told = backtest.by_horizon[backtest.by_horizon["horizon"] != "all"]
    distances = list(dict.fromkeys(told["horizon"]))
    unit = _buckets(terms).capitalize()
    return _by(told, "horizon", distances, {"horizon": f"{unit} ahead"}, terms, f"Error by {unit.lower()} ahead.")


def each(terms: Terms, backtest: Backtest) -> Table:
    """A row for each forecast, newest first."""
    told = backtest.by_origin.sort_values("cutoff", ascending=False, kind="stable")
    head = moments("Said", terms.shown_zone, terms.end, MOMENT if terms.granularity == "hourly" else DAY)
    cutoffs = list(dict.fromkeys(told["cutoff"]))
    table = _by(told, "cutoff", cutoffs, {"cutoff": head}, terms, f"Error of {count(len(cutoffs), 'forecast')}.")
    return table._replace(frame=table.frame.assign(cutoff=table.frame["cutoff"].dt.tz_localize("UTC")))


def _title(terms: Terms, backtest: Backtest) -> str:
    told = backtest.by_horizon[backtest.by_horizon["horizon"] == "all"].set_index("model")
    if backtest.done < backtest.total and not {_OURS, _NAIVE} <= set(told.index):
        return f"Replaying the forecasts of the last {count(len(backtest.cutoffs), 'day')}"
    if _OURS not in told.index:
        return "Most hours are zero: only chances are replayed"
    advantage = backtest.advantage
    if advantage is None:
        return f"Nothing changed {_from_season(terms)}, so there is no error to compare"
    share = round(100 * abs(advantage))
    if share == 0:
        return f"As much error as {repeating(terms)}"
    if advantage > 0:
        return f"{share}{NBSP}% less error than {repeating(terms)}"
    again = repeating(terms)
    return f"{again[:1].upper()}{again[1:]} was better on this series: {share}{NBSP}% less error"


def _kept(terms: Terms, backtest: Backtest, chances: Reliability) -> list[str]:
    """Whether the intervals held, and warnings came true, as soon as our own forecasts are there."""
    score = _ours(backtest.by_horizon, "horizon", "all")
    said = []
    if score is not None:
        held_95, held_80 = (f"**{round(100 * score[f'coverage_{level}'])}{NBSP}%**" for level in (95, 80))
        outcomes = f"{count(score['n'])} {_buckets(terms)}"
        said.append(f"The 95{NBSP}% interval held {held_95} of {outcomes}, the 80{NBSP}% interval {held_80}.")
        said += _closer_still(terms, backtest)
    if chances.warnings:
        cases = f"**{chances.came_true} of {count(chances.warnings)}** cases"
        said.append(f"A warning of a crossing came true in {cases}.")
    elif chances.crossings:
        said.append(f"**{count(chances.crossings, 'crossing')}** came without a warning.")
    elif chances.said:
        said.append("No crossing came, and none was warned of.")
    return said


def _closer_still(terms: Terms, backtest: Backtest) -> list[str]:
    """A peer that beat us, where the title does not name it."""
    errors = backtest.by_horizon[backtest.by_horizon["horizon"] == "all"].set_index("model")["mase"].dropna()
    best = str(errors.idxmin()) if len(errors) else _OURS
    if best in (_OURS, _NAIVE):
        return []
    return [f"Closest on this series: {_names(terms)[best].lower()}, {errors[best]:.2f}."]


def _failed(backtest: Backtest) -> list[str]:
    if not backtest.failed:
        return []
    return [f":violet[{count(len(backtest.failed), 'forecast')} could not be made: {safe(backtest.failed[0])}]"]


def _nothing(terms: Terms) -> Sentence:
    return Sentence(
        "No forecast to look back on yet",
        f"The first one with an interval is of the midnight (UTC) after 48 hours of history, and its"
        f" {_horizon(terms)} have to pass.",
    )


def _ours(scores: pd.DataFrame, column: str, value: object) -> pd.Series | None:
    mine = scores[(scores["model"] == _OURS) & (scores[column] == value)]
    return mine.iloc[0] if len(mine) else None


def _by(
    told: pd.DataFrame, key: str, values: Sequence[object], head: dict[str, object], terms: Terms, alt: str
) -> Table:
    """The error of each model, and what our intervals held, by the `values` of `key`."""
    names = {model: name for model, name in _names(terms).items() if model in set(told["model"])}
    errors = {
        model: told[told["model"] == model].set_index(key)["mase"].reindex(values).astype(float).to_numpy()
        for model in names
    }
    ours = told[told["model"] == _OURS].set_index(key).reindex(values)
    held = {f"held_{level}": 100 * ours[f"coverage_{level}"].astype(float).to_numpy() for level in (80, 95)}
    number = st.column_config.NumberColumn
    columns = {
        **head,
        **{model: number(name, format="%.2f") for model, name in names.items()},
        **{f"held_{level}": number(f"{level}{NBSP}% held", format=f"%.0f{NBSP}%%") for level in (80, 95)},
    }
    return Table(pd.DataFrame({key: values, **errors, **held}), columns, alt)


def _names(terms: Terms) -> dict[str, str]:
    again = "Yesterday again" if terms.granularity == "hourly" else "Last week again"
    return {_OURS: "Tracecast", "original": "Original pipeline", _NAIVE: again, "last_value": "Last value"}


def _horizon(terms: Terms) -> str:
    return count(terms.horizon, "hour" if terms.granularity == "hourly" else "day")


def _buckets(terms: Terms) -> str:
    return "hours" if terms.granularity == "hourly" else "days"


def _from_season(terms: Terms) -> str:
    return "from day to day" if terms.granularity == "hourly" else "from week to week"
