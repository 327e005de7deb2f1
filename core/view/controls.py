"""The sidebar: every parameter of a page as a control that is bound to the URL, and the question that they ask."""

import functools
import math
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, NamedTuple
from zoneinfo import available_timezones

import streamlit as st

from core import queries, settings
from core.question import (
    DEFAULT_HORIZON,
    GRANULARITIES,
    LATENCIES,
    MAX_HORIZON,
    RANGES,
    SCOPES,
    STATS,
    Question,
    read,
    unit,
)
from core.view.text import NBSP, zone_name
from core.view.text import zone as zone_of

__all__ = ["OF_VIEW", "current", "notices", "sidebar", "zone"]

SOURCES = ["sample", "live", "otlp"]  # can be chosen before anything came from them
TEXTS = ("start", "end", "exclude")  # typed, and kept as they were typed
# Have their controls on that page, and stand in the link.
OF_TRACES = ("trace", "bucket", "q", "where", "sort", "start2", "end2")
OF_VIEW = ("tab",)  # what of a page is open; no part of the question
MORE = ("service", "measure", "by", "scope", "interval", "p", "start", "end", "tz", "exclude")


class _Asked(NamedTuple):
    """What one run of the script is about; the clock is read once for all of it."""

    question: Question
    now: datetime
    notices: list[str]


_asked: ContextVar[_Asked] = ContextVar("asked")


def current() -> tuple[Question, datetime]:
    """The question that the sidebar asks in this run, and the time it is asked at (naive UTC)."""
    asked = _asked.get()
    return asked.question, asked.now


def notices() -> list[str]:
    """A sentence for each value of the link, or of a control, that could not be used."""
    return _asked.get().notices


def zone() -> str | None:
    """The zone to show times in: the chosen one, else the browser's; None where it does not say."""
    return _asked.get().question.tz or st.context.timezone


def sidebar(page: str) -> None:
    """Draw the controls beside `page`; from then on `current` knows what they ask. Once a run, before the page."""
    now = datetime.now(UTC).replace(tzinfo=None)
    link = st.query_params.to_dict()  # as it came: Streamlit takes out what a control can't hold
    _carry_over(page)
    default_source = settings.current().source
    known = {name: text for name, text in link.items() if name in Question.__dataclass_fields__}
    linked, ignored = read(known, default_source)
    ignored += [f"{name[:40]} is no parameter." for name in link if name not in (*known, *OF_VIEW)]
    ignored += [f"All but the last {name}." for name in known if len(st.query_params.get_all(name)) > 1]
    st.session_state.setdefault(
        "kept", {name: _held(name, known, linked) for name in known if name not in OF_TRACES and _differs(name, linked)}
    )
    with st.sidebar:
        # In the order in which they are seen; drawn in the order in which they depend on each other.
        first, line, ahead, pair, more = (st.container() for _ in range(5))
        with first:
            params: dict[str, Any] = {"source": _source(linked, default_source), "range": _range(linked)}
        with pair:
            params |= _pair()
        with more:
            params |= _more(linked, params["source"])
        question, _ = read(_given(params), default_source)
        with line:
            params["threshold"] = _threshold(question, now)
        with ahead:
            params["horizon"] = _horizon(question)
    st.session_state["kept"] = {name: st.session_state[name] for name in params}
    params |= {name: known[name] for name in OF_TRACES if name in known}
    question, faults = read(_given(params), default_source)
    _asked.set(_Asked(question, now, faults + _still_told(ignored, faults, question)))


def _carry_over(page: str) -> None:
    """Set everything anew on another page: of a page that is left while it still runs, Streamlit forgets a part."""
    state = st.session_state
    if state.get("page") != page:
        for name, value in state.get("kept", {}).items():
            state[name] = _linked(state.get(name, value)) if name == "threshold" else state.get(name, value)
        state["page"] = page


