"""One trace: what it is in a sentence, its waterfall, and all that is known of its spans, as plain text."""

import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import pandas as pd
import streamlit as st

from core import export, traces
from core.errors import NotFound
from core.question import Question
from core.view import leading, waterfall
from core.view.cells import moment
from core.view.tables import narrowed
from core.view.text import NBSP, NOTHING, Terms, amount, count, safe
from core.view.waterfall import line

__all__ = ["show"]

COPIED_UP_TO = 500  # spans whose JSON is on the page; more is behind its address
_SHORT = 60  # characters of a name in a sentence
_FACTS_UP_TO = 5_000
_ODD = {  # what `analysis.waterfall` flags, of one span and of several
    "no parent": ("span whose parent is not here", "spans whose parent is not here"),
    "loop": ("loop of parents, cut here", "loops of parents, cut here"),
    "starts before its parent": ("span starts before its parent", "spans start before their parent"),
    "ends after its parent": ("span ends after its parent", "spans end after their parent"),
    "no end": ("span without an end", "spans without an end"),
}


def show(question: Question, terms: Terms) -> None:
    """The trace that `question` names, whatever its range and filters; what to do where there is none."""
    trace_id = traces.identified(question.trace)
    if trace_id is None:
        st.info(
            f"{safe(question.trace or '')[:80]} is no trace id: 32 hex digits are, and 1-, 8 digits, a dash and 24.",
            icon=":material/info:",
        )
        return
    try:
        spans = traces.one(trace_id, question.source)
    except NotFound:
        st.subheader("This trace is not stored", anchor=False)
        st.code(traces.shown_id(trace_id), language=None)
        st.markdown(
            "It may still be on its way, be older than what is kept, or be in a source that was not read yet: "
            "choose a range of an AWS source that holds it, and read it."
        )
        return
    st.subheader(_title(spans), anchor=False)
    st.markdown(_line(spans, question, terms))
    with st.container(gap=None):
        leading.chart(waterfall.chart(spans), f"waterfall-{trace_id}", waterfall.alt(spans))
        st.markdown(waterfall.legend(spans))
    failed = spans[spans["failed"]]
    names = ["Annotations", *(["Errors"] if len(failed) else []), "All spans", "Details", "JSON"]
    tabs = dict(zip(names, st.tabs(names, key="of_trace", on_change="rerun"), strict=True))
    shown: dict[str, Callable[[], None]] = {
        "Annotations": lambda: _table(_annotations(spans), "No span of this trace has annotations."),
        "Errors": lambda: _errors(failed),
        "All spans": lambda: _all_spans(spans, terms),
        "Details": lambda: _table(_details(spans), "Nothing else was sent: no metadata, no SQL, no HTTP."),
        "JSON": lambda: _json(spans, trace_id),
    }
    for name, tab in tabs.items():
        if tab.open:  # the others would take a second of a trace of 5,000 spans
            with tab:
                shown[name]()


def _title(spans: pd.DataFrame) -> str:
    """`2.31 s in btc-pipeline, failed in fetch coinbase`: the deepest of what failed is nearest to the cause."""
    root = spans.iloc[0]
    longest = spans["duration_ms"].max()
    took = "In progress" if pd.isna(longest) else amount(longest, "ms")
    said = f"{took} in {safe(line(root['name'], _SHORT))}"
    failed = spans[spans["failed"]]
    if failed.empty:
        return said
    deepest = failed.loc[failed["depth"].idxmax()]
    where = "" if deepest.name == spans.index[0] else f" in {safe(line(deepest['name'], _SHORT))}"
    return f"{said}, failed{where}"


def _line(spans: pd.DataFrame, question: Question, terms: Terms) -> str:
    """When, how many spans, its id, and what is odd about it."""
    source = spans["source"].iloc[0]
    said = [
        moment(spans["started_at"].min().to_pydatetime(), terms, granularity="seconds"),
        count(len(spans), "span"),
        *([f"from {safe(source)}"] if source != question.source else []),
        safe(traces.shown_id(spans["trace_id"].iloc[0])),
    ]
    flags = pd.Series([flag for flags in spans["flags"] for flag in flags.split(", ") if flag]).value_counts()
    if "summary only" in flags:
        note = "Only its summary was read from X-Ray: its spans are not here."
        return f"{' · '.join(said)} :violet[{note}]"
    odd = ", ".join(count(n, *_ODD[flag]) for flag, n in flags.items())
    return " · ".join(said) + (f" · :violet[⚠ {odd}]" if odd else "")


def _table(frame: pd.DataFrame, nothing: str) -> None:
    if frame.empty:
        st.markdown(f":gray[{nothing}]")
        return
    columns = narrowed(frame, {name: name for name in frame})
    alt = f"{count(len(frame), 'row')}."
    st.dataframe(frame, column_config=columns, placeholder=NOTHING, hide_index=True, lazy=False, alt=alt)


def _annotations(spans: pd.DataFrame) -> pd.DataFrame:
    found = [
        (line(key, 200), line(_worded(value), 2_000), line(span["name"]))
        for span in spans[["numbers", "texts", "booleans", "name"]].to_dict("records")
        for key, value in sorted((dict(span["numbers"]) | dict(span["booleans"]) | dict(span["texts"])).items())
    ]
    return pd.DataFrame(found, columns=["Key", "Value", "Span"])


