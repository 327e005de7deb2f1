"""What is received, stored, refused and why; how to send one's own traces."""

import streamlit as st

from core import losses, queries
from core.view import cards, controls, flow, imports, pulled, removal, senders, sentences, series, tables
from core.view import losses as told_losses
from core.view.heading import heading, say
from core.view.sentences import Sentence
from core.view.watch import watch

question, now = controls.current()
with st.sidebar:
    watch(lambda: (flow.stamp(), pulled.changes()))
heading("Sources", "records", question, now)
status, terms, told = queries.status(), series.terms(), removal.told()
title = sentences.received(len(status["sources"]), flow.total(status, "refused"), flow.total(status, "dropped"))
say(Sentence(title, "", "Counted in segment documents, OpenTelemetry and files in spans, since this process started."))
cards.row(flow.cards(status))

reasons = flow.reasons(status, told=told)
if not reasons.empty:
    st.subheader("Refused, dropped or changed, by reason", anchor=False)
    table = tables.refused(reasons)
    table.show()

st.subheader("What is stored", anchor=False)
table = tables.sources(status["sources"], terms)
table.show()

arrived = losses.hours(question, now)
if not arrived.empty:
    st.subheader("What arrived, hour by hour", anchor=False)
    table = told_losses.by_hour(arrived, terms)
    table.show()

left, right = st.columns(2)
collector = status["components"].get("collector", {})
with left:
    st.subheader("Collector", anchor=False)
    st.markdown("\n".join(f"- {line}" for line in flow.collector(collector, terms, told=told)))
    if collector.get("buffer_hint"):
        st.code(collector["buffer_hint"], language=None)
with right:
    st.subheader("Price pipeline", anchor=False)
    st.markdown(
        "\n".join(f"- {line}" for line in flow.pipeline(status["components"].get("pipeline", {}), terms, told=told))
    )

if lines := pulled.regions(terms, told=told):
    st.subheader("AWS X-Ray", anchor=False)
    st.markdown("\n".join(f"- {line}" for line in lines))
    table = pulled.history(terms, told=told)
    if not table.frame.empty:
        table.show()

st.subheader("Send your own traces", anchor=False)
sdk, otlp, boto3 = st.tabs(["X-Ray SDK", "OpenTelemetry", "boto3"])
with sdk:
    st.code(senders.sdk_lines(), language=None)
    st.markdown(senders.FIRST_POLL)
with otlp:
    st.code(senders.otlp_lines(), language=None)
    st.markdown("They then show as the source `otlp`, within seconds. Attributes of your own become annotations.")
with boto3:
    st.code(senders.boto3_lines(), language=None)
    st.markdown("Success means stored. What could not be used is named in the answer, with the reason.")

st.subheader("Import a file", anchor=False)
imports.import_a_file()
for table in (imports.reports(status["imports"], told=told), imports.refusals(status["imports"], told=told)):
    if not table.frame.empty:
        table.show()

st.subheader("Remove a source", anchor=False)
removal.remove_a_source()
