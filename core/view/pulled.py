"""Sources in AWS: what a range lacks with the buttons to get it, how far a pull is, and what else there is to know."""

from collections.abc import Hashable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pandas as pd
import streamlit as st

from core import activity, lacking, pulls, queries, settings
from core.lacking import Lack
from core.pulls import ACTIVE, Pull
from core.question import Question
from core.view import controls, pull_words, removal
from core.view.heading import say
from core.view.permission import asked_token, may_write
from core.view.sentences import Sentence
from core.view.tables import Table, moments
from core.view.text import Terms, age, count, safe

__all__ = ["changes", "history", "known_by", "offer", "regions", "stamp"]

EVERY_S = 1.0
FREE = "The first million traces a month are free."
_HIDDEN = "AWS could not be read; why is told to who may write here."


def stamp(question: Question) -> Hashable:
    """Changes when a page of an AWS source is to be drawn anew; whoever asks has it on screen.

    Not while a pull runs: its progress shows by itself, and each step of it would draw all charts again.
    """
    source = question.source
    if question.end is None and lacking.is_allowed(source):
        pulls.see(source, _now())
    pull = pulls.latest(source)
    if pull and pull.state in ACTIVE:
        return pull.id
    return queries.version(source), str(_facts(source)), pulls.estimate_asked(source), pull and (pull.id, pull.state)


def offer() -> None:
    """Say what the range lacks, and how to get it; where nothing of it is here, that is all the page says."""
    question, now = controls.current()
    source = question.source
    if not source.startswith("aws:"):
        return
    lack, pull, facts = lacking.lack(question, now), pulls.latest(source), _facts(source)
    active = pull is not None and pull.state in ACTIVE
    alone = queries.metrics(question, now)["request_count"].sum() == 0
    if alone and active:
        say(Sentence(f"Reading from X-Ray in {safe(pull_words.region_of(source))}", ""))
    elif alone and lack:
        say(Sentence(pull_words.lacks(lack), ""))
    if facts.get("indexed_share") is not None:
        st.info(pull_words.transaction_search(facts["indexed_share"]), icon=":material/info:")
    if active and pull:
        with st.container(border=not alone):
            _show_progress(pull)
    elif lack:
        with st.container(border=not alone):
            if not alone:
                st.markdown(f"**{pull_words.lacks(lack)}**")
            _offer(source, lack, pull, facts)
    elif facts.get("last_error"):
        st.markdown(_trouble(facts["last_error"]))
    if alone and (active or lack):
        st.stop()
    if queries.reach(source)[0] is None:
        filtered = bool(settings.current().xray_filter)
        say(Sentence(pull_words.nothing_found(source, filtered=filtered), "A longer range may have some."))
        st.stop()


def known_by(question: Question, now: datetime) -> str:
    """Which share of the records come from summaries, in words; empty for other sources."""
    share = lacking.summary_share(question, now)
    annotated = share if question.scope == "annotated" else lacking.summary_share(_annotated(question), now)
    return pull_words.known_by(share, annotated, question.scope)


def changes() -> Hashable:
    """Changes with each step of a pull."""
    return tuple(pulls.everything())


def history(terms: Terms, *, told: bool) -> Table:
    """One row a pull, the newest first."""
    rows = [
        (
            pull.source,
            pull.state,
            pull.start.replace(tzinfo=UTC),
            pull.end.replace(tzinfo=UTC),
            f"{pull.slices_done} of {pull.slices_total}",
            pull.traces,
            pull.calls,
            pull_words.dollars(pull.cost_usd),
            pull.error if told else None,
        )
        for pull in reversed(pulls.everything())
    ]
    names = ["source", "state", "start", "end", "slices", "traces", "calls", "cost", "error"]
    columns = {
        "source": "Source",
        "state": "State",
        "start": moments("From", terms.zone, terms.now),
        "end": moments("To", terms.zone, terms.now),
        "slices": "Slices",
        "traces": st.column_config.NumberColumn("Traces", format="localized"),
        "calls": st.column_config.NumberColumn("Calls", format="localized"),
        "cost": "Cost",
        "error": "What was wrong",
    }
    return Table(pd.DataFrame(rows, columns=names), columns, f"{count(len(rows), 'pull')} from X-Ray.")


def regions(terms: Terms, *, told: bool) -> list[str]:
    """A line of Markdown for each region that may be read; none where no region may."""
    lines, billed = [], lacking.billed(terms.now)
    for region in settings.current().aws_regions:
        facts, today = _facts(f"aws:{region}"), billed.get(f"aws:{region}", 0)
        parts = [f"**{safe(region)}**: {count(today, 'trace')} scanned or read today"]
        if facts.get("read_at"):
            parts.append(f"newest minutes read {age(facts['read_at'], terms)}")
        if facts.get("indexed_share") is not None:
            parts.append("Transaction Search is on")
        if facts.get("unknown") and told:
            parts.append(f"whether Transaction Search is on is not known: {safe(facts['unknown'])}")
        if facts.get("last_error"):
            parts.append(_trouble(facts["last_error"]))
        lines.append(", ".join(parts))
    if lines:
        most = settings.current().pull_max_traces_per_day
        lines.append(f"A day's limit, for all regions together, is {count(most, 'trace')}")
    return lines


def _offer(source: str, lack: Lack, pull: Pull | None, facts: dict[str, Any]) -> None:
    """What it takes, what went wrong the last time, and the buttons."""
    if not lacking.is_allowed(source):
        region = safe(pull_words.region_of(source))
        st.markdown(f"The region {region} may not be read here: add it to `TRACECAST_AWS_REGION` and start again.")
        return
    takes = pull_words.takes(lack, settings.current().pull_max_traces_per_day)
    st.markdown(f"{takes} :gray[{FREE}]")
    trouble = pull.error if pull and pull.error else facts.get("last_error")
    if trouble:
        st.markdown(_trouble(trouble))
    counting = pulls.estimate_asked(source)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        token = asked_token()
        unknown = lack.traces is None
        if unknown and st.button("Estimate", disabled=counting, icon=":material/query_stats:") and may_write(token):
            pulls.ask_estimate(source, lack.start, lack.end)
            st.rerun()
        if st.button("Read them", icon=":material/cloud_download:") and may_write(token):
            pulls.ask(source, lack.start, lack.end)
            st.rerun()
    if counting:
        st.markdown(":gray[Looking here and there in the range.]")


def _show_progress(pull: Pull) -> None:
    @st.fragment(run_every=EVERY_S)
    def look() -> None:
        now = pulls.latest(pull.source)
        if now is None or now.state not in ACTIVE:
            st.rerun()
        st.progress(now.slices_done / max(1, now.slices_total), pull_words.progress(now))
        with st.container(horizontal=True, vertical_alignment="bottom"):
            token = asked_token()
            stopping = pulls.is_stopping(now.id)
            if st.button("Stop", disabled=stopping, icon=":material/stop_circle:") and may_write(token):
                pulls.stop(now.id)
        st.markdown(":gray[What was read stays, and is not read again.]")

    look()


def _trouble(sentence: str) -> str:
    return f":violet[{safe(sentence) if removal.told() else _HIDDEN}]"


def _facts(source: str) -> dict[str, Any]:
    facts: dict[str, Any] = activity.snapshot()["components"].get(source, {})
    return facts


def _annotated(question: Question) -> Question:
    return replace(question, scope="annotated")


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)