def _worded(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:,.15g}" if isinstance(value, float) else str(value)


def _errors(failed: pd.DataFrame) -> None:
    """Each span that failed, with the exceptions it carried."""
    for span in failed.head(20).to_dict("records"):
        kinds = [kind for kind in ("error", "fault", "throttle") if span[kind]] or ["failed by its annotation"]
        status = "" if pd.isna(span["http_status"]) else f", HTTP {int(span['http_status'])}"
        st.markdown(f"**{safe(line(span['name'], _SHORT))}** :red[{', '.join(kinds)}{status}]")
        said = False
        for exception in _exceptions(span["detail"]):
            st.code(exception, language=None, wrap_lines=True)
            said = True
        if not said:
            st.markdown(":gray[It carried no exception.]")
    if len(failed) > 20:
        st.markdown(f":gray[The first 20 of {count(len(failed))}; the JSON has all.]")


def _exceptions(detail: Any) -> Iterator[str]:
    """Each exception of a span's cause as text: its type and message, and a line for each frame of its stack."""
    cause = _object(detail).get("cause")
    if isinstance(cause, str):
        yield f"The cause is told by exception {cause} of another span."
    exceptions = cause.get("exceptions") if isinstance(cause, dict) else None
    for exception in exceptions if isinstance(exceptions, list) else []:
        if not isinstance(exception, dict):
            continue
        head = ": ".join(str(exception[name]) for name in ("type", "message") if exception.get(name) is not None)
        stack = exception.get("stack")
        frames = [
            f"  {frame.get('path', '?')}:{frame.get('line', '?')} {frame.get('label', '')}".rstrip()
            for frame in (stack if isinstance(stack, list) else [])
            if isinstance(frame, dict)
        ]
        yield "\n".join([head or "An exception without a type or a message", *frames])


def _all_spans(spans: pd.DataFrame, terms: Terms) -> None:
    frame = pd.DataFrame(
        {
            "span": [
                f"{(NBSP * 3) * min(depth, 30)}{line(name)}"
                for depth, name in zip(spans["depth"], spans["name"], strict=True)
            ],
            "begins": spans["offset_ms"],
            "duration": spans["duration_ms"],
            "self": spans["self_ms"],
            "path": ["yes" if critical else "" for critical in spans["critical"]],
            "failed": ["failed" if failed else "" for failed in spans["failed"]],
            "notes": spans["flags"],
            "service": [None if pd.isna(service) else line(service) for service in spans["service"]],
            "namespace": spans["namespace"],
            "method": spans["http_method"],
            "status": spans["http_status"],
            "url": [None if pd.isna(url) else line(url, 500) for url in spans["http_url"]],
            "id": spans["span_id"],
        }
    )
    columns: dict[str, Any] = {
        "span": "Span",
        "begins": st.column_config.NumberColumn("Begins after (ms)", format="%,.1f"),
        "duration": st.column_config.NumberColumn("Duration (ms)", format="%,.1f"),
        "self": st.column_config.NumberColumn("Itself (ms)", format="%,.1f", help="Without the time of its children"),
        "path": "Critical path",
        "failed": "Failed",
        "notes": "Notes",
        "service": "Service",
        "namespace": "Namespace",
        "method": "HTTP",
        "status": st.column_config.NumberColumn("Status", format="%d"),
        "url": "Address",
        "id": "Span id",
    }
    st.dataframe(
        frame,
        column_config=narrowed(frame, columns),
        placeholder=NOTHING,
        hide_index=True,
        lazy=False,
        alt=f"{count(len(frame), 'span')}.",
    )


def _details(spans: pd.DataFrame) -> pd.DataFrame:
    """All else that was sent (metadata, SQL, AWS, links …): one row a value, its path as the key."""
    found = []
    for name, detail in zip(spans["name"], spans["detail"], strict=True):
        for path, value in _leaves(_object(detail)):
            found.append((line(name), line(path, 500), line(value, 10_000)))
            if len(found) == _FACTS_UP_TO:
                break
    return pd.DataFrame(found, columns=["Span", "What", "Value"])


def _object(detail: Any) -> dict[str, Any]:
    value = json.loads(detail) if isinstance(detail, str) else {}
    return value if isinstance(value, dict) else {}


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if not pairs:
        yield path, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        return
    for key, inner in pairs:
        yield from _leaves(inner, f"{path}.{key}" if path else str(key))


def _json(spans: pd.DataFrame, trace_id: str) -> None:
    """To copy where it is bearable, and as an address."""
    source = str(spans["source"].iloc[0])
    st.link_button(
        "Open as JSON",
        f"/api/v1/traces/{trace_id}.json?source={quote(source)}",
        type="tertiary",
        icon=":material/data_object:",
    )
    if len(spans) > COPIED_UP_TO:
        st.markdown(f":gray[{count(len(spans), 'span')} are too many to show: open them, or save them.]")
        return
    added = ["depth", "offset_ms", "length_ms", "self_ms", "critical", "flags"]
    rows = [export.span(row) for row in spans.drop(columns=added).to_dict("records")]
    text = json.dumps({"trace_id": trace_id, "spans": rows}, indent=2, ensure_ascii=False)
    st.code(text, language=None, wrap_lines=True)