def _given(params: dict[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in params.items() if value not in (None, "")}


def _still_told(ignored: list[str], faults: list[str], question: Question) -> list[str]:
    """What the link held in vain, told until something else is asked: it is gone from the link by the next run."""
    told = st.session_state.setdefault("told", {})
    for notice in ignored:
        told.setdefault(notice, question)
    return [notice for notice, asked in told.items() if asked == question and notice not in faults]


# The controls; each says the value of its parameter, None for the default


def _source(linked: Question, default: str) -> str:
    regions = [f"aws:{region}" for region in settings.current().aws_regions]
    options = _with_chosen("source", [*SOURCES, *regions, *queries.sources()["source"]], linked.source, default)
    return str(
        st.selectbox(
            "Source", options, index=options.index(default), key="source", bind="query-params", on_change=_begin_anew
        )
    )


def _begin_anew() -> None:
    """Another source has other services and annotations: what was chosen of those falls back to its default."""
    state = st.session_state
    keys = queries.annotation_keys(state["source"])
    known = {
        "service": queries.services(state["source"]),
        "by": ["service", "name", *keys["key"]],
        "measure": [*LATENCIES, *keys.loc[keys["numeric"], "key"]],
    }
    for name, options in known.items():
        if state.get(name) not in options:
            state[name] = LATENCIES[0] if name == "measure" else None


def _range(linked: Question) -> str:
    fixed = any(_is_set(name, linked) for name in ("start", "end"))
    chosen = st.pills("Range", RANGES, default="14d", required=True, key="range", bind="query-params", disabled=fixed)
    if fixed:
        st.button(
            "Fixed in More: let it move", key="move", type="tertiary", icon=":material/lock_open:", on_click=_let_move
        )
    return str(chosen)


def _let_move() -> None:
    st.session_state["start"] = st.session_state["end"] = ""


def _pair() -> dict[str, str | None]:
    left, right = st.columns(2)
    with left:
        stat = st.selectbox("Statistic", STATS, key="stat", bind="query-params")
    with right:
        granularity = st.selectbox("Buckets", GRANULARITIES, key="granularity", bind="query-params")
    return {"stat": stat, "granularity": granularity}


def _threshold(question: Question, now: datetime) -> float | None:
    """A number, exact and in the link, and a slider beside it that is coarse; each follows the other."""
    state = st.session_state
    of = unit(question.measure, question.stat)
    default = queries.threshold(question, now)
    was = state.get("default_threshold", (of, default))
    unset = was[0] != of or state.get("threshold") in (None, was[1])
    if "threshold" in state and unset and state["threshold"] != default:
        state["threshold"] = default
    state["default_threshold"] = (of, default)
    value = st.number_input(
        f"Threshold ({_unit_name(of)})" if _unit_name(of) else "Threshold",
        min_value=0.0,
        value=default,
        step=_step(default),
        format="%.6g",
        key="threshold",
        bind="query-params",
    )
    value = default if value is None else value
    top, step = _scale(question, now, value)
    coarse = min(max(value, step), top)  # values in hours leave a threshold in milliseconds under the first step
    if state.get("coarse_threshold") != coarse:
        state["coarse_threshold"] = coarse
    st.slider(
        "Threshold, coarse",
        step,
        top,
        coarse,
        step,
        format=f"%g{NBSP}{of}" if of in ("ms", "s", "USD") else "%g",
        key="coarse_threshold",
        label_visibility="collapsed",
        on_change=_from_slider,
    )
    return None if value == default else value


def _from_slider() -> None:
    st.session_state["threshold"] = _linked(st.session_state["coarse_threshold"])


class _Linked(float):
    """Streamlit writes the text of what we set to the link, which is to say 140 as it does when typed, not 140.0."""

    def __str__(self) -> str:
        return repr(float(self)).removesuffix(".0")


def _linked(threshold: float | None) -> float | None:
    return None if threshold is None else _Linked(threshold)


def _unit_name(of: str) -> str:
    return {"share": "share, 0 to 1", "bytes": "B", "requests": ""}.get(of, of)


def _step(default: float) -> float:
    """A hundredth of the size of a usual threshold: 1 for 150, 0.0001 for 0.05."""
    return float(10.0 ** (math.floor(math.log10(default)) - 2))


def _scale(question: Question, now: datetime, threshold: float) -> tuple[float, float]:
    """Top and step of the slider: a round number over twice the 99th percentile, about 300 steps."""
    high = queries.metrics(question, now)[queries.column(question)].quantile(0.99)
    wanted = max(2 * high if high > 0 else 0.0, 1.25 * threshold)
    power = 10.0 ** math.floor(math.log10(wanted))
    top = next(factor * power for factor in (1, 1.5, 2, 3, 4, 5, 6, 8, 10) if factor * power >= wanted)
    power = 10.0 ** math.floor(math.log10(top / 250))
    step = next(factor * power for factor in (5, 2, 1) if factor * power <= top / 250)
    return float(f"{top:.6g}"), float(f"{step:.6g}")


def _horizon(question: Question) -> int | None:
    """In single buckets; other buckets make it another slider, which begins at its own default."""
    default, most = DEFAULT_HORIZON[question.granularity], MAX_HORIZON[question.granularity]
    name = f"%d{NBSP}{'h' if question.granularity == 'hourly' else 'd'}"
    value = st.slider("Horizon", 1, most, default, format=name, key="horizon", bind="query-params")
    return None if value == default else value


def _more(linked: Question, source: str) -> dict[str, Any]:
    n = sum(_is_set(name, linked) for name in MORE)
    keys = queries.annotation_keys(source)
    numeric = keys.loc[keys["numeric"], "key"]
    with st.expander(f"More ({n} set)" if n else "More", key="more", icon=":material/tune:"):
        return {
            "service": _optional("Service", "service", queries.services(source), linked, "all"),
            "measure": st.selectbox(
                "Measure",
                _with_chosen("measure", [*LATENCIES, *numeric], linked.measure),
                key="measure",
                bind="query-params",
            ),
            "by": _optional("Split by", "by", ["service", "name", *keys["key"]], linked, "nothing"),
            "scope": st.selectbox("Records", SCOPES, key="scope", bind="query-params"),
            "interval": st.slider("Interval", 50, 99, 95, format=f"%d{NBSP}%%", key="interval", bind="query-params"),
            "p": st.number_input("Warn above a chance of", 0.05, 0.95, 0.5, 0.05, key="p", bind="query-params"),
            "start": _text("Fixed start (UTC)", "start", "2026-02-03 or 2026-02-03T04:00"),
            "end": _text("Fixed end (UTC)", "end", "now"),
            "tz": _optional("Times shown in", "tz", _zones(), linked, zone_name(zone_of(st.context.timezone))),
            "exclude": _text("Left out of the forecast", "exclude", "start/end, start/end"),
        }


def _optional(label: str, key: str, known: list[str], linked: Question, nothing: str) -> str | None:
    options = _with_chosen(key, known, getattr(linked, key))
    chosen: str | None = st.selectbox(label, options, index=None, placeholder=nothing, key=key, bind="query-params")
    return chosen


def _text(label: str, key: str, example: str) -> str | None:
    text: str | None = st.text_input(label, key=key, placeholder=example, bind="query-params")
    return text


def _with_chosen(key: str, known: list[str], *others: str | None) -> list[str]:
    """`known` and what is chosen, though it may not be stored yet or any more."""
    return list(dict.fromkeys(str(name) for name in [*known, *others, st.session_state.get(key)] if name))


@functools.cache
def _zones() -> list[str]:
    return sorted(available_timezones())


def _is_set(name: str, linked: Question) -> bool:
    if name in st.session_state:
        return st.session_state[name] not in (None, "", Question.__dataclass_fields__[name].default)
    return _differs(name, linked)


def _differs(name: str, linked: Question) -> bool:
    return bool(getattr(linked, name) != Question.__dataclass_fields__[name].default)


def _held(name: str, link: dict[str, str], linked: Question) -> Any:
    """What the control of that name holds for the value in the link."""
    return link[name] if name in TEXTS else getattr(linked, name)
